"""A generator that foresees its opponent's next steps (Metz et al. 2017)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.faults import below
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior

Weights = dict[str, Tensor]  # the parameters of a network, by name
Moments = tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]  # steps so far; of each parameter


class Descent(nn.Module, ABC):
    """Updates of a network through which gradients flow.

    Statistics of the true updates are buffers and so part of a run's state.

    Args:
        given: settings by the optimizer's names; None: those of the followed optimizer, as they are
            at each step.
    """

    kind: type[Optimizer]  # of optimizers that it can follow
    foreign: tuple[str, ...]  # their settings that it has no equivalent of

    def __init__(self, **given: float | tuple[float, float] | None) -> None:
        super().__init__()
        self._given = {name: value for name, value in given.items() if value is not None}
        self._followed: Optimizer | None = None

    def follow(self, optimizer: Optimizer) -> None:
        """Read settings that were left open from this optimizer, at each step.

        Raises:
            ValueError: its updates are of another kind.
        """
        if not isinstance(optimizer, self.kind):
            raise ValueError(f"is {type(optimizer).__name__}, not {self.kind.__name__}")
        for group in optimizer.param_groups:
            for name in self.foreign:
                if group.get(name):
                    raise ValueError(f"has {name} = {group[name]}")
        self._followed = optimizer

    @property
    def settings(self) -> Mapping[str, Any]:
        """The current settings by the optimizer's names."""
        followed = {} if self._followed is None else self._followed.param_groups[0]
        return {**followed, **self._given}

    def record(self, network: nn.Module) -> None:
        """Add the gradients of the update that `network` has just made to the statistics."""

    @abstractmethod
    def step(self, weights: Weights, gradients: Weights, state: Any) -> tuple[Weights, Any]:
        """The weights after one update, and the optimizer's state, which is None at first."""

    def descend(self, weights: Weights, loss: Callable[[Weights], Tensor], steps: int) -> Weights:
        """The weights after some updates (Metz et al. 2017, Eq. 8).

        They are a differentiable function of everything that the loss depends on.

        Args:
            weights: before the first update; constants.
            loss: a scalar function of weights.
            steps: number of updates; 0 returns `weights` itself.
        """
        if not steps:
            return weights
        weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        state = None
        for _ in range(steps):
            values = torch.autograd.grad(loss(weights), list(weights.values()), create_graph=True)
            weights, state = self.step(weights, dict(zip(weights, values, strict=True)), state)
        return weights


class GradientDescent(Descent):
    """theta <- theta - rate * gradient."""

    kind = torch.optim.SGD
    foreign = ("momentum", "weight_decay", "maximize")

    def step(self, weights: Weights, gradients: Weights, state: Any) -> tuple[Weights, None]:
        rate = self.settings["lr"]
        return {n: weight - rate * gradients[n] for n, weight in weights.items()}, None


