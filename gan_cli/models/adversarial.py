"""What every game between a generator and a discriminator has in common."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, Loss, Phase, nothing
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily
from gan_cli.penalties import Penalty, Score


def verdicts(loss: AdversarialLoss, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Scalars that show who is winning, from the discriminator's outputs [n]."""
    real, fake = real.detach().float(), fake.detach().float()
    mean_real, mean_fake = real.mean(), fake.mean()
    logs = {"output/real": mean_real, "output/fake": mean_fake}
    if loss.unbounded:
        # Up to the Lipschitz constant that the constraint allows.
        return logs | {"wasserstein_estimate": mean_real - mean_fake}
    if loss.boundary is None:  # share of the pairs of a real and a fake sample in the right order
        return logs | {"accuracy/all": (real[:, None] > fake).float().mean()}
    hits_real = (real > loss.boundary).float().mean()
    hits_fake = (fake < loss.boundary).float().mean()
    logs |= {
        "accuracy/real": hits_real,
        "accuracy/fake": hits_fake,
        "accuracy/all": (hits_real + hits_fake) / 2,
    }
    if loss.probabilistic:
        logs |= {
            "probability/real": real.sigmoid().mean(),
            "probability/fake": fake.sigmoid().mean(),
        }
    return logs


def judged(
    loss: AdversarialLoss,
    penalty: Penalty,
    score: Score,
    samples: tuple[Tensor, Tensor],
    outputs: tuple[Tensor, Tensor],
) -> Loss:
    """The discriminator's loss with its penalty, where that is due at every step.

    Args:
        loss: the game.
        penalty: the constraint on the discriminator.
        score: the discriminator as a function of samples.
        samples: real and fake, each [n, *shape].
        outputs: the discriminator's on them, each [n].
    """
    real, fake = outputs
    total = loss.discriminator(real, fake)
    logs = verdicts(loss, real, fake)
    if penalty.name and penalty.every == 1 and not penalty.on_weights:
        term = penalty(score, *samples)
        logs[f"penalty/{penalty.name}"] = term.detach()
        total = total + term
    return Loss(total, logs, {"output/real": real.detach(), "output/fake": fake.detach()})


def lazy(penalty: Penalty, term: Tensor) -> Loss:
    """The loss of a phase that applies the penalty alone, n times as strong, every n updates."""
    return Loss(penalty.every * term, {f"penalty/{penalty.name}": term.detach()})


def regularised(
    penalty: Penalty, of: str, network: nn.Module, play: Callable[[Batch], Loss]
) -> Callable[[Batch], Loss]:
    """A player's loss with the penalty on the weights of its network, where there is such a one."""
    if not penalty.on_weights or penalty.of != of:
        return play

    def loss(batch: Batch) -> Loss:
        played, term = play(batch), penalty.regularise(network)
        logs = {**played.logs, f"penalty/{penalty.name}": term.detach()}
        return played._replace(total=played.total + penalty.every * term, logs=logs)

    return loss


def warn_of_contradictions(loss: AdversarialLoss, penalty: Penalty, network: NetworkFamily) -> None:
    """Say what the theory forbids but the machine can do."""
    if loss.unbounded and not (penalty.lipschitz or network.lipschitz):
        warnings.warn(
            "loss = wasserstein with nothing that bounds the critic's slope: its loss has no "
            "lower bound and diverges (Arjovsky et al. 2017, section 3); use penalty=weight_clip "
            "or penalty=gradient_penalty",
            stacklevel=2,
        )
    if penalty.per_sample and network.mixes_samples:
        warnings.warn(
            f"penalty = {penalty.name} looks at the gradient of each sample, and batch norm or "
            "minibatch discrimination makes a sample's output depend on the others (Gulrajani et "
            "al. 2017, section 4); use network.discriminator_norm=layer or none and "
            "network.minibatch_discrimination=null",
            stacklevel=2,
        )


def whole_batch_terms(game: Judging) -> tuple[str, ...]:
    """What of a game with its networks is no mean over samples, as `Model.whole_batch`."""
    terms = {
        f"loss={type(game.loss).__name__}": game.loss.whole_batch,
        f"penalty={game.penalty.name}": game.penalty.whole_batch,
        "minibatch discrimination": game.discriminator.crowd is not None,
    }
    return tuple(name for name, found in terms.items() if found)


