"""CIFAR-10 (Krizhevsky 2009), in binary form or in the Python form of torchvision and Keras.

It has no formal licence, so it is not shipped.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gan_cli.data.cifar10_pickle import binary_form
from gan_cli.data.dataset import Dataset
from gan_cli.data.published import Member, Published, Remote, joined, parts
from gan_cli.data.resize import Size, resized
from gan_cli.errors import DataError

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the red, green and blue planes
ARCHIVE = Remote(
    name="cifar-10-binary.tar.gz",
    size=170052171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
TRAIN_SHA256 = (
    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
)
TEST_SHA256 = "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"
PUBLISHED = Published(
    name="cifar10",
    members={
        "train": tuple(
            Member(f"data_batch_{number}.bin", ARCHIVE, sha256, f"data_batch_{number}", binary_form)
            for number, sha256 in enumerate(TRAIN_SHA256, start=1)
        ),
        "test": (Member("test_batch.bin", ARCHIVE, TEST_SHA256, "test_batch", binary_form),),
    },
    homes=(
        "cifar-10-batches-bin",
        "cifar-10-batches-py",  # torchvision and Keras 2
        "cifar-10-batches-py-target/cifar-10-batches-py",  # Keras 3
    ),
    archives=("cifar-10-python.tar.gz", "cifar-10-batches-py.tar.gz"),  # torchvision's, Keras's
)


class CIFAR10(Dataset):
    """Ten classes of objects, 32x32, colour: 50,000 in `train`, 10,000 in `test`, both in `all`.

    Args:
        split: train, test or all.
        root: folder with the .bin files or cifar-10-binary.tar.gz, or the files of torchvision
            (its `root`) or Keras (~/.keras/datasets); None: the cache, then the official mirror.
        size: a number or [height, width]; None leaves 32x32.
        flip: whether training mirrors each image left to right with probability 1/2.
        dequantise: whether training adds uniform noise of one level to each pixel.
    """

    def __init__(
        self,
        split: str = "train",
        root: str | None = None,
        size: Size = None,
        flip: bool = False,
        dequantise: bool = False,
    ) -> None:
        self.flips, self.dequantise = flip, dequantise
        contents = [pair for part in parts(split) for pair in PUBLISHED.contents(part, root)]
        images, labels = joined([parse(content, path) for path, content in contents])
        super().__init__("cifar10", resized(images, size), labels, CLASSES)


def parse(content: bytearray, path: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 3, 32, 32] and labels uint8 [N] of one .bin file.

    Raises:
        DataError: it does not consist of whole records, or a label is not 0 to 9.
    """
    if not content or len(content) % RECORD:
        raise DataError(f"{path}: {len(content):,} bytes are not records of {RECORD:,} bytes")
    records = torch.frombuffer(content, dtype=torch.uint8).view(-1, RECORD)
    labels = records[:, 0]
    if int(labels.max()) >= len(CLASSES):
        raise DataError(f"{path}: a label is {int(labels.max())}; it must be 0 to 9")
    return records[:, 1:].reshape(-1, *SHAPE), labels
