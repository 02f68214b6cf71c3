"""The restricted Boltzmann machine, by contrastive divergence (Hinton 2002; Tieleman 2008)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_cli.errors import ConfigError
from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase, View
from gan_cli.models.faults import below, refuse
from gan_cli.models.latent_variables import DYNAMIC, FIXED, binarised
from gan_cli.models.pictures import table

EXACT = 20  # hidden units up to which all their states are summed
STATES = 1 << 14  # of the hidden units, looked at at once
ANNEALED, TEMPERATURES = 128, 2000  # chains and distributions of the estimate of Z
CHAINS, MOMENTS = 8, 10  # rows and columns of the picture of chains


class RBM(Model):
    """p(v, h) = exp(b v + c h + h W v) / Z of black and white pixels v and hidden units h.

    Each update takes the gradient of F(v) - F(v'), where F(v) = -b v - sum softplus(c + W v) is the
    free energy, v a sample and v' what a Gibbs chain has come to: that of the likelihood, as far as
    the chain has arrived (Hinton 2002, Eq. 5). Chains begin at the samples (CD) or where they were
    left by the last update (persistent, Tieleman 2008).

    Args:
        data: images; their pixels are drawn black or white by their brightness.
        batch_size: chains that are kept; as many as samples of an update.
        hidden: hidden units.
        gibbs_steps: of the chains in an update.
        persistent: chains go on from where they were.
        binarise: pixels drawn "dynamic", anew at each use, or "fixed", once for all.
        deviation: of the initial weights.
        sample_steps: Gibbs steps between the chains' state and a sample.
    """

    indivisible = "each part of it would have chains of its own"
    density_of = "binarised pixels"

    def __init__(
        self,
        data: DataSpec,
        batch_size: int,
        hidden: int = 500,
        gibbs_steps: int = 1,
        persistent: bool = True,
        binarise: str = DYNAMIC,
        deviation: float = 0.01,
        sample_steps: int = 200,
    ) -> None:
        super().__init__()
        self.data, self.hidden, self.gibbs_steps = data, hidden, gibbs_steps
        self.persistent, self.binarise, self.sample_steps = persistent, binarise, sample_steps
        refuse(self._faults(deviation))
        pixels = math.prod(data.shape)
        self.machine = Machine(pixels, hidden, deviation)
        self.chains = Chains(batch_size, pixels)
        self._known: tuple[list[Tensor], Tensor] | None = None  # weights, and their log Z

    def _faults(self, deviation: float) -> Iterator[str]:
        if not self.data.is_image:
            raise ConfigError(
                f"model = rbm: its units are on or off, and data = {self.data.name} holds points; "
                "use model=energy"
            )
        yield from below({"hidden": self.hidden, "gibbs_steps": self.gibbs_steps}, 1)
        yield from below({"sample_steps": self.sample_steps, "deviation": deviation}, 0)
        if self.binarise not in (DYNAMIC, FIXED):
            yield f"model.binarise = {self.binarise}: must be dynamic or fixed"

    def phases(self) -> list[Phase]:
        return [Phase("rbm", self.loss, (self.machine, self.chains))]

    def loss(self, batch: Batch) -> Loss:
        """The free energy of samples less that of the chains' states, mean over both."""
        visible = self._observed(batch)
        with torch.no_grad():
            start = self.chains.states if self.persistent else visible
            model = self.machine.gibbs(start, self.gibbs_steps)
            if self.persistent and self.training:
                self.chains.states.copy_(model)
            rebuilt = self.machine.visible_given(self.machine.hidden_given(visible))
        data, other = self.machine.free_energy(visible), self.machine.free_energy(model)
        logs = {
            "free_energy/data": data.mean().detach(),
            "free_energy/chains": other.mean().detach(),
            "squared_error": (rebuilt - visible).square().mean(),
        }
        return Loss(data.mean() - other.mean(), logs)

    def _observed(self, batch: Batch) -> Tensor:
        """Pixels 0 and 1, [n, pixels]."""
        return (binarised(batch.real, batch.index, self.binarise).flatten(1) + 1) / 2

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Means of the pixels given hidden units, from where chains are after some more steps."""
        places = torch.randint(len(self.chains.states), (n,), device=self.device)
        state = self.machine.gibbs(self.chains.states[places], self.sample_steps)
        return self._image(self.machine.visible_given(self.machine.sample_hidden(state)))

    def _image(self, visible: Tensor) -> Tensor:
        return (2 * visible - 1).view(-1, *self.data.shape)

    def reconstruct(self, batch: Batch) -> Tensor:
        return self._image(self.machine.visible_given(self.encode(batch.real)))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The probabilities of the hidden units, [n, hidden]."""
        return self.machine.hidden_given((x.flatten(1) + 1) / 2)

    @torch.no_grad()
    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        """Exact with up to 20 hidden units; else with Z estimated by annealing, and named so.

        Annealed importance sampling (Salakhutdinov and Murray 2008) gives an unbiased estimate of
        Z, whose logarithm tends to be too small and the likelihood so too large.
        """
        free = self.machine.free_energy(self._observed(batch)).cpu().double()
        name = "log_likelihood" if self.hidden <= EXACT else "ais"
        return {name: -free - self._log_normaliser()}

    def _log_normaliser(self) -> Tensor:
        """log Z, computed once for all batches of the same weights: it takes a minute."""
        weights = [parameter.detach().clone() for parameter in self.machine.parameters()]
        if self._known is None or not all(map(torch.equal, self._known[0], weights)):
            exact = self.hidden <= EXACT
            made = self.machine.log_normaliser if exact else self.machine.annealed_log_normaliser
            self._known = weights, made()
        return self._known[1]

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.machine,)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """Samples, chains from noise on their way, and what single hidden units look for."""
        state = torch.rand(CHAINS, self.chains.states.shape[1], device=self.device).round()
        moments = [state]
        for moment in range(1, MOMENTS):
            state = self.machine.gibbs(state, 2 ** (moment - 1))
            moments.append(self.machine.visible_given(self.machine.hidden_given(state)))
        weights = self.machine.weight[:64].detach()
        largest = weights.abs().amax(1, keepdim=True).clamp_min(1e-12)
        return {
            "samples/random": Grid(self.sample(len(real)), 8),
            "samples/chains": Grid(self._image(torch.stack(moments, 1).flatten(0, 1)), MOMENTS),
            "theory/filters": table((weights / largest).view(-1, *self.data.shape)),
        }


