"""Kuzushiji-MNIST (Clanuwat et al. 2018): cursive Japanese in MNIST's form. CC BY-SA 4.0."""

from __future__ import annotations

from gan_cli.data.idx import IdxSet, published_idx

MIRRORS = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
FILES = {
    "train-images-idx3-ubyte": (
        18165135,
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "",
    ),
    "train-labels-idx1-ubyte": (
        29497,
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "",
    ),
    "t10k-images-idx3-ubyte": (
        3041136,
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "",
    ),
    "t10k-labels-idx1-ubyte": (
        5120,
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        "",
    ),
}
PUBLISHED = published_idx("kmnist", MIRRORS, "KMNIST/raw", FILES)


class KMNIST(IdxSet):
    """Ten cursive hiragana, 28x28, grey: 60,000 in `train`, 10,000 in `test`, both in `all`."""

    published, names = PUBLISHED, CLASSES
