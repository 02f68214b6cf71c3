"""Kuzushiji-MNIST (Clanuwat et al. 2018): cursive Japanese in MNIST's form. CC BY-SA 4.0."""

from __future__ import annotations

from gan_cli.data.dataset import Dataset
from gan_cli.data.geometry import Size
from gan_cli.data.published import Published, load, member
from gan_cli.data.resize import resized

MIRRORS = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
PUBLISHED = Published(
    name="kmnist",
    members={
        "train": (
            member(
                "train-images-idx3-ubyte",
                MIRRORS,
                size=18165135,
                packed_sha256="51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            member(
                "train-labels-idx1-ubyte",
                MIRRORS,
                size=29497,
                packed_sha256="e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
        ),
        "test": (
            member(
                "t10k-images-idx3-ubyte",
                MIRRORS,
                size=3041136,
                packed_sha256="edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            member(
                "t10k-labels-idx1-ubyte",
                MIRRORS,
                size=5120,
                packed_sha256="20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
    },
    homes=("raw", "KMNIST/raw"),
)


class KMNIST(Dataset):
    """Ten cursive hiragana, 28x28, grey: 60,000 in `train`, 10,000 in `test`, both in `all`.

    Args:
        split: train, test or all.
        root: folder with the official .gz files; None: the cache, then the official mirror.
        size: a number or [height, width]; None leaves 28x28.
    """

    def __init__(self, split: str = "train", root: str | None = None, size: Size = None) -> None:
        images, labels = load(PUBLISHED, split, root)
        super().__init__("kmnist", resized(images, size), labels, CLASSES)
