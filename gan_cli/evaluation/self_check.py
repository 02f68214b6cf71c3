"""A check of the Inception network and all behind it: CIFAR-10's train against its test images."""

from __future__ import annotations

from torch import Tensor

from gan_cli.data.cifar10 import CIFAR10
from gan_cli.data.progress import progress_bar
from gan_cli.errors import ConfigError
from gan_cli.evaluation.collecting import Collector
from gan_cli.evaluation.measure import LOWER, Extractor, Features, Figure
from gan_cli.metrics.frechet import frechet_distance
from gan_cli.metrics.kernel import kernel_distance

EXPECTED = 3.15  # FID of all 50,000 train images against all 10,000 test images
LEAST = 2
AT_ONCE = 256  # images


def self_check(root: str | None, samples: int | None, extractor: Extractor) -> list[Figure]:
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
        Figure(f"fid_{extractor.name}", fid, LOWER, protocol=protocol, note=note),
        Figure(f"kid_{extractor.name}", kid.value, LOWER, error=kid.error, protocol=protocol),
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
