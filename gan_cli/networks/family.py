"""The base of network families: their options, and what their generators and discriminators share.

A family is a frozen dataclass of its options, which `conf/network/<name>.yaml` sets; it builds both
networks for the data's shape and hands itself to them. A new one is one file and one YAML file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.errors import ConfigError
from gan_cli.formatting import any_of
from gan_cli.labels import in_shares
from gan_cli.model import DataSpec
from gan_cli.networks.layers import REFERENCES, AcrossSamples, Norm, VirtualBatchNorm

Init = Literal["normal", "he"]

DEEPEST = 1000  # layers or blocks


class Options:
    """The base of families of any kind: their options, and what penalties must know of them."""

    def __post_init__(self) -> None:
        """Check the options: a `Literal` is one of its choices, a whole number at least 1.

        Depths are bounded, as a billion layers would fill the memory before they are all built.

        Raises:
            ConfigError: an option has another value.
        """
        kinds = get_type_hints(type(self))
        for name in [field.name for field in fields(self)]:  # type: ignore[arg-type]
            value, kind = getattr(self, name), kinds[name]
            if get_origin(kind) is Literal and value not in get_args(kind):
                choices = any_of(list(get_args(kind)))
                raise ConfigError(f"network.{name} = {value}: must be {choices}")
            if int in (kind, *get_args(kind)) and isinstance(value, int) and value < 1:
                raise ConfigError(f"network.{name} = {value}: must be at least 1")
            if name.endswith(("depth", "blocks")) and isinstance(value, int) and value > DEEPEST:
                raise ConfigError(f"network.{name} = {value}: must be at most {DEEPEST:,}")

    @property
    def mixes_samples(self) -> bool:
        """Whether the discriminator's output on a sample depends on the others of its batch."""
        return False

    @property
    def lipschitz(self) -> bool:
        """Whether the discriminator's slope is bounded whatever its weights."""
        return False


class NetworkFamily(Options, ABC):
    """Builds the two players for a data set."""

    @abstractmethod
    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        """A network from latents of size `inputs` to samples of `data`."""

    @abstractmethod
    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        """A network from samples of `data` to one output each."""

    def encoder(self, data: DataSpec, outputs: int, classes: int = 0) -> Encoder:
        """A network from samples of `data` to `outputs` numbers each: the discriminator's trunk."""
        return Encoder(self.discriminator(data, classes), outputs)

    def joint_discriminator(self, data: DataSpec, latents: int) -> Discriminator:
        """A network from a sample of `data`, flattened, and its latent beside it to one output."""
        return JointDiscriminator(self.discriminator(data), data.shape, latents)


@dataclass(frozen=True, kw_only=True)
class StandardFamily(NetworkFamily):
    """A family with the options that most have.

    Args:
        discriminator_norm: "batch", "layer" or "none", where biases take its place.
        spectral_norm: of the discriminator's weights (Miyato et al. 2018); best with
            `discriminator_norm` "none", as there.
        conditioning: how the discriminator takes labels: "label_bias" (Mirza and Osindero 2014) or
            "projection" (Miyato and Koyama 2018).
        minibatch_discrimination: kernels and their dimension (Salimans et al. 2016); None for none.
        generator_norm: "batch", "virtual_batch" (Salimans et al. 2016), "layer" or "none", where
            biases take its place.
    """

    discriminator_norm: Literal["batch", "layer", "none"] = "batch"
    spectral_norm: bool = False
    conditioning: Literal["label_bias", "projection"] = "label_bias"
    minibatch_discrimination: tuple[int, int] | None = None
    generator_norm: Norm = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minibatch_discrimination and min(self.minibatch_discrimination) < 1:
            shown = "[{},{}]".format(*self.minibatch_discrimination)
            raise ConfigError(
                f"network.minibatch_discrimination = {shown}: kernels and their dimension must "
                "both be at least 1"
            )

    @property
    def mixes_samples(self) -> bool:
        return self.discriminator_norm == "batch" or self.minibatch_discrimination is not None

    @property
    def lipschitz(self) -> bool:
        return self.spectral_norm and self.discriminator_norm == "none" and not self.mixes_samples