class AdamDescent(Descent):
    """Adam (Kingma and Ba 2015, Algorithm 1) from the moments of the true updates so far.

    The authors of unrolled GANs start from the moments of the discriminator's own optimizer. A
    model has no access to them, so it keeps its own. From moments of 0 the first update would be
    the gradient's sign, through which almost no gradient flows.

    Args:
        network: whose weights are updated.
        lr: the learning rate; None: that of the followed optimizer.
        betas: of the running means of the gradient and of its square; None: the same.
    """

    kind = torch.optim.Adam
    foreign = ("weight_decay", "amsgrad", "maximize")
    EPSILON = 1e-8
    count: Tensor

    def __init__(
        self,
        network: nn.Module,
        lr: float | None = None,
        betas: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(lr=lr, betas=betas)
        self.names = [name for name, _ in network.named_parameters()]
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        for place, parameter in enumerate(network.parameters()):
            self.register_buffer(f"mean_{place}", torch.zeros_like(parameter))
            self.register_buffer(f"square_{place}", torch.zeros_like(parameter))

    @torch.no_grad()
    def record(self, network: nn.Module) -> None:
        self.count += 1
        betas = self.settings["betas"]
        for place, parameter in enumerate(network.parameters()):
            if parameter.grad is not None:
                mean, square = self._moments(place)
                mean.lerp_(parameter.grad, 1 - betas[0])
                square.lerp_(parameter.grad.square(), 1 - betas[1])

    def step(self, weights: Weights, gradients: Weights, state: Any) -> tuple[Weights, Moments]:
        if state is None:
            state = self.count, {name: self._moments(i) for i, name in enumerate(self.names)}
        (count, before), moments = state, {}
        count, settings = count + 1, self.settings
        rate, betas, epsilon = settings["lr"], settings["betas"], settings.get("eps", self.EPSILON)
        fade = [1 - beta**count for beta in betas]
        moved = {}
        for name, weight in weights.items():
            mean, square = moments[name] = (
                torch.lerp(before[name][0], gradients[name], 1 - betas[0]),
                torch.lerp(before[name][1], gradients[name].square(), 1 - betas[1]),
            )
            # The root's slope is infinite at 0, where dead units would give NaN.
            root = (square / fade[1] + self.EPSILON**2).sqrt()
            moved[name] = weight - rate * mean / fade[0] / (root + epsilon)
        return moved, (count, moments)

    def _moments(self, place: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"mean_{place}"), self.get_buffer(f"square_{place}")


class UnrolledGAN(AdversarialModel):
    """The generator plays against the discriminator as it would be after some more updates.

    It minimises f_K(theta_G, theta_D) = f(theta_G, theta_D^K(theta_G, theta_D)), where theta_D^K
    are the discriminator's weights after K = `unroll` updates on the generator's own batch (Eq. 8
    to 10), and its gradient goes through these updates too. The discriminator itself learns as in
    any GAN. Its batch norm uses each batch's statistics; the look-ahead updates are not recorded.
    Unrolling is done in fp32 whatever the precision of the rest.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator, also in look-ahead updates where every
            update has one; limits on weights hold for its true updates alone.
        d_steps: discriminator updates in a step, each with a fresh batch.
        g_steps: generator updates in a step, each with a fresh batch.
        unroll: K; 0 makes it a GAN.
        unroll_optimizer: "adam" or "sgd", of the look-ahead updates.
        unroll_lr: its learning rate; null: at each step that of the discriminator's own optimizer,
            with its betas and its eps, too. Norms of gradients are not clipped.
        unroll_betas: of Adam; null: those of the discriminator's own.
        saddle: the generator minimises the discriminator's loss with its sign changed, as in the
            paper, where real samples matter too; false: the loss's own generator term.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        d_steps: int = 1,
        g_steps: int = 1,
        unroll: int = 5,
        unroll_optimizer: Literal["adam", "sgd"] = "adam",
        unroll_lr: float | None = None,
        unroll_betas: tuple[float, float] | None = None,
        saddle: bool = True,
    ) -> None:
        super().__init__(data, prior, loss, penalty, d_steps=d_steps, g_steps=g_steps)
        self.second_order = True
        self.unroll, self.saddle = unroll, saddle
        self.unroll_lr, self.unroll_betas = unroll_lr, unroll_betas
        self.unroll_adam = unroll_optimizer == "adam"
        self.build(network)
        if unroll:
            self.whole_batch = (*self.whole_batch, "unrolling")
        self.descent: Descent = (
            AdamDescent(self.discriminator, unroll_lr, unroll_betas)
            if self.unroll_adam
            else GradientDescent(lr=unroll_lr)
        )

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from below({"unroll": self.unroll, "unroll_lr": self.unroll_lr or 0}, 0)
        if self.unroll_betas and not all(0 <= beta < 1 for beta in self.unroll_betas):
            yield f"model.unroll_betas = {list(self.unroll_betas)}: must lie in [0, 1)"

    def use_optimizers(self, optimizers: Mapping[str, Optimizer]) -> None:
        follows = self.unroll_lr is None or (self.unroll_adam and self.unroll_betas is None)
        if not self.unroll or not follows:
            return
        try:
            self.descent.follow(optimizers[self.loss.player])
        except ValueError as error:
            given = ("unroll_lr", "unroll_betas") if self.unroll_adam else ("unroll_lr",)
            kind = "adam" if self.unroll_adam else "sgd"
            raise ConfigError(
                f"model.unroll_optimizer = {kind}: cannot look ahead with the optimizer of "
                f"{self.loss.player}, which {error}; choose another, or give the look-ahead "
                f"settings of its own with {' and '.join(f'model.{name}' for name in given)}"
            ) from error

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        return (self.discriminator, self.descent)

    def after_discriminator(self) -> None:
        if self.unroll:
            self.descent.record(self.discriminator)

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator of `unroll` updates later take fakes for real."""
        fake = self.sample(len(batch))
        weights: Weights = {**dict(self.discriminator.named_parameters())}
        if not self.unroll:
            return Loss(self._reply(weights, batch, fake), {})
        with torch.autocast(fake.device.type, enabled=False):
            fake = fake.float()
            later = self.descent.descend(
                weights, lambda some: self._look_ahead_loss(some, batch.real, fake), self.unroll
            )
            return Loss(self._reply(later, batch, fake), {})

    def _reply(self, weights: Weights, batch: Batch, fake: Tensor) -> Tensor:
        """The generator's loss against a discriminator of these weights."""
        output = functional_call(self.discriminator, weights, (fake,))
        if not self.saddle and not self.loss.compares:
            return self.loss.generator(output)
        real = functional_call(self.discriminator, weights, (batch.real,))
        if self.saddle:
            return -self.loss.discriminator(real, output)
        return self.loss.generator(output, real)

    def _look_ahead_loss(self, weights: Weights, real: Tensor, fake: Tensor) -> Tensor:
        def score(x: Tensor) -> Tensor:
            return functional_call(self.discriminator, weights, (x,))

        outputs = score(real), score(fake)
        return self.compare((real, fake), outputs, score).total
