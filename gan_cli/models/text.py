"""GANs of sentences: by policy gradient (SeqGAN), and on one-hot rows (WGAN-GP)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.faults import below, refuse
from gan_cli.networks.text import Convolutions, LSTMs, require_text
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class SeqGAN(DiscriminatorModel):
    """An LSTM that is rewarded for sentences which pass for real (SeqGAN, Yu et al. 2017).

    First it learns by maximum likelihood, then the discriminator alone, then both (Algorithm 1).
    The generator's gradient is that of -sum_t log G(y_t | y_<t) Q(y_<t, y_t) (Eq. 8), where Q is
    the mean output D(y), as a probability, over sentences that a copy of the generator, which
    follows it slowly, completes from there (roll-outs, Eqs. 4 and 5). In Algorithm 1 the copy is
    the generator as it is (`follow=1`); the authors' code is written to follow by .2, as here.

    Args:
        data: sentences.
        network: builds both players.
        loss: what the discriminator minimises.
        penalty: what constrains it.
        pretrain: steps of maximum likelihood.
        d_pretrain: steps of the discriminator alone, after them.
        d_steps: discriminator updates for each of the generator's.
        rollouts: sentences that complete each beginning.
        follow: share of the generator's weights in those of the copy, at each update.
        baseline: the rewards' mean at each place is subtracted, which changes no expectation.
        l2: weight of the squared weights of D's last layer, which bounds its outputs and with them
            the rewards; in the authors' measure (see `discriminator_loss`).
    """

    sentences = True

    def __init__(
        self,
        data: DataSpec,
        network: LSTMs,
        loss: AdversarialLoss,
        penalty: Penalty,
        pretrain: int = 5000,
        d_pretrain: int = 500,
        d_steps: int = 5,
        rollouts: int = 16,
        follow: float = 0.2,
        baseline: bool = False,
        l2: float = 0.2,
    ) -> None:
        require_text(data, "seqgan")
        super().__init__(data, loss, penalty)
        self.pretrain, self.d_pretrain, self.d_steps = pretrain, d_pretrain, d_steps
        self.rollouts, self.follow, self.baseline, self.l2 = rollouts, follow, baseline, l2
        refuse(self._faults())
        self.generator = network.generator(data)
        self.rollout = copy.deepcopy(self.generator).requires_grad_(False)
        self.discriminator = self.constrained(network.discriminator(data))
        self.whole_batch = self.whole_batch_terms()

    def _faults(self) -> Iterator[str]:
        yield from below({"pretrain": self.pretrain, "d_pretrain": self.d_pretrain}, 0)
        yield from below({"d_steps": self.d_steps, "rollouts": self.rollouts}, 1)
        yield from below({"l2": self.l2}, 0)
        if not 0 < self.follow <= 1:
            yield f"model.follow = {self.follow:g}: must be above 0 and at most 1"
        if not self.loss.probabilistic:
            yield (
                "loss: the reward is a probability of being real, which only the discriminator "
                "of the original GAN gives; set loss=non_saturating"
            )
        if self.penalty.per_sample:
            yield (
                f"penalty = {self.penalty.name}: looks at gradients by samples, and symbols have "
                "none; set penalty=none, or use model=text_wgan"
            )

    def phases(self) -> list[Phase]:
        begun, both = self.pretrain, self.pretrain + self.d_pretrain
        players, trains = (self.generator, self.rollout), (self.discriminator,)
        # Its optimizer is its own: Adam's averages of these gradients would slow the policy's.
        likelihood = Phase(
            "likelihood", self.likelihood_loss, players, stop=begun, after=self.after_likelihood
        )
        found = []
        for phase in self.discriminator_phases(self.loss.player, trains):
            found.append(_between(phase, begun, both))
        for phase in self.discriminator_phases(self.loss.player, trains, self.d_steps):
            found.append(_between(phase, both, None))
        found.append(
            Phase(
                "generator",
                self.regularised("generator", self.generator, self.generator_loss),
                players,
                start=both,
                after=self.after_generator,
            )
        )
        found = [phase for phase in found if phase.stop is None or phase.stop > phase.start]
        return [
            likelihood,
            *found,
        ]  # the first is there without steps too

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real from generated sentences, with squared weights of the last layer.

        The authors' D has two outputs, the mean cross-entropy of real and fake ones, and
        l2 |W|^2 / 2 over both. With W = (-w/2, w/2), the least for a difference w, and our sum of
        both means that is l2 |w|^2 / 2.
        """
        game = super().discriminator_loss(batch)
        weights = self.discriminator.head.parameters()
        term = self.l2 / 2 * sum(p.square().sum() for p in weights)
        return game._replace(total=game.total + term)

    def likelihood_loss(self, batch: Batch) -> Loss:
        """-log G of real sentences, nats per symbol."""
        nll = -self.generator.log_prob(batch.real).mean()
        return Loss(nll, {"nll": nll.detach()})

    def after_likelihood(self) -> None:
        """The copy begins as the generator is."""
        self._follow(1.0)

    def after_generator(self) -> None:
        """The copy follows."""
        self._follow(self.follow)

    @torch.no_grad()
    def _follow(self, share: float) -> None:
        for copied, own in zip(self.rollout.parameters(), self.generator.parameters(), strict=True):
            copied.lerp_(own, share)

    def generator_loss(self, batch: Batch) -> Loss:
        """-sum_t log G(y_t | y_<t) Q_t of the generator's own sentences."""
        sentences = self.generator.sample(len(batch))
        rewards = self.rewards(sentences)
        shown = rewards - rewards.mean(0, keepdim=True) if self.baseline else rewards
        log = self.generator.log_prob(sentences)
        logs = {"reward": rewards[:, -1].mean(), "nll": -self._real_log(batch)}
        return Loss(-(log * shown).sum(1).mean(), logs)

    @torch.no_grad()
    def _real_log(self, batch: Batch) -> Tensor:
        return self.generator.log_prob(batch.real).mean()

    @torch.no_grad()
    def rewards(self, sentences: Tensor) -> Tensor:
        """Q [n, length] of each symbol of sentences [n, length], by the discriminator."""
        network = self.discriminator
        training = network.training
        network.eval()
        found = []
        for place, state in enumerate(self.rollout.states(sentences)):
            begun = sentences[:, : place + 1].repeat(self.rollouts, 1)
            repeated = state[0].repeat(self.rollouts, 1), state[1].repeat(self.rollouts, 1)
            whole = self.rollout.complete(begun, begun[:, -1], repeated)
            found.append(network(whole).sigmoid().view(self.rollouts, -1).mean(0))
        found.append(network(sentences).sigmoid())
        network.train(training)
        return torch.stack(found, dim=1)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generator.sample(n)

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.discriminator(x)

    @torch.no_grad()
    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        """Exact: log G of sentences."""
        return {"log_likelihood": self.generator.log_prob(batch.real).sum(1).cpu().double()}

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)


