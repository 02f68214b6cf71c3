"""Distances between generated and true points, exact ones where the truth is known."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.data.toy import Mixture
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.evaluation.real_baseline import generated, real, shuffled
from gan_cli.metrics.distances import (
    DIRECTIONS,
    Gaussians,
    divergences,
    energy_distance,
    sliced_wasserstein,
    wasserstein_1_to,
    wasserstein_power,
)
from gan_cli.metrics.modes import NODES, distances, nodes_of
from gan_cli.model import Batch, HasLikelihood, Model

PAIRS = 4096  # samples of each kind for what compares all with all


class Points(Metric):
    """Energy and sliced Wasserstein distance; on the line also Wasserstein-1, KL and JS."""

    order = 100
    higher_is_better = False

    def unfit(self, subject: Subject) -> str:
        """Why not: it is for points."""
        kind = subject.data.kind
        return "" if kind == "points" else f"it compares points, and this data holds {kind}"

    def measure(self, subject: Subject) -> MetricResult:
        """All distances that this data allows."""
        data = subject.real(subject.options.split)
        made = generated(subject, subject.options.samples).samples
        figures: list[MetricValue] = []
        if data.spec.shape == (1,) and isinstance(data, Mixture):
            figures += _from_truth(subject, data, made)
        return MetricResult([*figures, *_from_samples(subject, data, made)])


def _from_truth(subject: Subject, data: Mixture, made: Tensor) -> list[MetricValue]:
    truth = Gaussians(data.modes[:, 0].cpu().double(), data.deviation)
    true = real(data, shuffled(data)[: len(made)])
    protocol = subject.protocol() | {"floor": f"of {len(true)} real samples from the true density"}
    cells = {"estimator": "cells of sqrt(n) sample spacings, the truth's mass exact, in nats"}
    kl = cells | {"bias": "0 for a perfect sampler, whose value may be below 0"}
    ours, baseline = divergences(made, truth), divergences(true, truth)
    w, w_baseline = wasserstein_1_to(made, truth), wasserstein_1_to(true, truth)
    tail = "large values are too low: where nothing is generated, few samples cannot show more"
    return [
        MetricValue("wasserstein_1", w, w_baseline, None, protocol | {"against": "true density"}),
        MetricValue("forward_kl", ours.forward_kl, baseline.forward_kl, None, protocol | kl, tail),
        MetricValue("reverse_kl", ours.reverse_kl, baseline.reverse_kl, None, protocol | kl),
        MetricValue("js", ours.js, baseline.js, None, protocol | cells),
    ]


def _from_samples(subject: Subject, data: Dataset, made: Tensor) -> list[MetricValue]:
    n = min(len(made), PAIRS, data.spec.size // 2)
    places = shuffled(data)
    first, second = (real(data, places[k * n : (k + 1) * n]) for k in range(2))
    made = made[:n]
    protocol = subject.protocol() | {
        "samples": n,
        "real_samples": n,
        "floor": f"between {n} and {n} other real samples",
    }
    figures = [
        MetricValue(
            "energy_distance",
            energy_distance(made, first),
            energy_distance(second, first),
            None,
            protocol | {"estimator": "unbiased, without a root"},
        )
    ]
    if data.spec.shape != (1,):
        sliced = MetricValue(
            "sliced_wasserstein",
            sliced_wasserstein(made, first),
            sliced_wasserstein(second, first),
            None,
            protocol | {"order": 2, "directions": DIRECTIONS},
        )
        return [*figures, sliced]
    if isinstance(data, Mixture):  # whose Wasserstein-1 is taken from the true density
        return figures
    ours, baseline = (wasserstein_power(x, first, 1).item() for x in (made, second))
    protocol |= {"against": "real samples"}
    return [MetricValue("wasserstein_1", ours, baseline, None, protocol), *figures]


EXACT = "log_likelihood"


class Density(Metric):
    """Total variation and KL by quadrature, for models that know their density on toy data."""

    order = 120
    higher_is_better: ClassVar = {"density_total_variation": False, "density_kl": False}

    def unfit(self, subject: Subject) -> str:
        """Why not: it needs two known densities."""
        kind = subject.data.kind
        if kind != "points":
            return f"it compares densities of points, and this data holds {kind}"
        data = subject.real(subject.options.split)
        if not isinstance(data, Mixture) or subject.data.shape[0] not in NODES:
            return "it needs toy data of one or two dimensions, whose density is known"
        if log_density(subject.model, data.modes[:1]) is None:
            return "this model has no known density"
        return ""

    def measure(self, subject: Subject) -> MetricResult:
        """Both distances, from the true density to the model's."""
        data = subject.real(subject.options.split)
        assert isinstance(data, Mixture)
        nodes = nodes_of(data.modes.cpu(), data.deviation)
        ours = log_density(subject.model, nodes.points.float())
        assert ours is not None
        found = distances(data.log_density(nodes.points), ours.cpu(), nodes.weights)
        protocol = {k: v for k, v in subject.protocol().items() if k not in ("samples", "seed")}
        protocol |= {"estimator": f"quadrature, {len(nodes.points)} nodes"}
        figures = [MetricValue("density_total_variation", found.total_variation, 0.0, None)]
        if math.isfinite(found.forward_kl):  # else the model gives no mass where the truth has some
            figures.append(MetricValue("density_kl", found.forward_kl, 0.0, None))
        return MetricResult(
            [MetricValue(f.name, f.value, f.baseline, f.error, protocol) for f in figures]
        )


@torch.no_grad()
def log_density(model: Model, points: Tensor) -> Tensor | None:
    """The model's exact log p [n] at points [n, D]; None where it knows none."""
    if not isinstance(model, HasLikelihood):
        return None
    places = torch.arange(len(points), device=model.device)
    batch = Batch(places, points.to(model.device).__getitem__, lambda _: None)
    return model.likelihood(batch, 1).get(EXACT)