class Chains(nn.Module):
    """Where persistent chains were left; part of a run's state, and not averaged with the weights.

    Args:
        count: how many.
        pixels: of each state.
    """

    states: Tensor  # [count, pixels]

    def __init__(self, count: int, pixels: int) -> None:
        super().__init__()
        self.register_buffer("states", torch.rand(count, pixels).round())


class Machine(nn.Module):
    """The weights W [hidden, visible] and the biases b and c, with what follows from them."""

    def __init__(self, visible: int, hidden: int, deviation: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(deviation * torch.randn(hidden, visible))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def free_energy(self, visible: Tensor) -> Tensor:
        """F(v) = -log sum_h exp(b v + c h + h W v) [n], of `visible` [n, visible]."""
        return -visible @ self.visible_bias - softplus(self._hidden_input(visible)).sum(1)

    def hidden_given(self, visible: Tensor) -> Tensor:
        """P(h = 1 | v), [n, hidden]."""
        return self._hidden_input(visible).sigmoid()

    def visible_given(self, hidden: Tensor) -> Tensor:
        """P(v = 1 | h), [n, visible]."""
        return (hidden @ self.weight + self.visible_bias).sigmoid()

    def sample_hidden(self, visible: Tensor) -> Tensor:
        """A draw of the hidden units, [n, hidden]."""
        return torch.bernoulli(self.hidden_given(visible))

    def gibbs(self, visible: Tensor, steps: int) -> Tensor:
        """The visible units [n, visible] after some steps of the chain."""
        for _ in range(steps):
            visible = torch.bernoulli(self.visible_given(self.sample_hidden(visible)))
        return visible

    def _hidden_input(self, visible: Tensor) -> Tensor:
        return visible @ self.weight.T + self.hidden_bias

    def log_normaliser(self) -> Tensor:
        """log Z by a sum over all states of the hidden units; float64, a scalar on the CPU."""
        weight, b, c = (
            p.detach().cpu().double() for p in (self.weight, self.visible_bias, self.hidden_bias)
        )
        total = torch.tensor(-math.inf, dtype=torch.float64)
        bits = torch.arange(len(c))
        for states in torch.arange(1 << len(c)).split(STATES):
            hidden = ((states[:, None] >> bits) & 1).double()
            each = hidden @ c + softplus(hidden @ weight + b).sum(1)
            total = torch.logaddexp(total, each.logsumexp(0))
        return total

    def annealed_log_normaliser(self) -> Tensor:
        """log Z by annealed importance sampling (Salakhutdinov and Murray 2008, section 3.2).

        From independent pixels, p(v) ~ exp(b v), the weights and hidden biases grow to their size
        in steps of 1 / TEMPERATURES; float64, a scalar on the CPU.
        """
        visible = torch.bernoulli(self.visible_bias.sigmoid().expand(ANNEALED, -1))
        log_weight = visible.new_zeros(ANNEALED)
        for step in range(1, TEMPERATURES + 1):
            before, now = (step - 1) / TEMPERATURES, step / TEMPERATURES
            inputs = self._hidden_input(visible)
            log_weight += (softplus(now * inputs) - softplus(before * inputs)).sum(1)
            hidden = torch.bernoulli((now * inputs).sigmoid())
            mean = (now * (hidden @ self.weight) + self.visible_bias).sigmoid()
            visible = torch.bernoulli(mean)
        start = len(self.hidden_bias) * math.log(2) + softplus(self.visible_bias).sum()
        found = log_weight.logsumexp(0) - math.log(ANNEALED) + start
        return found.cpu().double()
