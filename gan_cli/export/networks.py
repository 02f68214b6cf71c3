"""The networks of a model as functions of tensors, whatever game they were trained in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from gan_cli.model import Encodes, Model, Scores, Translates
from gan_cli.seeding import mix

PAIR = 2  # samples by which it is seen what a network does


@dataclass(frozen=True)
class Input:
    """An input of a network: a batch of numbers, or of classes."""

    name: str
    shape: tuple[int, ...] = ()  # of one sample
    classes: int = 0  # int64 below this, in place of float32


@dataclass(frozen=True)
class Network:
    """A network with its inputs, in eval mode on the CPU."""

    name: str
    module: nn.Module
    inputs: tuple[Input, ...]
    output: str
    model: Model

    def random(self, n: int, seed: int) -> tuple[Tensor, ...]:
        """Inputs for `n` samples: latents of the prior, images in [-1, 1], classes."""
        generator = torch.Generator().manual_seed(mix(seed, n))

        def drawn(one: Input) -> Tensor:
            if one.classes:
                return torch.randint(one.classes, (n,), generator=generator)
            if one.name == "z":
                return self.model.prior.sample(n, generator=generator)
            return 2 * torch.rand(n, *one.shape, generator=generator) - 1

        return tuple(map(drawn, self.inputs))


class Function(nn.Module):
    """One of a model's methods as a network."""

    def __init__(self, model: Model, call: Callable[..., Tensor | None]) -> None:
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *inputs: Tensor) -> Tensor | None:
        """What the method returns."""
        return self.call(self.model, *inputs)


def networks_of(model: Model) -> tuple[list[Network], list[str]]:
    """The networks of a model on the CPU that can stand alone; and why others cannot, a line each.

    Each has a copy of those parts of the model alone that it uses.
    """
    found, reasons = [], []
    for name, call, inputs, output in _candidates(model):
        used, reason = _alone(model, call, inputs)
        if used is None:
            reasons.append(f"{name}: {reason}")
            continue
        found.append(Network(name, used, inputs, output, model))
    return found, reasons


def _candidates(
    model: Model,
) -> Iterator[tuple[str, Callable[..., Tensor | None], tuple[Input, ...], str]]:
    data = model.data
    y = (Input("y", classes=data.classes),) if model.conditional else ()
    x = Input("x", data.shape, classes=len(data.vocabulary))
    if model.prior is not None:
        yield "generator", lambda m, *a: m.generate(*a), (Input("z", (model.prior.dim,)), *y), "x"
    if isinstance(model, Translates):
        yield "translator", lambda m, x: m.translate(x), (Input("x", data.source),), "translated"
    if isinstance(model, Encodes):
        codes = "codes" if hasattr(model, "latents_of") else "z"
        yield "encoder", lambda m, *a: m.encode(*a), (x, *y), codes
    if isinstance(model, Scores) and not data.is_text:
        yield "discriminator", lambda m, *a: m.score(*a), (x, *y), "score"


@torch.no_grad()
def _alone(
    model: Model, call: Callable[..., Tensor | None], inputs: tuple[Input, ...]
) -> tuple[nn.Module | None, str]:
    """A network of its own; or None, and why there is none."""
    first = Network("", nn.Identity(), inputs, "", model).random(PAIR, 0)
    called: set[str] = set()
    handles = [
        module.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, module in model.named_modules()
    ]
    whole = Function(model, call).eval()
    try:
        outputs = [whole(*first) for _ in range(2)]
    except (NotImplementedError, ValueError, RuntimeError) as error:
        return None, f"this model has none by itself ({str(error).splitlines()[0]})"
    finally:
        for handle in handles:
            handle.remove()
    if outputs[0] is None or outputs[1] is None:
        return None, "its output depends on more than one sample, or its class"
    if not torch.equal(outputs[0], outputs[1]):
        return None, "its output is random, which no file of a network can hold"
    alone = Function(copy.deepcopy(model), call).eval()
    parts = alone.model._modules
    for name, part in list(parts.items()):
        if any(one == name or one.startswith(f"{name}.") for one in called):
            continue
        parts[name] = None
        try:
            needed = not torch.equal(alone(*first), outputs[0])
        except (AttributeError, TypeError):  # one of its methods or tensors is used
            needed = True
        if needed:
            parts[name] = part
    for module in list(alone.modules()):
        if is_parametrized(module):  # such as the spectral norm, as it is in eval mode
            _give_own_class(module)
            for tensor in list(module.parametrizations):  # type: ignore[arg-type]
                remove_parametrizations(module, tensor, leave_parametrized=True)
    return alone, ""


def _give_own_class(module: nn.Module) -> None:
    """Part the class of a copied module, which torch changes, from that of its original."""
    kind = type(module)
    body = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    own: Any = type(kind.__name__, kind.__bases__, body)
    module.__class__ = own
