"""What every network family offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.errors import ConfigError
from gan_cli.labels import in_shares
from gan_cli.model import DataSpec
from gan_cli.networks.layers import REFERENCES, VirtualBatchNorm


class MinibatchDiscrimination(nn.Module):
    """How close each sample of a batch is to the others (Salimans et al. 2016, section 3.2).

    With a learned tensor T, M_i = f(x_i) T has one row of `dim` numbers per kernel b, and
    o(x_i)_b = sum_j exp(-|M_ib - M_jb|_1) over the whole batch, i itself included, as in the paper.
    Real and fake samples must come in separate batches.

    Args:
        width: of the features f.
        kernels: B in the paper.
        dim: of each kernel's space, C in the paper.
    """

    def __init__(self, width: int, kernels: int, dim: int) -> None:
        super().__init__()
        self.kernels, self.dim = kernels, dim
        self.tensor = nn.Linear(width, kernels * dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, width] with o beside them: [n, width + kernels]."""
        rows = self.tensor(features).float().view(-1, self.kernels, self.dim)
        distances = (rows[:, None] - rows[None]).abs().sum(3)  # [n, n, kernels]
        closeness = torch.exp(-distances).sum(1)
        return torch.cat([features, closeness.to(features.dtype)], dim=1)


class Encoder(nn.Module):
    """Samples [n, *shape] and, where it was built for classes, labels [n] to [n, outputs].

    Args:
        trunk: whose features are read; its head is taken off.
        outputs: numbers that one linear layer makes of the features.

    Raises:
        ConfigError: what the trunk makes of a sample depends on others, or leaves its label out.
    """

    def __init__(self, trunk: Discriminator, outputs: int) -> None:
        super().__init__()
        if trunk.crowd is not None:
            raise ConfigError(
                "network.minibatch_discrimination: makes what an encoder says of a sample depend "
                "on the others of its batch; set network.minibatch_discrimination=null"
            )
        if trunk.projection is not None:
            raise ConfigError(
                "network.conditioning = projection: puts labels into the output alone, which an "
                "encoder does not have; set network.conditioning=label_bias"
            )
        del trunk.head
        self.trunk = trunk
        self.head = nn.Linear(trunk.width, outputs)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The outputs [n, outputs]."""
        return self.head(self.trunk.features(x, y))


class Generator(nn.Module, ABC):
    """Latents [n, inputs] and, where `classes` > 0, labels [n] to samples [n, *shape].

    Args:
        inputs: size of the latents.
        classes: number of labels; 0 for none.
        norm: of its layers; with "virtual_batch" it has reference latents.
        images: whether samples are brought into [-1, 1], by tanh; points have no bounds.
    """

    reference: Tensor | None  # [REFERENCES, inputs + classes]

    def __init__(
        self, inputs: int, classes: int = 0, norm: str = "batch", images: bool = True
    ) -> None:
        super().__init__()
        self.classes = classes
        self.squash = nn.Tanh() if images else nn.Identity()
        virtual = norm == "virtual_batch"
        self.register_buffer(
            "reference", torch.zeros(REFERENCES, inputs + classes) if virtual else None
        )
        self.set_reference(lambda n: torch.randn(n, inputs))

    @torch.no_grad()
    def set_reference(self, sample: Callable[[int], Tensor], shares: Sequence[int] = ()) -> None:
        """Choose the latents of virtual batch norm once and for all, and labels in their shares.

        Args:
            sample: draws that many latents from the prior, [n, inputs]. Standard normals hold the
                place until this is called.
            shares: weights of the classes; empty: all alike.
        """
        if self.reference is not None:
            shares = shares if self.classes and shares else (1,) * max(self.classes, 1)
            y = in_shares(shares, 0, REFERENCES)
            self.reference.copy_(self.conditioned(sample(REFERENCES), y))

    def run(self, layers: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """`layers` on the conditioned latents `z` [n, ...], beside the reference where one is."""
        if self.reference is None:
            return layers(z)
        reference = self.reference.view(-1, *z.shape[1:])
        return layers(torch.cat([reference.to(z.dtype), z]))[REFERENCES:]

    def conditioned(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The latent with the one-hot label beside it (Mirza and Osindero 2014, Eq. 2)."""
        if not self.classes:
            return z
        if y is None:
            raise ValueError("a conditional generator needs labels")
        return torch.cat([z, one_hot(y, self.classes).to(z.dtype)], dim=1)

    @abstractmethod
    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode, but for the last tanh of images.

        Since (tanh(u) + 1) / 2 = sigmoid(2 u), twice this are the logits of pixels in [0, 1].
        """

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode."""
        return self.squash(self.raw(z, y))


