"""The Inception network of 2015-12-05, whose pooled features FID and KID are defined on."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gan_cli.console import progress_bar
from gan_cli.data.cifar10 import CIFAR10
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation.features import Collector, exactly
from gan_cli.evaluation.inception_network import WIDTH, ConvWeights, convolutions, network
from gan_cli.evaluation.inception_weights import find_weights, identity
from gan_cli.evaluation.metric import LOWER, Extractor, Features, MetricValue
from gan_cli.metrics.frechet import frechet_distance
from gan_cli.metrics.kernel import kernel_distance

SIDE = 299  # pixels of the images that it takes
CHUNK = {"cpu": 16, "cuda": 128}  # images at once


def prepared(images: Tensor) -> Tensor:
    """What the network takes, float32 [n, 3, 299, 299] in [-1, 1], of uint8 [n, 1 or 3, H, W].

    As in pytorch-fid: bilinear without antialiasing, pixel centres (align_corners=False), on
    numbers that are not rounded; one grey channel becomes three.
    """
    x = images.float() / 255
    if x.shape[-2:] != (SIDE, SIDE):
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return (2 * x - 1).expand(-1, 3, -1, -1)


def prepared_clean(images: Tensor) -> Tensor:
    """As `prepared`, by the rule of clean-fid (Parmar et al. 2022, section 3, and their code).

    PIL's bicubic filter, which averages over all pixels that a smaller image has room for, of each
    channel in floating point, cut to [0, 255] and not rounded; then (x - 128) / 128.
    """
    x = images.float()
    if x.shape[-2:] != (SIDE, SIDE):
        planes = x.flatten(0, 1).cpu().numpy()
        size, filter_ = (SIDE, SIDE), Image.Resampling.BICUBIC
        sized = [np.asarray(Image.fromarray(one).resize(size, filter_)) for one in planes]
        found = torch.from_numpy(np.stack(sized)).view(*x.shape[:2], SIDE, SIDE)
        x = found.clamp(0, 255).to(images.device)
    return ((x - 128) / 128).expand(-1, 3, -1, -1)


BILINEAR, CLEAN = "bilinear", "clean"
RESIZES = {
    BILINEAR: (
        prepared,
        "bilinear to 299x299 without antialiasing, as pytorch-fid; grey as three channels",
    ),
    CLEAN: (
        prepared_clean,
        "antialiased bicubic to 299x299 by PIL, as clean-fid; grey as three channels",
    ),
}


class Inception(Extractor):
    """Pooled features [n, 2048] of the Inception network of 2015-12-05, always in fp32.

    Its logits are features times the last layer without that one's bias, as in the graph by which
    the Inception Score was defined (Salimans et al. 2016; `logits_unbiased` of torch-fidelity).

    Args:
        weights: of its 94 convolutions, in order.
        device: where it computes.
        last: [classes, 2048]; None gives no logits.
        resize: "bilinear", as pytorch-fid, or "clean", as clean-fid.
    """

    name = "inception"
    width = WIDTH

    def __init__(
        self,
        weights: list[ConvWeights],
        device: torch.device | str = "cpu",
        last: Tensor | None = None,
        resize: str = BILINEAR,
    ) -> None:
        self.identity, self.last = identity(weights), last
        self.prepared, self.resize = RESIZES[resize]
        self.classes = 0 if last is None else len(last)
        self.device = torch.device(device)
        with torch.device("meta"):  # all numbers are set below
            self.network = network()
        self.network.to_empty(device="cpu")
        for conv, source in zip(convolutions(self.network), weights, strict=True):
            conv.take(source)
        self.network.eval().requires_grad_(False)
        self.network.to(self.device)
        if self.device.type in ("cpu", "cuda"):
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features float32 [n, 2048] and logits of uint8 [n, 1 or 3, H, W], on the CPU.

        Raises:
            DataError: they are not images of one or three channels.
        """
        if images.dim() != 4 or images.shape[1] not in (1, 3) or images.dtype != torch.uint8:
            raise DataError(
                f"{list(images.shape)}: Inception takes images of one or three channels; choose "
                "other metrics"
            )
        found = [torch.empty(0, WIDTH)]
        with exactly(), torch.autocast(self.device.type, enabled=False):
            for chunk in images.split(CHUNK.get(self.device.type, 32)):
                x = self.prepared(chunk.to(self.device)).contiguous(
                    memory_format=torch.channels_last
                )
                found.append(self.network(x).cpu())
        features = torch.cat(found)
        return features, self.classify(features)

    def classify(self, features: Tensor) -> Tensor | None:
        """Logits [n, 1008] of features [n, 2048] on the CPU; None without the last layer."""
        return None if self.last is None else features @ self.last.T


def load(
    path: str | None = None, device: torch.device | str = "cpu", resize: str = BILINEAR
) -> Inception:
    """The network with its weights, from `path` or wherever else they are found.

    Raises:
        DataError: they cannot be had; the message says what can be done.
    """
    found = find_weights(path)
    return Inception(found.convolutions, device, found.last, resize)


EXPECTED = 3.15  # FID of all 50,000 train images against all 10,000 test images
LEAST = 2
AT_ONCE = 256  # images


def self_check(root: str | None, samples: int | None, extractor: Extractor) -> list[MetricValue]:
    """FID and KID of CIFAR-10's first `samples` train images against as many test images.

    Args:
        root: the folder with CIFAR-10; None looks in the cache and downloads.
        samples: of each part, at most; None takes all, 50,000 and 10,000.
        extractor: the Inception network.

    Raises:
        ConfigError: there are fewer than two samples.
        DataError: CIFAR-10 cannot be had.
    """
    if samples is not None and samples < LEAST:
        raise ConfigError(f"samples = {samples}: must be at least {LEAST}")
    parts = [CIFAR10(split, root) for split in ("train", "test")]
    train, test = (_features(part.values[:samples], extractor) for part in parts)
    protocol: dict[str, str | int | float] = {
        "data": "cifar10, train against test",
        "train_samples": train.count,
        "test_samples": test.count,
        "extractor": extractor.name,
        "extractor_sha256": extractor.identity,
        "resize": extractor.resize,
    }
    whole = train.count == len(parts[0]) and test.count == len(parts[1])
    note = f"near {EXPECTED} is expected" if whole else _bias(train.count, test.count)
    fid = frechet_distance(train.mean, train.covariance, test.mean, test.covariance)
    kid = kernel_distance(train.kept, test.kept)
    return [
        MetricValue(f"fid_{extractor.name}", fid, protocol=protocol, note=note, better=LOWER),
        MetricValue(
            f"kid_{extractor.name}", kid.value, error=kid.error, protocol=protocol, better=LOWER
        ),
    ]


def _bias(train: int, test: int) -> str:
    return (
        f"near {EXPECTED} is expected of all 50,000 and 10,000 images; {train:,} and {test:,} give "
        "more, since FID's bias grows as samples become fewer"
    )


def _features(images: Tensor, extractor: Extractor) -> Features:
    collector = Collector(extractor)
    with progress_bar(f"cifar10 through {extractor.name}", len(images)) as advance:
        for some in images.split(AT_ONCE):
            collector.add(some)
            advance(len(some))
    return collector.features()
