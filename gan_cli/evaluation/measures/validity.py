"""The share of valid structures among samples, by the rule that the data obeys."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.paths import Paths
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.measures.conditional import share_error
from gan_cli.evaluation.measures.translation import translations
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.model import Translates

MOST = 5_000  # samples


class Validity(Metric):
    """Valid samples, how many of these differ, and how far pixels are from black and white."""

    order = 103
    higher_is_better: ClassVar = {
        "validity": True,
        "validity_distinct": True,
        "validity_grey": False,
    }

    def unfit(self, subject: Subject) -> str:
        """Why not: data with a rule."""
        return "" if isinstance(subject.trained_on, Paths) else "the data has no rule of validity"

    def measure(self, subject: Subject) -> MetricResult:
        """Shares of samples of the inputs or classes of real samples, beside these."""
        split = "test" if subject.has_test else subject.options.split
        data = subject.real(split)
        assert isinstance(data, Paths)
        places = real_baseline.shuffled(data)[: min(MOST, subject.options.samples)]
        real, classes = real_baseline.real(data, places), _classes(data, places)
        if isinstance(subject.model, Translates):
            pairs = translations(subject, data, places)
            made, labels = torch.cat([made for made, _ in pairs]), classes
        else:
            made, labels = real_baseline.generated(subject, len(places))
        ours, theirs = data.valid(made, labels), data.valid(real, classes)
        share = ours.double().mean().item()
        protocol = subject.protocol() | {"samples": len(made), "split": split, "white": "above 0"}
        protocol |= {"ends": "any" if labels is None else "those of the input or class"}
        values = [
            MetricValue(
                "validity",
                share,
                theirs.double().mean().item(),
                share_error(share, len(made)),
                protocol,
            ),
            MetricValue(
                "validity_distinct",
                _distinct(made, ours),
                _distinct(real, theirs),
                protocol=protocol,
                note="different valid samples, as a share of all",
            ),
            MetricValue(
                "validity_grey",
                (1 - made.abs()).mean().item(),
                (1 - real.abs()).mean().item(),
                protocol=protocol,
                note="mean distance of a pixel from black or white, of 1 at most",
            ),
        ]
        return MetricResult(values)


def _classes(data: Paths, places: Tensor) -> Tensor:
    labels = data.labels(places)
    assert labels is not None, "paths have classes"
    return labels.cpu()


def _distinct(x: Tensor, valid: Tensor) -> float:
    """The number of different images among the valid ones, divided by that of all."""
    return len((x[valid] > 0).flatten(1).unique(dim=0)) / len(x)