class TextWGAN(DiscriminatorModel):
    """A critic of one-hot rows of real sentences and of the generator's probabilities.

    The character model of Gulrajani et al. 2017, section 5.2: no policy gradient and no maximum
    likelihood; sentences are the likeliest symbols.

    Args:
        data: sentences.
        prior: of the latents.
        network: builds both players.
        loss: what they minimise.
        penalty: what constrains the critic.
        d_steps: critic updates in a step, each with a fresh batch.
    """

    sentences = True

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: Convolutions,
        loss: AdversarialLoss,
        penalty: Penalty,
        d_steps: int = 10,
    ) -> None:
        require_text(data, "text_wgan")
        super().__init__(data, loss, penalty)
        self.prior, self.d_steps = prior, d_steps
        refuse(below({"d_steps": d_steps}, 1))
        self.warn_of_contradictions(network)
        self.generator = network.generator(prior.dim, data)
        self.discriminator = self.constrained(network.discriminator(data))
        self.whole_batch = self.whole_batch_terms()

    def phases(self) -> list[Phase]:
        critic = (self.discriminator,)
        return [
            *self.discriminator_phases(self.loss.player, critic, self.d_steps),
            Phase(
                "generator",
                self.regularised("generator", self.generator, self.generator_loss),
                (self.generator,),
            ),
        ]

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One-hot rows of real sentences and probabilities of fakes, [n, length, symbols]."""
        real = one_hot(batch.real, len(self.data.vocabulary)).float()
        return real, self.generator(self.prior.sample(len(batch), self.device))

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the critic take fakes for real."""
        real, fake = self.pair(batch)
        against = self.discriminator(real) if self.loss.compares else None
        total = self.loss.generator(self.discriminator(fake), against)
        # How sure the generator is of its symbols: 1 where it is as good as one-hot.
        return Loss(total, {"largest_probability": fake.detach().amax(2).mean()})

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z).argmax(2)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.discriminator(one_hot(x, len(self.data.vocabulary)).float())

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)


def _between(phase: Phase, start: int, stop: int | None) -> Phase:
    return replace(phase, start=start, stop=stop)
