"""Tensors that take no more room in a file than their own numbers need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def compact(state: Any) -> Any:
    """`state` with a copy in place of each tensor that is a part of a larger one.

    `torch.save` would write the larger one.
    """
    if isinstance(state, Tensor):
        return state.clone() if state.untyped_storage().nbytes() > state.nbytes else state
    if isinstance(state, Mapping):
        return {key: compact(value) for key, value in state.items()}
    if isinstance(state, list):
        return [compact(value) for value in state]
    return state