@dataclass(frozen=True)
class Traits:
    """Settings that the discriminators of several families share.

    Args:
        discriminator_norm: of its layers: "batch", "layer" or "none", where biases take its place.
        spectral_norm: of its weights (Miyato et al. 2018).
        conditioning: how it takes labels: "label_bias" (Mirza and Osindero 2014) or "projection"
            (Miyato and Koyama 2018).
        minibatch_discrimination: kernels and their dimension (Salimans et al. 2016); None for none.

    Raises:
        ConfigError: a value that cannot be.
    """

    discriminator_norm: str = "batch"
    spectral_norm: bool = False
    conditioning: str = "label_bias"
    minibatch_discrimination: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        one_of("discriminator_norm", self.discriminator_norm, ("batch", "layer", "none"))
        one_of("conditioning", self.conditioning, ("label_bias", "projection"))
        if self.minibatch_discrimination and min(self.minibatch_discrimination) < 1:
            shown = "[{},{}]".format(*self.minibatch_discrimination)
            raise ConfigError(
                f"network.minibatch_discrimination = {shown}: kernels and their dimension must "
                "both be at least 1"
            )

    @property
    def mixes_samples(self) -> bool:
        """Whether the output on a sample depends on the others of the batch."""
        return self.discriminator_norm == "batch" or self.minibatch_discrimination is not None

    @property
    def lipschitz(self) -> bool:
        """Whether the slope is bounded whatever the weights."""
        return self.spectral_norm and self.discriminator_norm == "none" and not self.mixes_samples


class Discriminator(nn.Module, ABC):
    """Samples [n, *shape] and, where it was built for classes, labels [n] to outputs [n]."""

    width: int  # of the features
    head: nn.Linear

    def __init__(self, traits: Traits | None = None) -> None:
        super().__init__()
        self.traits = traits or Traits()
        self.projection: nn.Embedding | None = None
        self.crowd: MinibatchDiscrimination | None = None

    @abstractmethod
    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the trunk makes of samples: [n, width]."""

    def judge(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The output [n] on features [n, width]; in fp32, whatever the networks compute in.

        With a projection V of the labels it is <V_y, features> + psi(features)
        (Miyato and Koyama 2018, Eq. 3), where psi is the linear head.
        """
        output = self.head(features).squeeze(1).float()
        if self.projection is None:
            return output
        if y is None:
            raise ValueError("a conditional discriminator needs labels")
        return output + (self.projection(y) * features).sum(1).float()

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The output [n]: a logit, or a critic's value."""
        return self.judge(self.features(x, y), y)

    def label_bias(self, classes: int, channels: int) -> LabelBias:
        """That of a layer with so many channels; empty where labels come in by projection."""
        return LabelBias(0 if self.traits.conditioning == "projection" else classes, channels)

    def build_head(self, trunk: int, classes: int, bias: bool = True) -> None:
        """Make what follows the trunk, whose output is [n, trunk]: crowd, projection and head."""
        self.width = trunk
        if self.traits.minibatch_discrimination is not None:
            self.crowd = MinibatchDiscrimination(trunk, *self.traits.minibatch_discrimination)
            self.width += self.crowd.kernels
        if classes and self.traits.conditioning == "projection":
            self.projection = nn.Embedding(classes, self.width)
            bound = self.width**-0.5  # as torch begins the linear layer beside it
            nn.init.uniform_(self.projection.weight, -bound, bound)
        self.head = nn.Linear(self.width, 1, bias=bias)

    def crowded(self, features: Tensor) -> Tensor:
        """The trunk's output [n, trunk] with what minibatch discrimination says, where it is on."""
        return features if self.crowd is None else self.crowd(features)


class LabelBias(nn.Module):
    """A learned vector for each class, added to a layer's output before its activation.

    It is what a one-hot label beside a linear layer's input amounts to, which the layer turns into
    one row of weights. A convolution turns constant planes into one value per channel too, but at
    padded borders, where the planes end and their value is another. Without classes it adds
    nothing.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, width) if classes else None

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """`x` [n, width, ...] plus the vector of each label [n]."""
        if self.table is None:
            return x
        if y is None:
            raise ValueError("a conditional discriminator needs labels")
        bias = self.table(y)
        return x + bias.view(*bias.shape, *[1] * (x.dim() - 2))


class NetworkFamily(ABC):
    """Builds the two players for a data set."""

    mixes_samples = False  # whether the discriminator's output on a sample depends on the others
    lipschitz = False  # whether the discriminator's slope is bounded whatever its weights

    @abstractmethod
    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        """A network from latents of size `inputs` to samples of `data`."""

    @abstractmethod
    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        """A network from samples of `data` to one output each."""

    def encoder(self, data: DataSpec, outputs: int, classes: int = 0) -> Encoder:
        """A network from samples of `data` to `outputs` numbers each: the discriminator's trunk."""
        return Encoder(self.discriminator(data, classes), outputs)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    """`value` where it is one of `choices`."""
    if value not in choices:
        words = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ConfigError(f"network.{name} = {value}: must be {words}")
    return value


def positive(name: str, value: int) -> int:
    """`value` where it is at least 1."""
    if value < 1:
        raise ConfigError(f"network.{name} = {value}: must be at least 1")
    return value


def dcgan_init(module: nn.Module) -> None:
    """Weights from N(0, .02), norms' gains from N(1, .02), biases 0 (Radford et al. 2016, s. 4)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d | nn.GroupNorm | VirtualBatchNorm):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        else:
            continue
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