class Judging(Protocol):
    """What a model needs to have for `judging_phases`."""

    loss: AdversarialLoss
    penalty: Penalty
    discriminator: Discriminator

    def discriminator_loss(self, batch: Batch) -> Loss:
        """What the discriminator minimises."""
        ...

    def penalty_loss(self, batch: Batch) -> Loss:
        """The penalty alone, for lazy regularisation."""
        ...


class Game(Judging, Protocol):
    """What a model needs to have for `phases_of`."""

    generator: Generator

    def generator_loss(self, batch: Batch) -> Loss:
        """What the generator minimises."""
        ...


@dataclass(frozen=True)
class Side:
    """One player's part of a step."""

    trains: tuple[nn.Module, ...]
    steps: int = 1  # updates, each with a fresh batch
    after: Callable[[], None] = nothing  # runs after each of them


def judging_phases(
    game: Judging,
    player: str,
    discriminator: Side,
    burst: int | None = None,
    shares: tuple[nn.Module, ...] = (),
    turn: int = 1,
) -> list[Phase]:
    """The discriminator's updates under the name `player`, and its lazy penalty where it has one.

    Args:
        game: the model.
        player: the name.
        discriminator: as for `phases_of`, and so are `burst` and `shares`.
        burst: see there.
        shares: see there.
        turn: it plays on every so many-th step.
    """
    penalty, trains = game.penalty, discriminator.trains
    if penalty.of == "generator" and not hasattr(game, "generator"):
        raise ConfigError(
            "penalty.of = generator: this game has no generator; set penalty.of=discriminator"
        )

    def constrain() -> None:
        penalty.constrain(game.discriminator)
        discriminator.after()

    repeat, loss = discriminator.steps, game.discriminator_loss
    if penalty.every == 1:
        loss = regularised(penalty, "discriminator", game.discriminator, loss)
    play = Phase(player, loss, trains, repeat=repeat, every=turn, after=constrain, shares=shares)
    phases = [play]
    if burst:
        phases.append(replace(play, repeat=burst - repeat, stop=25))
        phases.append(replace(play, repeat=burst - repeat, start=25, every=500))
    if penalty.name and penalty.every > 1:
        phases.append(
            Phase(
                f"{player}_penalty",
                regularised(penalty, "discriminator", game.discriminator, game.penalty_loss),
                trains,
                every=penalty.every,
                follows=player,
                rescales=penalty.rescale,
                optimizer=player,
                after=constrain,
            )
        )
    return phases


def phases_of(
    game: Game,
    discriminator: Side,
    generator: Side,
    burst: int | None = None,
    shares: tuple[nn.Module, ...] = (),
    alternate: bool = False,
) -> list[Phase]:
    """The discriminator's updates, its lazy penalty where it has one, then the generator's.

    The WGAN authors' code trains the critic 100 times (`burst`) in each of the first 25 generator
    steps and in every 500th, so that the generator meets a critic near its optimum.

    Args:
        game: the model.
        discriminator: what its updates train and how many it makes.
        generator: the same.
        burst: as many updates of the discriminator instead at first, and now and then.
        shares: as in `Phase`, by the discriminator's.
        alternate: the discriminator plays in the first, third, fifth ... step alone, and the
            generator in those between.
    """
    turn = 2 if alternate else 1
    phases = judging_phases(game, game.loss.player, discriminator, burst, shares, turn)
    reply = Phase(
        "generator",
        regularised(game.penalty, "generator", game.generator, game.generator_loss),
        generator.trains,
        repeat=generator.steps,
        every=turn,
        offset=turn - 1,
        after=generator.after,
    )
    return [*phases, reply]


def push(
    loss: AdversarialLoss, score: Callable[[Tensor], Tensor | None], x: Tensor
) -> Tensor | None:
    """Minus the gradient of the generator's loss at each sample of `x` [n, ...], as `Model.push`.

    Args:
        loss: the game.
        score: the discriminator's output [n]; None where it needs more than a sample.
        x: samples.
    """
    if loss.compares or loss.whole_batch:
        return None
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        output = score(x)
        if output is None:
            return None
        # The loss is a mean, and each sample's own is wanted.
        return torch.autograd.grad(-len(x) * loss.generator(output), x)[0]


def feature_gap(real: Tensor, fake: Tensor) -> Tensor:
    """|E f(x) - E f(G(z))|^2 of a discriminator's features, each [n, width]; a scalar.

    Salimans et al. 2016, section 3.1.
    """
    return (real.float().mean(0) - fake.float().mean(0)).square().sum()
