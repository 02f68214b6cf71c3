"""MNIST (LeCun et al. 1998), shipped with the program."""

from __future__ import annotations

from pathlib import Path

from gan_cli.data.dataset import Dataset
from gan_cli.data.idx import PREFIX, read_idx
from gan_cli.data.published import joined, parts
from gan_cli.data.resize import Size, resized

FOLDER = Path(__file__).parent / "assets" / "mnist"


class MNIST(Dataset):
    """Handwritten digits, 28x28, grey: 60,000 in `train`, 10,000 in `test`, both in `all`.

    Args:
        split: train, test or all.
        size: a number or [height, width]; None leaves 28x28.
    """

    def __init__(self, split: str = "train", size: Size = None) -> None:
        tables = []
        for part in parts(split):
            images = read_idx(FOLDER / f"{PREFIX[part]}-images-idx3-ubyte.gz").unsqueeze(1)
            labels = read_idx(FOLDER / f"{PREFIX[part]}-labels-idx1-ubyte.gz")
            tables.append((images, labels))
        images, labels = joined(tables)
        super().__init__("mnist", resized(images, size), labels, tuple("0123456789"))
