"""Fashion-MNIST (Xiao et al. 2017): Zalando's articles in MNIST's form. MIT licence."""

from __future__ import annotations

from gan_cli.data.dataset import Dataset
from gan_cli.data.geometry import Size
from gan_cli.data.published import Published, load, member
from gan_cli.data.resize import resized

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
PUBLISHED = Published(
    name="fashion_mnist",
    members={
        "train": (
            member(
                "train-images-idx3-ubyte",
                MIRRORS,
                size=26421880,
                packed_sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            member(
                "train-labels-idx1-ubyte",
                MIRRORS,
                size=29515,
                packed_sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
        ),
        "test": (
            member(
                "t10k-images-idx3-ubyte",
                MIRRORS,
                size=4422102,
                packed_sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            member(
                "t10k-labels-idx1-ubyte",
                MIRRORS,
                size=5148,
                packed_sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
    },
    homes=("raw", "FashionMNIST/raw"),
)


class FashionMNIST(Dataset):
    """Ten kinds of clothes, 28x28, grey: 60,000 in `train`, 10,000 in `test`, both in `all`.

    Args:
        split: train, test or all.
        root: folder with the idx files, raw or .gz; None: the cache, then the official mirrors.
        size: a number or [height, width]; None leaves 28x28.
    """

    def __init__(self, split: str = "train", root: str | None = None, size: Size = None) -> None:
        images, labels = load(PUBLISHED, split, root)
        super().__init__("fashion_mnist", resized(images, size), labels, CLASSES)
