"""Freezing the parameters that a phase does not train."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from gan_cli.model import Model, Phase


class Freezer:
    """Freezes all that a phase neither trains nor shares, and unfreezes the rest.

    A frozen module builds no graph for its own weights, and its batch norm uses the batch's
    statistics without recording them and its spectral norm stops iterating, so a phase moves
    nothing outside `trains` and `shares`.
    """

    def __init__(self, model: Model, phase: Phase) -> None:
        active = [*phase.trains, *phase.shares]
        parameters = {id(p) for module in active for p in module.parameters()}
        modules = {id(m) for module in active for m in module.modules()}
        self._parameters = [(p, id(p) in parameters) for p in model.parameters()]
        self._norms = [
            (m, id(m) in modules)
            for m in model.modules()
            if isinstance(m, nn.modules.batchnorm._NormBase) and m.running_mean is not None
        ]
        self._spectra = [
            (m, id(m) in modules) for m in model.modules() if isinstance(m, _SpectralNorm)
        ]

    def apply(self) -> None:
        """Freeze and unfreeze for this phase."""
        for parameter, active in self._parameters:
            if parameter.requires_grad is not active:
                parameter.requires_grad_(active)
        for layer, active in self._norms:
            layer.track_running_stats = active
        for layer, active in self._spectra:
            layer.training = active
