"""Exponential moving averages of weights, for sampling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gan_cli.model import Model

ITERATIONS = 20  # of the power method, from vectors that are nearly right


def entries(modules: tuple[nn.Module, ...]) -> dict[str, Tensor]:
    """The floating-point weights and buffers of `modules` themselves, as "<place>.<name>"."""
    return {
        f"{place}.{name}": value
        for place, module in enumerate(modules)
        for name, value in module.state_dict(keep_vars=True).items()
        if value.is_floating_point()
    }


@torch.no_grad()
def load_averages(model: Model, averages: Mapping[str, Tensor]) -> None:
    """Copy averaged weights, as `Average.state_dict` gives them, into the model's own."""
    for name, value in entries(model.averaged()).items():
        value.copy_(averages[name])
    refine_spectra(model.averaged())


def is_vector(name: str) -> bool:
    """Whether an entry is a singular vector of spectral norm, of which no mean is taken."""
    return ".parametrizations." in name and name.endswith(("._u", "._v"))


@torch.no_grad()
def refine_spectra(modules: tuple[nn.Module, ...]) -> None:
    """Fit the singular vectors of spectral norm to averaged weights, by power iterations.

    Means of unit vectors are no unit vectors, and those of the last weights fit the last weights:
    the norm would be taken for too small.
    """
    for module in modules:
        for part in module.modules():
            if isinstance(part, ParametrizationList) and isinstance(norm := part[0], _SpectralNorm):
                norm._power_method(norm._reshape_weight_to_matrix(part.original), ITERATIONS)


class Average:
    """The average of a model's `averaged()` modules over its steps.

    avg <- d avg + (1 - d) weights, with d = min(decay, (1 + step) / (10 + step)), so that the
    first steps, where weights change most, are soon forgotten. Statistics of batch norm are
    averaged too, since they belong to the weights; singular vectors of spectral norm are not, and
    are fitted to the averages where these are used.

    Args:
        model: whose modules are averaged.
        decay: d in the long run, in [0, 1); 0 makes the average the weights themselves.
        warmup: steps over which the half-life rises from 0 to that of `decay` as half a cosine
            instead (R3GAN's code, Huang et al. 2024); None: as above.
        ramp: the half-life is at most this share of the steps so far, instead (.05 in the code of
            Karras et al. 2020b); None: as above. With both the smaller half-life counts.
    """

    def __init__(
        self, model: Model, decay: float, warmup: int | None = None, ramp: float | None = None
    ) -> None:
        self.decay, self.warmup, self.ramp = decay, warmup, ramp
        self.weights = entries(model.averaged()) if decay else {}
        self.values = {name: value.detach().clone() for name, value in self.weights.items()}
        self._vectors = [place for place, name in enumerate(self.values) if is_vector(name)]
        self._modules = model.averaged() if self._vectors else ()

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Average in the weights after `step` completed steps."""
        self.merge(list(self.values.values()), list(self.weights.values()), step)

    @torch.no_grad()
    def merge(self, averages: list[Tensor], weights: list[Tensor], step: int) -> None:
        """The update itself, of these averages by these weights."""
        if averages:
            decay = self.decay_at(step)
            get_ema_multi_avg_fn(decay)(averages, weights, step)
            for place in self._vectors:
                averages[place].copy_(weights[place])

    def decay_at(self, step: int) -> float:
        """The factor d of the average after `step` completed steps."""
        if self.warmup is None and self.ramp is None:
            return min(self.decay, (1 + step) / (10 + step))
        decay, before = self.decay, step - 1  # the steps before the last, as in both codes
        if self.warmup is not None and 0 <= before < self.warmup:
            half_life = math.log(0.5) / math.log(decay)
            now = half_life * (1 - math.cos(math.pi * before / self.warmup)) / 2
            decay = 0.5 ** (1 / max(now, 1e-8))
        if self.ramp is not None and before >= 0:
            now = max(self.ramp * before, 1e-8)
            decay = min(decay, 0.5 ** (1 / now))
        return decay

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model its averaged weights meanwhile."""
        self._swap()
        vectors = [value for name, value in self.weights.items() if is_vector(name)]
        kept = [vector.clone() for vector in vectors]
        refine_spectra(self._modules)  # undone below: looking at a model leaves its state alone
        try:
            yield
        finally:
            for vector, value in zip(vectors, kept, strict=True):
                vector.data.copy_(value)
            self._swap()

    def _swap(self) -> None:
        for name, value in self.weights.items():
            value.data, self.values[name].data = self.values[name].data, value.data

    def state_dict(self) -> dict[str, Tensor]:
        """The averages, by entry."""
        return dict(self.values)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore averages; a run without any starts from its weights."""
        for name, value in self.values.items():
            value.copy_(state.get(name, self.weights[name]))
