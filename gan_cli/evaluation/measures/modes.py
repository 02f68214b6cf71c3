"""Modes of toy data: how many are generated, how exactly and how evenly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.stacked_mnist import CHANNELS, CLASSES, read_as_number
from gan_cli.data.toy import Mixture
from gan_cli.evaluation.features import CHUNK, quantised
from gan_cli.evaluation.metric import (
    Extractor,
    Metric,
    MetricResult,
    MetricValue,
    Subject,
)
from gan_cli.evaluation.real_baseline import generated, once, real, shuffled
from gan_cli.evaluation.trained_model import Real
from gan_cli.metrics.modes import coverage, kl_from_uniform, perfect_share

SAMPLES = 2500  # in VEEGAN and PacGAN; more samples find more modes


class Modes(Metric):
    """VEEGAN's and PacGAN's figures on mixtures of Gaussians such as ring and grid."""

    order = 80
    higher_is_better: ClassVar = {
        "modes_captured": True,
        "high_quality_share": True,
        "modes_reverse_kl": False,
    }

    def unfit(self, subject: Subject) -> str:
        """Why not: the modes must be known, and several."""
        if subject.data.kind != "points":
            return f"the modes of {subject.data.kind} are not known"
        data = subject.real(subject.options.split)
        if not isinstance(data, Mixture):
            return "the positions of the data's modes are unknown"
        return "" if len(data.modes) > 1 else "the data has one mode only"

    def measure(self, subject: Subject) -> MetricResult:
        """Modes captured, share of samples of high quality, and reverse KL over modes."""
        data = subject.real(subject.options.split)
        assert isinstance(data, Mixture)
        made = coverage(generated(subject, SAMPLES).samples, data.modes, data.deviation)
        places = shuffled(data)[:SAMPLES]
        true = coverage(real(data, places), data.modes, data.deviation)
        share, n = made.high_quality, SAMPLES
        protocol = {
            **subject.protocol(),
            "samples": SAMPLES,
            "modes": len(data.modes),
            "high_quality": "closer to the nearest mode than 3 deviations",
            "floor": f"of {len(places)} real samples",
        }
        asked = "each mode is requested equally often" if subject.model.conditional else ""
        perfect = 100 * perfect_share(data.modes.shape[1])
        figures = [
            MetricValue("modes_captured", made.captured, true.captured, None, protocol, asked),
            MetricValue(
                "high_quality_share",
                share,
                true.high_quality,
                math.sqrt(share * (1 - share) / n),
                protocol,
                f"a perfect sampler has {perfect:.2f} %",
            ),
            MetricValue(
                "modes_reverse_kl",
                _reverse_kl(made.counts),
                _reverse_kl(true.counts),
                None,
                protocol | {"kl": "of modes, generated from uniform, in nats, high quality only"},
                asked if made.captured else "no sample is of high quality, so it is at its largest",
            ),
        ]
        return MetricResult(figures)


def _reverse_kl(counts: Tensor) -> float:
    return kl_from_uniform(counts) if int(counts.sum()) else math.log(len(counts))


STACKS = 26_000  # in VEEGAN and PacGAN; more samples find more modes
READ = 1024  # stacks at once


class StackedModes(Metric):
    """VEEGAN's and PacGAN's figures: a classifier of digits reads each channel.

    Args:
        digits: gives the classifier; None for MNIST's own, at the size of the images.
    """

    order = 90
    higher_is_better: ClassVar = {"stacked_modes": True, "stacked_reverse_kl": False}

    def __init__(self, digits: Callable[[Subject], Extractor] | None = None) -> None:
        self.digits = digits or mnist_classifier

    def unfit(self, subject: Subject) -> str:
        """Why not: it is for stacked digits."""
        return (
            "" if subject.data.name == "stacked_mnist" else "it counts the modes of stacked_mnist"
        )

    def measure(self, subject: Subject) -> MetricResult:
        """Modes that at least one sample is read as, and KL from the uniform distribution."""
        digits = self.digits(subject)
        made = modes_seen((drawn.samples for drawn in subject.draw(STACKS)), digits)
        data = subject.real(subject.options.split)
        places = shuffled(data)[:STACKS]
        stacks = (real(data, some) for some in places.split(READ))
        key = ("stacked_modes", data.fingerprint, digits.identity)
        true = once(key, lambda: modes_seen(stacks, digits))
        protocol = subject.protocol(digits) | {
            "samples": STACKS,
            "modes": CLASSES,
            "floor": f"of {len(places)} real stacks",
            "kl": "of modes, generated from uniform, in nats",
        }
        asked = "each mode is requested equally often" if subject.model.conditional else ""
        seen, baseline = (int((counts > 0).sum()) for counts in (made, true))
        kl, kl_baseline = kl_from_uniform(made), kl_from_uniform(true)
        return MetricResult(
            [
                MetricValue("stacked_modes", seen, baseline, None, protocol, asked),
                MetricValue("stacked_reverse_kl", kl, kl_baseline, None, protocol, asked),
            ]
        )


def modes_seen(stacks: Iterable[Tensor], digits: Extractor) -> Tensor:
    """How often each number is read, int64 [1000], of pieces [n, 3, H, W] in [-1, 1]."""
    counts = torch.zeros(CLASSES, dtype=torch.int64)
    for piece in stacks:
        for some in quantised(piece).split(CHUNK):
            with torch.no_grad():
                _, logits = digits.features(some.flatten(0, 1).unsqueeze(1))  # channel by channel
            if logits is None:
                raise ValueError(f"{digits.name}: classifies nothing")
            numbers = read_as_number(logits.argmax(1).cpu().view(-1, CHANNELS))
            counts += numbers.bincount(minlength=CLASSES)
    return counts


def mnist_classifier(subject: Subject) -> Extractor:
    """The classifier that is trained on MNIST's single digits."""
    from gan_cli.evaluation.classifier import load

    node = {"_target_": "gan_cli.data.mnist.MNIST", "size": list(subject.data.shape[1:])}
    return load(Real(node), subject.device)
