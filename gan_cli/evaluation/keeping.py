"""Features of real data on disk, so that no run and no command computes them twice."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli import atomic
from gan_cli.data.download import cache_folder
from gan_cli.errors import UserError
from gan_cli.evaluation.measure import Extractor, Features

log = logging.getLogger(__name__)

FORMAT = 1  # of the file, and of the way in which halves are drawn

Halves = tuple[Features, Features]


def place(fingerprint: str, extractor: Extractor) -> Path:
    """The file for the two halves of some data, as this extractor sees them."""
    what = f"{FORMAT} {fingerprint} {extractor.name} {extractor.identity} {extractor.resize}"
    key = hashlib.sha256(what.encode()).hexdigest()[:32]
    return cache_folder() / "features" / f"{extractor.name}-{key}.pt"


def load(path: Path) -> Halves | None:
    """What was kept there; None where nothing was, or where it is damaged, which is said."""
    if not path.is_file():
        return None
    try:
        state = read(path)
        if state["format"] != FORMAT:
            raise ValueError("another format")
        first, second = (_features(half) for half in state["halves"])
    except Exception as error:  # damaged bytes can fail in any way
        log.warning(f"{path}: damaged ({type(error).__name__}), so it is computed again")
        return None
    return first, second


def read(path: Path) -> Any:
    """What `torch.save` wrote there, on the CPU.

    Raises:
        Exception: of any kind, where it is damaged: foreign bytes can fail in any way.
    """
    with zipfile.ZipFile(path) as archive:
        # Torch does not check the sums that it writes.
        if bad := archive.testzip():
            raise ValueError(f"wrong sum of {bad}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _features(half: dict[str, Any]) -> Features:
    made = Features(**half)
    tensors = (made.mean, made.covariance, made.kept)
    if not all(isinstance(x, Tensor) and bool(x.isfinite().all()) for x in tensors):
        raise ValueError("not finite")
    return made


def save(path: Path, halves: Halves) -> None:
    """Keep them, for all who come later; a cache that cannot be written is only a pity."""
    state = {
        "format": FORMAT,
        "halves": [{f.name: getattr(half, f.name) for f in fields(half)} for half in halves],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as file:
            torch.save(state, file)
    except (OSError, RuntimeError, UserError) as error:  # torch hides a full disk in the second
        log.warning(f"{error}; statistics of real data are not kept")
