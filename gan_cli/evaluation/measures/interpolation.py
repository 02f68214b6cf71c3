"""What becomes of samples midway between two latents, by each path."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.evaluation.features import Collector, quantised
from gan_cli.evaluation.measures.classifier import no_classifier, score_of
from gan_cli.evaluation.metric import (
    Extractor,
    Features,
    Metric,
    MetricResult,
    MetricValue,
    Plot,
    Subject,
)
from gan_cli.images import tile
from gan_cli.model import Lines
from gan_cli.plots import views
from gan_cli.priors import Prior
from gan_cli.sampling.samples import decode
from gan_cli.seeding import mix

PAIRS = 1000
SHOWN, COLUMNS = 4, 9  # pairs in the picture, and the images of a row
STEPS = 41  # points of the curves of norms
STREAM = 0x1E89  # of the latents
MIDWAY = 0.5


class Interpolation(Metric):
    """Norms along lerp, slerp and the matched path, and the classifier's score midway."""

    order = 160
    higher_is_better: ClassVar = {"score_*": True}
    aside = True

    def unfit(self, subject: Subject) -> str:
        """Why not: there are latents to go between, and images to look at."""
        if subject.model.prior is None:
            return "the model decodes no latents, so there is no path between them"
        return no_classifier(subject)

    def measure(self, subject: Subject) -> MetricResult:
        """How long latents midway are, and how good their images."""
        prior, extractor = subject.model.prior, subject.classifier()
        pairs = max(2, min(PAIRS, subject.options.samples // 2))
        random = torch.Generator().manual_seed(mix(subject.options.seed, STREAM))
        a, b = prior.sample(pairs, generator=random), prior.sample(pairs, generator=random)
        labels = torch.arange(pairs) % subject.data.classes if subject.model.conditional else None
        protocol = subject.protocol(extractor) | {"samples": pairs, "prior": type(prior).__name__}
        ends = _seen(subject, extractor, a, labels)
        figures = [
            _score("score_ends", ends, extractor, protocol, "of as many samples at the ends"),
            MetricValue("norm_ends", _length(a), protocol=protocol | {"norm": "mean Euclidean"}),
        ]
        for path in prior.paths:
            z = prior.interpolate(a, b, MIDWAY, path)
            seen = _seen(subject, extractor, z, labels)
            told = "midway between two latents; beside it score_ends"
            figures += [
                _score(f"score_midway_{path}", seen, extractor, protocol, told),
                MetricValue(f"norm_midway_{path}", _length(z), protocol=protocol),
            ]
        return MetricResult(figures, [_norms(prior, a, b), _rows(subject, a, b, labels)])


def _length(z: Tensor) -> float:
    return z.norm(dim=1).mean().item()


def _seen(subject: Subject, extractor: Extractor, z: Tensor, labels: Tensor | None) -> Features:
    collector = Collector(extractor)
    with torch.no_grad():
        for start in range(0, len(z), subject.options.batch_size):
            piece = slice(start, start + subject.options.batch_size)
            y = None if labels is None else labels[piece]
            collector.add(quantised(decode(subject.model, z[piece], y).float().cpu()))
    return collector.features()


def _score(
    name: str,
    features: Features,
    extractor: Extractor,
    protocol: dict[str, str | int | float],
    note: str,
) -> MetricValue:
    return MetricValue(
        name,
        score_of(features),
        None,
        None,
        protocol,
        f"{note}; at most {extractor.classes}",
    )


def _norms(prior: Prior, a: Tensor, b: Tensor) -> Plot:
    """|z| from end to end: its mean for each path, and where latents of the prior have it."""
    times = torch.linspace(0, 1, STEPS)
    curves = {
        path: torch.tensor([_length(prior.interpolate(a, b, float(t), path)) for t in times])
        for path in prior.paths
    }
    length = a.norm(dim=1)
    for name, bound in (("5 % of latents are shorter", 0.05), ("5 % are longer", 0.95)):
        curves[name] = length.quantile(bound).expand(STEPS)
    return Plot("norms", views.draw(Lines(times, curves, "t, and mean |z| by path")))


def _rows(subject: Subject, a: Tensor, b: Tensor, labels: Tensor | None) -> Plot:
    """For some pairs a row by each path, in the order of `Prior.paths`."""
    prior, times = subject.model.prior, torch.linspace(0, 1, COLUMNS).tolist()
    rows = []
    for pair in range(SHOWN):
        ends = a[pair : pair + 1], b[pair : pair + 1]
        for path in prior.paths:
            z = torch.cat([prior.interpolate(*ends, t, path) for t in times])
            y = None if labels is None else labels[pair].expand(COLUMNS)
            with torch.no_grad():
                rows.append(decode(subject.model, z, y).float().cpu())
    return Plot("interpolations", tile(torch.cat(rows), COLUMNS, zoom=2))
