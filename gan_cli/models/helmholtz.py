"""The Helmholtz machine, by wake and sleep (Hinton et al. 1995)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gan_cli.errors import ConfigError
from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase, View
from gan_cli.models.faults import refuse
from gan_cli.models.latent_variables import DYNAMIC, FIXED, binarised, bounds

AT_ONCE = 1 << 23  # numbers of all layers that `likelihood` looks at at once


class Layers(nn.Module):
    """Layers of binary units, each a logistic regression on the one before.

    Args:
        sizes: of the layers, from the one that is given to the last.
        top: the first layer has no parent and biases of its own.
    """

    def __init__(self, sizes: Sequence[int], top: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(sizes[0])) if top else None
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def logits(self, given: Tensor, layer: int) -> Tensor:
        """Of layer `layer` + 1, where layer `layer` is `given` [n, size]."""
        return self.layers[layer](given)

    def draw(self, first: Tensor) -> list[Tensor]:
        """All layers, the first as it is given."""
        states = [first]
        for layer in range(len(self.layers)):
            states.append(torch.bernoulli(self.logits(states[-1], layer).sigmoid()))
        return states

    def log_prob(self, states: Sequence[Tensor]) -> Tensor:
        """log P of the layers' states in nats, [n]: of all but the first where that has no bias."""
        found = [
            log_bernoulli(state, self.logits(given, layer))
            for layer, (given, state) in enumerate(pairwise(states))
        ]
        if self.bias is not None:
            found.append(log_bernoulli(states[0], self.bias))
        return torch.stack(found).sum(0)


class Helmholtz(Model):
    """A generative net p(v, h) downwards and a recognition net q(h | v) upwards, each the other's.

    Wake: units are drawn by the recognition net on a sample, and the generative net raises its
    log-probability of them. Sleep: units are drawn by the generative net, and the recognition net
    raises its log-probability of the hidden ones. The first raises a bound of log p(v), the second
    minimises KL(p(h | v) || q(h | v)), the other way round than the bound would (section 3 there).

    Args:
        data: images; their pixels are drawn black or white by their brightness.
        hidden: units of the hidden layers, from the pixels upwards.
        binarise: pixels drawn "dynamic", anew at each use, or "fixed", once for all.
    """

    density_of = "binarised pixels"

    def __init__(
        self, data: DataSpec, hidden: Sequence[int] = (200, 100), binarise: str = DYNAMIC
    ) -> None:
        super().__init__()
        self.data, self.hidden, self.binarise = data, tuple(hidden), binarise
        refuse(self._faults())
        sizes = [math.prod(data.shape), *self.hidden]
        self.recognition = Layers(sizes, top=False)
        self.generative = Layers(sizes[::-1], top=True)

    def _faults(self) -> Iterator[str]:
        if not self.data.is_image:
            raise ConfigError(
                f"model = helmholtz: its units are on or off, and data = {self.data.name} holds "
                "points; use model=vae"
            )
        if not self.hidden or min(self.hidden) < 1:
            shown = ",".join(map(str, self.hidden))
            yield f"model.hidden = [{shown}]: must be one or more sizes of at least 1"
        if self.binarise not in (DYNAMIC, FIXED):
            yield f"model.binarise = {self.binarise}: must be dynamic or fixed"

    def phases(self) -> list[Phase]:
        return [
            Phase("wake", self.wake_loss, (self.generative,)),
            Phase("sleep", self.sleep_loss, (self.recognition,)),
        ]

    def wake_loss(self, batch: Batch) -> Loss:
        """-E_q[log p(v, h)] in nats per sample."""
        with torch.no_grad():
            states = self.recognition.draw(self._observed(batch))
        joint = self.generative.log_prob(states[::-1])
        elbo = (joint - self.recognition.log_prob(states)).mean()
        return Loss(-joint.mean(), {"elbo": elbo.detach()})

    def sleep_loss(self, batch: Batch) -> Loss:
        """-E_p[log q(h | v)] in nats per dreamt sample."""
        with torch.no_grad():
            states = self._dream(len(batch))
        return Loss(-self.recognition.log_prob(states[::-1]).mean(), {})

    def _dream(self, n: int) -> list[Tensor]:
        """All layers from the top, drawn by the generative net."""
        assert self.generative.bias is not None, "the top layer has biases"
        top = torch.bernoulli(self.generative.bias.sigmoid().expand(n, -1))
        return self.generative.draw(top)

    def _observed(self, batch: Batch) -> Tensor:
        """Pixels 0 and 1, [n, pixels]."""
        return (binarised(batch.real, batch.index, self.binarise).flatten(1) + 1) / 2

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """The pixels' means, given the layer above them."""
        return self._image(self._dream(n)[-2])

    def _image(self, above: Tensor) -> Tensor:
        """The pixels' means [n, *shape] by the states of the layer above them, [n, hidden[0]]."""
        mean = self.generative.logits(above, len(self.hidden) - 1).sigmoid()
        return (2 * mean - 1).view(-1, *self.data.shape)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The probabilities of the first hidden layer, [n, hidden[0]]."""
        return self.recognition.logits((x.flatten(1) + 1) / 2, 0).sigmoid()

    def reconstruct(self, batch: Batch) -> Tensor:
        return self._image(self.encode(batch.real))

    @torch.no_grad()
    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        """ELBO and importance-weighted bound."""
        visible = self._observed(batch)

        def weights(count: int) -> Tensor:
            states = self.recognition.draw(visible.repeat_interleave(count, 0))
            joint = self.generative.log_prob(states[::-1])
            return (joint - self.recognition.log_prob(states)).view(-1, count)

        units = len(visible) * (visible.shape[1] + sum(self.hidden))
        return bounds(weights, samples, AT_ONCE // units)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.recognition, self.generative)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        return {"samples/random": Grid(self.sample(len(real)), 8)}


def log_bernoulli(state: Tensor, logits: Tensor) -> Tensor:
    """log P of units [n, size] that are 0 or 1, by their logits; sum over the units, [n]."""
    return (state * logsigmoid(logits) + (1 - state) * logsigmoid(-logits)).sum(1)
