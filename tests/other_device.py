"""A device beside the CPU that computes as the CPU does and is as strict as a GPU.

It refuses operations on tensors of both devices, and generators of the other device. So whatever
runs on it alone puts its tensors where they belong, on a GPU too.

    python tests/other_device.py MODEL...    # train and evaluate these models on it

exits with status 1 if one does not. It is a program of its own, as the device stays in a process.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from composing import little, session_of
from evaluating import quick_metrics
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from gan_cli.data.idx import read_idx

NAME = "other"
FEW = 400  # images, as looking for the nearest of thousands takes long there
COPIES = ("aten::copy_", "aten::_to_copy", "aten::_foreach_copy_")


class Far(Tensor):
    """A tensor of the other device; `near` has its numbers."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> Far:
        made = Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=torch.device(NAME, 0),
        )
        made.near = near
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Far:
        if id(self) not in memo:
            memo[id(self)] = Far(self.near.detach().clone()).requires_grad_(self.requires_grad)
        return memo[id(self)]

    def tolist(self) -> Any:
        return self.near.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("cannot convert a tensor of the other device to numpy")


def compute(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The operation on the CPU, if it is one that a GPU would do."""
    kwargs, name = dict(kwargs), func._schema.name
    leaves = tree_leaves((args, kwargs))
    far = [x for x in leaves if isinstance(x, Far)]
    near = [x for x in leaves if isinstance(x, Tensor) and not isinstance(x, Far) and x.dim()]
    indexed = name.startswith(("aten::index", "aten::_unsafe_index")) and isinstance(args[0], Far)
    if far and near and name not in COPIES and not (indexed and "index_select" not in name):
        raise RuntimeError(f"{name}: tensors on different devices")
    asked = kwargs.get("device")
    away = torch.device(asked).type == NAME if asked is not None else bool(far)
    if away and any(isinstance(x, torch.Generator) for x in leaves):
        raise RuntimeError(f"{name}: a generator of the CPU")
    if asked is not None:
        kwargs["device"] = torch.device("cpu") if away else asked

    def brought(x: Any) -> Any:
        return x.near if isinstance(x, Far) else x

    found = func(*tree_map(brought, args), **tree_map(brought, kwargs))
    if not away:
        return found
    known = {id(x.near): x for x in far}  # an operation in place returns what it was given

    def sent(x: Any) -> Any:
        return known.get(id(x), x) if id(x) in known or not isinstance(x, Tensor) else Far(x)

    return tree_map(sent, found)


class Device(TorchDispatchMode):
    """Within it, tensors can be made on the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        leaves = tree_leaves((args, kwargs))
        there = asked is not None and torch.device(asked).type == NAME
        if there or any(isinstance(x, Far) for x in leaves):
            with _disable_current_modes():
                return compute(func, args, kwargs)
        return func(*args, **kwargs)


class Backend(_DummyBackendModule):
    """What torch asks of a device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


@contextmanager
def device() -> Iterator[torch.device]:
    """The device, which can be used within."""
    _setup_privateuseone_for_python_backend(NAME, Backend())
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with Device():
        yield torch.device(NAME, 0)


def check(model: str, there: torch.device) -> None:
    """Train a model on the device for two steps and evaluate it, on few images.

    Raises:
        Exception: something is not where it should be.
    """
    chosen = mock.patch("gan_cli.training.runtime.choose_device", return_value=there)
    with mock.patch("gan_cli.data.mnist.read_idx", lambda path: read_idx(path)[:FEW]):
        with chosen:
            session = session_of(*little(model), "runtime.device=auto", "runtime.graphs=false")
        assert session.model.device.type == NAME
        for _ in range(2):
            session.trainer.advance(measure=True)
        session.trainer.read()
        print(f"{model}: {', '.join(quick_metrics(session))}", flush=True)


if __name__ == "__main__":
    wrong = 0
    with device() as there:
        for model in sys.argv[1:]:
            try:
                check(model, there)
            except Exception:
                traceback.print_exc()
                print(f"{model}: failed", flush=True)
                wrong = 1
    sys.exit(wrong)
