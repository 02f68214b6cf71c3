"""The parts that a published data set comes in."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from gan_cli.errors import ConfigError

SPLITS = ("train", "test", "all")


def parts(split: str) -> tuple[str, ...]:
    """Which of "train" and "test" make up `data.split`, in order.

    Raises:
        ConfigError: it is none of train, test and all.
    """
    check_split(split)
    return ("train", "test") if split == "all" else (split,)


def check_split(split: str) -> None:
    """Refuse what is none of train, test and all.

    Raises:
        ConfigError: `split` is none of them.
    """
    if split not in SPLITS:
        close = get_close_matches(str(split), SPLITS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"data.split = {split}: train, test or all is needed{hint}")


def joined(tables: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """One (images, labels) of several; labels become int64."""
    images, labels = zip(*tables, strict=True)
    if len(tables) == 1:
        return images[0], labels[0].long()
    return torch.cat(images), torch.cat(labels).long()
