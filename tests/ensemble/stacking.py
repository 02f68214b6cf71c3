"""Members that go together, and the same ones alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from composing import small_settings
from torch import Tensor

from gan_cli.config.instantiate import Trust
from gan_cli.training.setup import Session, assemble


def sessions_of(*overrides: str, seeds: Sequence[int] = (1, 2, 3)) -> list[Session]:
    """A session for each seed, on one data set."""
    found: list[Session] = []
    for seed in seeds:
        settings = small_settings(*overrides, f"seed={seed}")
        found.append(assemble(settings, Trust(), dataset=found[0].dataset if found else None))
    return found


def leaves(state: object, path: str = "") -> dict[str, object]:
    """The values in nested mappings and lists, by their path."""
    if isinstance(state, dict):
        items = state.items()
    elif isinstance(state, list | tuple):
        items = enumerate(state)
    else:
        return {path: state}
    return {k: v for key, value in items for k, v in leaves(value, f"{path}/{key}").items()}


def assert_close(one: object, other: object, tolerance: float = 2e-5) -> None:
    """Equal but for rounding, relative to the largest number of each tensor."""
    first, second = leaves(one), leaves(other)
    assert first.keys() == second.keys()
    for path, value in first.items():
        there = second[path]
        if isinstance(value, Tensor) and value.is_floating_point():
            assert isinstance(there, Tensor)
            atol = tolerance * max(1e-3, float(value.abs().max())) if value.numel() else 0.0
            torch.testing.assert_close(
                there, value, rtol=tolerance, atol=atol, msg=lambda m, p=path: f"{p}: {m}"
            )
        elif isinstance(value, Tensor):
            assert isinstance(there, Tensor)
            assert torch.equal(value, there), path
        elif isinstance(value, float):
            assert abs(value - float(str(there))) <= tolerance * max(1.0, abs(value)), path
        else:
            assert value == there, path