class Generator(nn.Module, ABC):
    """Latents [n, inputs] and, where `classes` > 0, labels [n] to samples [n, *shape].

    Args:
        inputs: size of the latents.
        classes: number of labels; 0 for none.
        norm: of its layers; "virtual_batch" keeps a batch of reference latents.
        images: squash samples into [-1, 1] by tanh; points have no bounds.
    """

    reference: Tensor | None  # [REFERENCES, inputs + classes]
    truncation: float | None = None  # psi, of those that truncate styles in place of latents

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
        """Set the reference latents of virtual batch norm, with labels in the classes' shares.

        Args:
            sample: draws latents [n, inputs] from the prior, given n. Until this is called, the
                reference is standard normal.
            shares: weights of the classes; empty: equal ones.
        """
        if self.reference is not None:
            shares = shares if self.classes and shares else (1,) * max(self.classes, 1)
            y = in_shares(shares, 0, REFERENCES)
            self.reference.copy_(self.conditioned(sample(REFERENCES), y))

    def run(self, layers: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """`layers` on the conditioned latents `z` [n, ...], after the reference if there is one."""
        if self.reference is None:
            return layers(z)
        reference = self.reference.view(-1, *z.shape[1:])
        return layers(torch.cat([reference.to(z.dtype), z]))[REFERENCES:]

    def conditioned(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The latent and the one-hot label, concatenated (Mirza and Osindero 2014, Eq. 2).

        In place of labels [n], `y` may be mixtures of classes, floats [n, classes].
        """
        if not self.classes:
            return z
        if y is None:
            raise ValueError("a conditional generator needs labels")
        mixture = y if y.is_floating_point() else one_hot(y, self.classes)
        return torch.cat([z, mixture.to(z.dtype)], dim=1)

    @abstractmethod
    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode without the last tanh of images.

        Since (tanh(u) + 1) / 2 = sigmoid(2 u), twice this are the logits of pixels in [0, 1].
        """

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode."""
        return self.squash(self.raw(z, y))


class Discriminator(nn.Module, ABC):
    """Samples [n, *shape] and, where it was built for classes, labels [n] to outputs [n].

    Args:
        options: how it takes labels and discriminates minibatches; None: by a label bias, and not.
    """

    width: int  # of the features
    head: nn.Linear
    # Whether an output depends on its own sample alone, so that real and fake may share a pass,
    # and whether that is faster.
    joint = False
    crowd: MinibatchDiscrimination | None  # the name of its weights in checkpoints

    def __init__(self, options: StandardFamily | None = None) -> None:
        super().__init__()
        self.projects = options is not None and options.conditioning == "projection"
        self.minibatch = None if options is None else options.minibatch_discrimination
        self.projection: nn.Embedding | None = None
        self.crowd = None

    @abstractmethod
    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The trunk's features of samples: [n, width]."""

    def output_of(self, features: Tensor, y: Tensor | None = None) -> Tensor:
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
        return self.output_of(self.features(x, y), y)

    def label_bias(self, classes: int, channels: int) -> LabelBias:
        """The label bias of a layer with `channels`; empty where labels come in by projection."""
        return LabelBias(0 if self.projects else classes, channels)

    def build_head(self, trunk: int, classes: int, bias: bool = True) -> None:
        """Build the layers after the trunk, whose output is [n, trunk]."""
        self.width = trunk
        if self.minibatch is not None:
            self.crowd = MinibatchDiscrimination(trunk, *self.minibatch)
            self.width += self.crowd.kernels
        if classes and self.projects:
            self.projection = nn.Embedding(classes, self.width)
            bound = self.width**-0.5  # as torch initialises the linear head
            nn.init.uniform_(self.projection.weight, -bound, bound)
        self.head = nn.Linear(self.width, 1, bias=bias)

    def with_closeness(self, features: Tensor) -> Tensor:
        """The trunk's output [n, trunk], through minibatch discrimination where it is on."""
        return features if self.crowd is None else self.crowd(features)


class JointDiscriminator(Discriminator):
    """Pairs of a sample and its latent, [n, size of a sample + latents], to outputs [n].

    As in Dumoulin et al. 2017, appendix A: the sample goes through a discriminator's trunk, the
    latent through two linear layers, and what comes of both through two more.

    Args:
        trunk: of the sample; its head is not used.
        shape: of a sample.
        latents: size of the latent.
        width: units of the linear layers.
    """

    def __init__(
        self, trunk: Discriminator, shape: tuple[int, ...], latents: int, width: int = 512
    ) -> None:
        super().__init__()
        del trunk.head
        self.trunk, self.shape, self.size = trunk, shape, math.prod(shape)
        self.latent = perceptron(latents, width, 2)
        self.both = perceptron(trunk.width + width, width, 2)
        dcgan_init(self.latent)
        dcgan_init(self.both)
        self.build_head(width, 0)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        sample, latent = x[:, : self.size].view(-1, *self.shape), x[:, self.size :]
        found = self.trunk.features(sample)
        return self.both(torch.cat([found, self.latent(latent).to(found.dtype)], dim=1))


def joint(x: Tensor, z: Tensor) -> Tensor:
    """Samples [n, *shape], flattened, and latents [n, dim] beside them."""
    return torch.cat([x.flatten(1), z.to(x.dtype)], dim=1)


def perceptron(inputs: int, width: int, depth: int) -> nn.Sequential:
    """Hidden layers [n, inputs] to [n, width], each with LeakyReLU .2."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.Linear(width if layer else inputs, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


class LabelBias(nn.Module):
    """A learned vector for each class, added to a layer's output before its activation.

    It equals a one-hot label concatenated to a linear layer's input. For a convolution, constant
    label planes give one value per channel too, except at padded borders. Without classes it adds
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


class MinibatchDiscrimination(AcrossSamples):
    """The closeness of each sample to the others of its batch (Salimans et al. 2016, section 3.2).

    With a learned tensor T, M_i = f(x_i) T has one row of `dim` numbers per kernel b, and
    o(x_i)_b = sum_j exp(-|M_ib - M_jb|_1) over the whole batch, i itself included, as in the paper.
    Real and fake samples must come in separate batches. The authors' code leaves i out, normalises
    the columns of T, scales them by the first batch and adds a bias of -1.

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
        """Features [n, width] with o appended: [n, width + kernels]."""
        rows = self.tensor(features).float().view(-1, self.kernels, self.dim)
        distances = (rows[:, None] - rows[None]).abs().sum(3)  # [n, n, kernels]
        closeness = torch.exp(-distances).sum(1)
        return torch.cat([features, closeness.to(features.dtype)], dim=1)


class Encoder(nn.Module):
    """Samples [n, *shape] and, where it was built for classes, labels [n] to [n, outputs].

    Args:
        trunk: the discriminator whose features are encoded; its head is removed.
        outputs: size of the linear layer on the features.

    Raises:
        ConfigError: the trunk's features of a sample depend on other samples, or not on its label.
    """

    def __init__(self, trunk: Discriminator, outputs: int) -> None:
        super().__init__()
        if trunk.crowd is not None:
            raise ConfigError(
                "network.minibatch_discrimination: makes an encoder's output on a sample depend on "
                "the others of its batch; set network.minibatch_discrimination=null"
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


def dcgan_init(module: nn.Module, init: Init = "normal") -> None:
    """Initialise weights; norms' gains from N(1, .02), biases 0 (Radford et al. 2016, s. 4).

    Args:
        module: whose layers are initialised.
        init: "normal" for weights from N(0, .02), as there; "he" for N(0, 2 / inputs of a unit)
            (He et al. 2015, Eq. 10), with which signals keep their size where there are no norms.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, 0.0, 0.02 if init == "normal" else he_deviation(layer))
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d | nn.GroupNorm | VirtualBatchNorm):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        else:
            continue
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def he_deviation(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding) -> float:
    """The deviation sqrt(2 / inputs of a unit) of He et al. 2015; of an embedding's entry 1."""
    if isinstance(layer, nn.Embedding):
        return 1.0
    if isinstance(layer, nn.ConvTranspose2d):
        # A pixel gets each stride-th tap of each channel; with stride 1 the input is one pixel.
        strides = math.prod(layer.stride)
        taps = math.prod(layer.kernel_size) / strides if strides > 1 else 1
        return math.sqrt(2 / (layer.in_channels * taps))
    return math.sqrt(2 / layer.weight[0].numel())
