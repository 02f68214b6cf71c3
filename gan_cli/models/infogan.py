"""A GAN whose codes can be recovered from its samples (InfoGAN, Chen et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, OneHotCategorical
from torch.nn.functional import cross_entropy, one_hot

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Grid, Loss
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.faults import below, refuse
from gan_cli.models.latent_variables import gaussian_log_likelihood
from gan_cli.networks.family import NetworkFamily, dcgan_init
from gan_cli.penalties import Penalty
from gan_cli.priors import Categorical, Prior, Product, Uniform


class InfoGAN(AdversarialModel):
    """A generator whose codes the discriminator's trunk must be able to recover.

    Both players add -information * L_I to their loss, where L_I = H(c) + E[log Q(c | G(z, c))] is
    a lower bound of the mutual information between codes and samples (Eq. 5 and 6). Q is a head on
    the discriminator's trunk and learns with it, as in the authors' code. Each phase draws its own
    latents, again as there, so fakes are not shared.

    Args:
        data: what is to be generated.
        prior: of the incompressible noise, beside the codes.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator.
        categories: of the categorical code.
        codes: number of continuous codes, uniform on [-1, 1].
        information: weight of the bound (lambda in Eq. 6).
        code_deviation: of Q's Gaussian over each continuous code, 1 in the authors' code; null to
            let Q learn it, which makes the bound tight.
    """

    prior: Product

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        categories: int = 10,
        codes: int = 2,
        information: float = 1.0,
        code_deviation: float | None = 1.0,
    ) -> None:
        refuse([*below({"categories": categories}, 2), *below({"codes": codes}, 1)])
        parts = {"noise": prior, "category": Categorical(categories), "codes": Uniform(codes)}
        super().__init__(data, Product(**parts), loss, penalty)
        self.categories, self.codes, self.information = categories, codes, information
        self.code_deviation = code_deviation
        self.build(network)
        self.log_deviation = None if code_deviation is None else math.log(code_deviation)
        spread = codes if code_deviation is None else 0
        self.recognition = nn.Sequential(
            nn.Linear(self.discriminator.width, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.LeakyReLU(getattr(network, "slope", 0.1), inplace=True),
            nn.Linear(128, categories + codes + spread),
        )
        dcgan_init(self.recognition)

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from below({"information": self.information}, 0)
        if self.code_deviation is not None and self.code_deviation <= 0:
            yield f"model.code_deviation = {self.code_deviation:g}: must be greater than 0"

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        return (self.discriminator, self.recognition)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real from fake, and recover the codes of fakes."""
        z = self.prior.sample(len(batch), self.device)
        fake = self.generate(z)
        features = self.discriminator.features(fake)
        outputs = self.discriminator(batch.real), self.discriminator.output_of(features)
        game = self.compare((batch.real, fake), outputs)
        bounds = self.bounds(features, z)
        logs = {f"information/{name}": bound.detach() for name, bound in bounds.items()}
        total = game.total - self.information * bounds["total"]
        return Loss(total, {**game.logs, **logs}, game.outputs)

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator take fakes for real, and make their codes recoverable."""
        z = self.prior.sample(len(batch), self.device)
        features = self.discriminator.features(self.generate(z))
        adversarial = self.reply(self.discriminator.output_of(features), batch)
        bound = self.bounds(features, z)["total"]
        return Loss(adversarial - self.information * bound, {})

    def bounds(self, features: Tensor, z: Tensor) -> dict[str, Tensor]:
        """L_I (Eq. 5) in nats: of the category, of the continuous codes together, and in total.

        Args:
            features: the discriminator's trunk on G(z), [n, width].
            z: the latents that were decoded, [n, prior.dim].
        """
        parts = self.prior.split(z)
        logits, mean, log_deviation = self._read(features)
        chosen = parts["category"].argmax(1)
        categorical = math.log(self.categories) - cross_entropy(logits, chosen)
        likelihood = gaussian_log_likelihood(parts["codes"], mean, log_deviation).sum(1).mean()
        continuous = self.codes * math.log(2) + likelihood
        return {
            "total": categorical + continuous,
            "categorical": categorical,
            "continuous": continuous,
        }

    def recognise(self, x: Tensor) -> dict[str, Distribution]:
        """Q of the category and of the continuous codes, from the discriminator's trunk on `x`."""
        logits, mean, log_deviation = self._read(self.discriminator.features(x))
        return {
            "category": OneHotCategorical(logits=logits),
            "codes": Independent(Normal(mean, log_deviation.exp()), 1),
        }

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q's logits [n, categories], and mean and log deviation of the codes, [n, codes] each."""
        outputs = self.recognition(features).float()
        logits, mean, spread = outputs.split(
            [self.categories, self.codes, outputs.shape[1] - self.categories - self.codes], dim=1
        )
        if self.log_deviation is None:
            return logits, mean, spread
        return logits, mean, torch.full_like(mean, self.log_deviation)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        """One row per category, and each continuous code swept from -2 to 2 (Fig. 2)."""
        grids = {
            "samples/fixed": Grid(self.generate(z), 8),
            "samples/random": Grid(self.sample(len(z)), 8),
        }
        columns = 10
        parts = self.prior.split(z[:columns])
        rows = one_hot(torch.arange(self.categories, device=z.device), self.categories).float()
        category = rows.repeat_interleave(columns, 0)
        across = {name: part.repeat(self.categories, 1) for name, part in parts.items()}
        varied = self.prior.join(**across | {"category": category})
        names = tuple(map(str, range(self.categories)))
        grids["samples/categories"] = Grid(self.generate(varied), columns, names)

        same = {name: part[:1].expand(len(category), -1) for name, part in parts.items()}
        sweep = torch.linspace(-2, 2, columns, device=z.device).repeat(self.categories)
        for i in range(self.codes):
            codes = torch.zeros(len(category), self.codes, device=z.device)
            codes[:, i] = sweep
            swept = self.prior.join(**same | {"category": category, "codes": codes})
            grids[f"samples/code_{i + 1}"] = Grid(self.generate(swept), columns, names)
        return grids
