"""The game of two networks (Goodfellow et al. 2014), with labels or without.

DCGAN, cGAN, WGAN, WGAN-GP, PacGAN, projection, least-squares and hinge GANs are settings of it: see
conf/model and conf/experiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gan_cli.adaptive_augmentation import pipeline
from gan_cli.augment import POLICIES
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.discriminator_view import DiscriminatorView
from gan_cli.models.faults import below, without_classes
from gan_cli.models.regularisation import Consistency, LeCam, top_share
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.layers import compares_samples
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class GAN(AdversarialModel):
    """A generator against a discriminator or critic.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator.
        conditional: labels into both networks (Mirza and Osindero 2014, Eq. 2).
        fake_labels: classes of fakes of a conditional model: "batch", those of the real samples
            beside them, or "uniform", all equally likely (Miyato and Koyama's code).
        d_steps: discriminator updates in a step, each with a fresh batch.
        g_steps: generator updates in a step, each with fresh latents.
        d_burst: as many of the discriminator's instead in the first 25 steps and in every 500th
            (the WGAN authors' code).
        share_fakes: the generator learns from the fakes that the discriminator has just seen, by
            its updated outputs, and runs once less per step (the DCGAN authors' code); its further
            updates have fakes of their own. Needs one discriminator update a step.
        schedule: "together": both players move in every step; "alternate": the first player in odd
            steps (1, 3, 5 ...), the other in even ones; "simultaneous": both in every step, by
            gradients at the weights that the step begins with.
        first: the player that moves first: "discriminator", or "generator" (Miyato et al.'s and
            Zhang et al.'s code), against the discriminator of the step before.
        packing: samples that the discriminator sees as one (PacGAN, Lin et al. 2018). A batch
            is cut into batch_size / packing packs; the authors count a batch in packs.
        pack_passes: "member": the generator makes the packs' first members together, then their
            second ones, so that its batch norm sees batches of batch_size / packing, as in the
            authors' code; "batch": all members in one pass.
        generator_batch: fakes in the generator's update, as a multiple of batch_size (2 in Miyato
            et al.'s code).
        instance_noise: deviation of the noise on all that the discriminator sees.
        instance_noise_steps: steps over which it falls linearly to 0; null: it never falls.
        augment: policies of differentiable augmentation (Zhao et al. 2020).
        ada_target: of the mean sign of D on real images, for adaptive augmentation (Karras et al.
            2020); null: none.
        ada_images: images over which its probability can rise from 0 to 1.
        ada_pipeline: its transformations: a pipeline of the authors' by its name, such as bgc; a
            list of kinds, any of blit, geometry, color, filter, noise, cutout; or a mapping from
            kinds to factors of the probability.
        ada_p: the probability, where it is given instead of a target.
        ada_p_steps: steps over which it rises from 0 as half a cosine (Huang et al. 2024, in their
            code); null: it is constant.
        lecam: weight of LeCam's regularisation in the discriminator's loss (Tseng et al. 2021).
        lecam_start: updates of the discriminator before it counts.
        consistency: weight of (D(x) - D(T(x)))^2 on real images in the discriminator's loss (CR,
            Zhang et al. 2020).
        consistency_fake: the same on fakes (balanced CR, Zhao et al. 2021).
        consistency_augment: T, as `augment`.
        top_k: least share of a batch of fakes, the best by D, that the generator learns from
            (Sinha et al. 2020); 1: all.
        top_k_decay: factor of that share, which begins at 1 ...
        top_k_every: ... after as many steps.
        adversarial: weight of the adversarial term in the generator's loss.
        feature_matching: weight of the distance between the mean features of real and fake samples
            in the generator's loss (Salimans et al. 2016, section 3.1).
        historical_averaging: weight, in both losses, of the squared distance of a player's
            parameters from the mean of their past (section 3.3 there).
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        conditional: bool = False,
        fake_labels: Literal["batch", "uniform"] = "batch",
        d_steps: int = 1,
        g_steps: int = 1,
        d_burst: int | None = None,
        share_fakes: bool = False,
        schedule: Literal["together", "alternate", "simultaneous"] = "together",
        first: Literal["discriminator", "generator"] = "discriminator",
        packing: int = 1,
        pack_passes: Literal["member", "batch"] = "member",
        generator_batch: int = 1,
        instance_noise: float = 0.0,
        instance_noise_steps: int | None = None,
        augment: Sequence[str] = (),
        ada_target: float | None = None,
        ada_images: int = 500_000,
        ada_pipeline: str | Sequence[str] | Mapping[str, float] = "bgc",
        ada_p: float | None = None,
        ada_p_steps: int | None = None,
        lecam: float = 0.0,
        lecam_start: int = 1000,
        consistency: float = 0.0,
        consistency_fake: float = 0.0,
        consistency_augment: Sequence[str] = ("flip", "translation"),
        top_k: float = 1.0,
        top_k_decay: float = 0.99,
        top_k_every: int = 2000,
        adversarial: float = 1.0,
        feature_matching: float = 0.0,
        historical_averaging: float = 0.0,
    ) -> None:
        super().__init__(
            data,
            prior,
            loss,
            penalty,
            conditional=conditional,
            d_steps=d_steps,
            g_steps=g_steps,
            d_burst=d_burst,
            share_fakes=share_fakes,
            schedule=schedule,
            first=first,
        )
        adaptive = pipeline(data, ada_target, ada_images, ada_pipeline, ada_p, ada_p_steps)
        self.view = DiscriminatorView(
            data, packing, instance_noise, instance_noise_steps, augment, adaptive
        )
        self.adaptive = adaptive
        self.lecam = LeCam(lecam, lecam_start) if lecam else None
        self.consistency = Consistency(consistency, consistency_fake, consistency_augment)
        self.top_k = top_k, top_k_decay, top_k_every
        self.pack, self.fake_labels, self.pack_passes = packing, fake_labels, pack_passes
        self.multiple = generator_batch
        self.adversarial, self.feature_matching = adversarial, feature_matching
        self.historical_averaging = historical_averaging
        self.build(network, data.classes if conditional else 0)
        if feature_matching:
            self.whole_batch = (*self.whole_batch, "feature matching")
        if top_k < 1:
            self.whole_batch = (*self.whole_batch, "top-k")
        self.generator_history = self._history(self.generator)
        self.discriminator_history = self._history(self.discriminator)

    def faults(self) -> Iterator[str]:
        if self.conditional:
            yield from without_classes("model.conditional = true", self.data)
        yield from super().faults()
        if self.conditional and self.pack > 1:
            yield (
                f"model.packing = {self.pack}: a pack has no single label; "
                "set model.conditional=false or packing=1"
            )
        if self.pack_passes not in ("member", "batch"):
            yield f"model.pack_passes = {self.pack_passes}: must be member or batch"
        yield from below({"generator_batch": self.multiple}, 1)
        if self.multiple > 1 and (self.loss.compares or self.share_fakes):
            why = "share_fakes=true reuses D's" if self.share_fakes else "the loss pairs fakes"
            yield (
                f"model.generator_batch = {self.multiple}: {why} with the real samples of a batch; "
                "set model.generator_batch=1"
            )
        if self.fake_labels == "uniform" and not self.conditional:
            yield "model.fake_labels = uniform: needs model.conditional=true; set it, or =batch"
        if self.fake_labels == "uniform" and self.penalty.at_fakes:
            yield (
                f"model.fake_labels = uniform: penalty = {self.penalty.name} looks at fakes with "
                "the classes of real samples; set penalty=r1 or none, or model.fake_labels=batch"
            )
        weights = ("adversarial", "feature_matching", "historical_averaging")
        yield from below({name: getattr(self, name) for name in weights}, 0)
        terms = {"consistency": self.consistency.real, "consistency_fake": self.consistency.fake}
        yield from below(terms | ({} if self.lecam is None else {"lecam": self.lecam.weight}), 0)
        yield from self._consistency_faults()
        yield from self._top_k_faults()
        if not self.adversarial and not self.feature_matching:
            yield (
                "model.adversarial = 0: the generator has nothing else to learn from; "
                "set model.feature_matching=1, or adversarial=1"
            )

    def _consistency_faults(self) -> Iterator[str]:
        if not self.consistency:
            return
        policies = self.consistency.policies
        shown = f"model.consistency_augment = [{','.join(policies)}]"
        if not policies or any(policy not in POLICIES for policy in policies):
            yield f"{shown}: must be a list of some of {', '.join(POLICIES)}"
        elif not self.data.is_image:
            yield f"{shown}: works on images, and {self.data.name} holds points; set both weights 0"

    def _top_k_faults(self) -> Iterator[str]:
        least, decay, every = self.top_k
        if not 0 < least <= 1:
            yield f"model.top_k = {least:g}: must lie in (0, 1]"
        if not 0 < decay <= 1:
            yield f"model.top_k_decay = {decay:g}: must lie in (0, 1]"
        yield from below({"top_k_every": every}, 1)
        if least < 1 and (self.loss.compares or self.loss.whole_batch or self.feature_matching):
            yield (
                f"model.top_k = {least:g}: chooses fakes one by one, and this loss compares them "
                "with other samples; set model.top_k=1, or another loss"
            )

    def _history(self, network: nn.Module) -> History | None:
        weight = self.historical_averaging
        return History(network, weight) if weight else None

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        others = (self.discriminator_history, self.adaptive, self.lecam)
        return (self.discriminator, *(module for module in others if module is not None))

    def generator_modules(self) -> tuple[nn.Module, ...]:
        history = self.generator_history
        return (self.generator,) if history is None else (self.generator, history)

    def after_discriminator(self) -> None:
        if self.discriminator_history is not None:
            self.discriminator_history.record(self.discriminator)
        if self.adaptive is not None:
            self.adaptive.adapt()

    def after_generator(self) -> None:
        if self.generator_history is not None:
            self.generator_history.record(self.generator)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real from fake."""
        y, wanted = self._labels(batch), self._wanted(batch)
        fake = self._fakes(batch, wanted)
        if self.share_fakes:
            batch.kept["fake"] = fake
            if self.fake_labels == "uniform" and wanted is not None:
                batch.kept["wanted"] = wanted
        seen = self.view(batch.real, batch), self.view(fake, batch)
        outputs = self.outputs(seen, (y, wanted))
        samples = seen
        if self.adaptive is not None:
            samples = self.view.pack(batch.real), self.view.pack(fake)
        game = self.compare(samples, outputs, self.penalised(batch, y))
        game = self._with_regularisation(game, outputs, batch, fake, (y, wanted))
        history = self.discriminator_history
        if history is None:
            return game
        return history.added(game, self.loss.player, self.discriminator)

    def _with_regularisation(
        self,
        game: Loss,
        outputs: tuple[Tensor, Tensor],
        batch: Batch,
        fake: Tensor,
        labels: tuple[Tensor | None, Tensor | None],
    ) -> Loss:
        """The discriminator's loss with the terms of its outputs on real and on fake samples."""
        terms: dict[str, Tensor] = {}
        if self.lecam is not None:
            terms["lecam"] = self.lecam(*outputs)
        weights = self.consistency.real, self.consistency.fake
        for name, weight, x, output, y in zip(
            ("real", "fake"), weights, (batch.real, fake), outputs, labels, strict=True
        ):
            if weight:

                def score(x: Tensor, y: Tensor | None = y) -> Tensor:
                    return self.discriminator(self.view(x, batch), y)

                terms[f"consistency/{name}"] = weight * self.consistency(score, x, output)
        logs = {**game.logs, **{name: term.detach() for name, term in terms.items()}}
        if self.adaptive is not None:
            self.adaptive.record(outputs[0], batch.whole)
            logs["ada/p"] = self.adaptive.p.clone()
        total = game.total
        for term in terms.values():
            total = total + term
        return Loss(total, logs, game.outputs)

    def penalty_loss(self, batch: Batch) -> Loss:
        y = self._labels(batch)
        real = self.before_penalty(batch.real, batch)
        fake = self.before_penalty(self._fakes(batch, y), batch)
        return self.lazy_penalty(self.penalised(batch, y), real, fake)

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator take fakes for real."""
        y, wanted = self._labels(batch), batch.kept.pop("wanted", None)
        if wanted is None:
            wanted = self._wanted(batch, self.multiple)
        fake = batch.kept.pop("fake", None)
        if fake is None:
            fake = self._fakes(batch, wanted, self.multiple)
        fake = self.view(fake, batch)
        if self.feature_matching:
            game = self._matched(self.view(batch.real, batch), fake, y, wanted)
        else:
            real = self.view(batch.real, batch) if self.loss.compares else None
            against = None if real is None else self.discriminator(real, y)
            output = self.discriminator(fake, wanted)
            total = self.loss.generator(self._best(output, batch), against)
            game = Loss(self.adversarial * total, {})
        history = self.generator_history
        return game if history is None else history.added(game, "generator", self.generator)

    def _best(self, output: Tensor, batch: Batch) -> Tensor:
        """The outputs [n] that the generator learns from: all, or the highest."""
        least, decay, every = self.top_k
        if least == 1:
            return output
        share = top_share(batch.step, least, decay, every)
        return output.topk(max(1, int(share * len(output)))).values

    def _matched(self, real: Tensor, fake: Tensor, y: Tensor | None, wanted: Tensor | None) -> Loss:
        """The generator's loss with feature matching, on samples as the discriminator sees them."""
        theirs = self.discriminator.features(real, y)
        mine = self.discriminator.features(fake, wanted)
        gap = feature_gap(theirs, mine)
        total = self.feature_matching * gap
        if self.adversarial:
            against = self.discriminator.output_of(theirs, y) if self.loss.compares else None
            game = self.loss.generator(self.discriminator.output_of(mine, wanted), against)
            total = total + self.adversarial * game
        return Loss(total, {"feature_matching": gap.detach()})

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """The discriminator's output [n]; None without the labels or samples that it needs.

        A pack of copies would be no answer: such packs are what a packing discriminator rejects.
        """
        if self.pack > 1 or compares_samples(self.discriminator):
            return None
        if self.conditional and y is None:
            return None
        return self.discriminator(x, y if self.conditional else None)

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.conditional else None

    def _wanted(self, batch: Batch, times: int = 1) -> Tensor | None:
        """The classes of `times` as many fakes; None for a model without."""
        if self.conditional and self.fake_labels == "uniform":
            return torch.randint(self.data.classes, (times * len(batch),), device=self.device)
        labels = self._labels(batch)
        return labels if labels is None or times == 1 else labels.repeat_interleave(times)

    def _fakes(self, batch: Batch, y: Tensor | None, times: int = 1) -> Tensor:
        z = self.prior.sample(times * len(batch), self.device)
        if self.pack == 1 or self.pack_passes == "batch":
            return self.generate(z, y)
        # As in the authors' code each member of the packs is a pass, and so a batch, of its own.
        members = [self.generate(z[place :: self.pack]) for place in range(self.pack)]
        return torch.stack(members, dim=1).flatten(0, 1)


class History(nn.Module):
    """weight * |theta - mean of theta[1 .. t]|^2, where theta[i] are a network's past parameters.

    The means are buffers, so they are part of a run's state. The network itself is handed over at
    each call and belongs to the model.

    Args:
        network: whose parameters are looked back on; as they are now, they are theta[1].
        weight: of the term.
    """

    count: Tensor

    def __init__(self, network: nn.Module, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("count", torch.ones((), dtype=torch.int64))
        for place, parameter in enumerate(network.parameters()):
            self.register_buffer(f"mean_{place}", parameter.detach().clone())

    def forward(self, network: nn.Module) -> Tensor:
        """The term, a scalar; the means are constants in it."""
        distances = [(p - mean).square().sum() for p, mean in self._pairs(network)]
        return self.weight * torch.stack(distances).sum()

    @torch.no_grad()
    def record(self, network: nn.Module) -> None:
        """Take in the parameters after an update."""
        self.count += 1
        for parameter, mean in self._pairs(network):
            mean += (parameter - mean) / self.count

    def added(self, game: Loss, player: str, network: nn.Module) -> Loss:
        """A player's loss with this term."""
        term = self(network)
        logs = {**game.logs, f"historical_averaging/{player}": term.detach()}
        return Loss(game.total + term, logs, game.outputs)

    def _pairs(self, network: nn.Module) -> list[tuple[Tensor, Tensor]]:
        means = (self.get_buffer(f"mean_{i}") for i in range(len(self._buffers) - 1))
        return list(zip(network.parameters(), means, strict=True))


def feature_gap(real: Tensor, fake: Tensor) -> Tensor:
    """|E f(x) - E f(G(z))|^2 of a discriminator's features, each [n, width]; a scalar.

    Salimans et al. 2016, section 3.1.
    """
    return (real.float().mean(0) - fake.float().mean(0)).square().sum()
