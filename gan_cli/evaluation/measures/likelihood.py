"""How probable a model finds real samples that it has not been trained on, in nats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.console import progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.evaluation.real_baseline import batch_of, real, shuffled
from gan_cli.evaluation.trained_model import NotFiniteError
from gan_cli.model import Batch, HasLikelihood
from gan_cli.seeding import mix, seed_streams

DRAWN = 0x11E1  # the random stream of importance samples and of pixels drawn black or white
AT_ONCE = 100  # real samples; another number would draw other random numbers
WEIGHTED = ("elbo", "iwae")  # estimated from importance samples


class Likelihood(Metric):
    """The mean of log p over real samples, exact or a bound from below.

    Args:
        importance: samples of the importance-weighted bound.
        samples: real samples at most; None for all.
        dear: whether it takes minutes.
    """

    order = 110
    higher_is_better: ClassVar = {
        "*": True,
        "elbo": True,
        "iwae_*": True,
        "log_likelihood": True,
        "bits_per_dimension": False,
    }

    def __init__(
        self, importance: int = 100, samples: int | None = 1000, dear: bool = False
    ) -> None:
        self.importance, self.samples, self.dear = importance, samples, dear

    def unfit(self, subject: Subject) -> str:
        """Why not: the model must say how probable samples are."""
        kind = torch.int64 if subject.data.is_text else torch.float32
        zeros = torch.zeros(2, *subject.data.shape, dtype=kind, device=subject.device)
        labels = torch.zeros(2, dtype=torch.int64, device=subject.device)
        batch = Batch(labels, lambda _: zeros, lambda _: labels if subject.data.classes else None)
        found = _asked(subject, batch, 1, 0)
        if not found:
            return "the model has no likelihood"
        if self.dear and not any(name in found for name in WEIGHTED):
            return "the model's likelihood is exact, see likelihood"
        return ""

    def measure(self, subject: Subject) -> MetricResult:
        """Means with their standard errors; of pixels also in bits for each."""
        split = "test" if subject.has_test else subject.options.split
        data = subject.real(split)
        places = shuffled(data)[: self.samples]
        values = self._values(subject, data, places)
        told = subject.protocol() | {
            "split": split if subject.has_test else "all that was trained on",
            "samples": len(places),
            "real_samples": len(places),
            "unit": "nats",
        }
        truth = data.log_density(real(data, places))
        baseline = None if truth is None else float(truth.double().mean())
        if baseline is not None:
            told["floor"] = "of the true density on these samples"
        figures = []
        for name, value in values.items():
            weighted = name in WEIGHTED
            protocol = told | ({"importance_samples": self.importance} if weighted else {})
            shown = f"{name}_{self.importance}" if name == "iwae" else name
            mean, error = float(value.mean()), float(value.std() / math.sqrt(len(value)))
            figures.append(MetricValue(shown, mean, baseline, error, protocol, _note(subject)))
        if _density_of(subject):  # pixels have probabilities, not densities
            best = figures[-1]
            bits = 1 / (math.prod(subject.data.shape) * math.log(2))
            figures.append(
                MetricValue(
                    "bits_per_dimension",
                    -best.value * bits,
                    None,
                    None if best.error is None else best.error * bits,
                    {**best.protocol, "unit": "bits", "of": best.name},
                    best.note,
                )
            )
        return MetricResult(figures)

    def _values(self, subject: Subject, data: Dataset, places: Tensor) -> Mapping[str, Tensor]:
        """By name, float64 [number of places]."""
        found: dict[str, list[Tensor]] = {}
        with progress_bar(self.name, len(places)) as advance:
            for number, some in enumerate(places.split(AT_ONCE)):
                batch = batch_of(data, some, subject.device)
                for name, value in _asked(subject, batch, self.importance, number).items():
                    found.setdefault(name, []).append(value.cpu().double())
                advance(len(some))
        values = {name: torch.cat(pieces) for name, pieces in found.items()}
        for name, value in values.items():
            if not bool(value.isfinite().all()):
                raise NotFiniteError(f"the model's {name} at step {subject.step} is not finite")
        return values


def _asked(subject: Subject, batch: Batch, importance: int, number: int) -> Mapping[str, Tensor]:
    """The model's answer, with random numbers that depend on the seed and `number` alone."""
    devices = [subject.device] if subject.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        seed_streams(mix(subject.options.seed, DRAWN, number), subject.device)
        model = subject.model
        return model.likelihood(batch, importance) if isinstance(model, HasLikelihood) else {}


def _density_of(subject: Subject) -> str:
    return getattr(subject.model, "density_of", "")


def _note(subject: Subject) -> str:
    if pixels := _density_of(subject):
        return f"of {pixels}"
    if subject.data.is_image:
        return "a density over values in [-1, 1], no probability of an image of 8 bits"
    return ""
