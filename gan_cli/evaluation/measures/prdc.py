"""Precision, recall, density and coverage in an extractor's features."""

from __future__ import annotations

import torch

from gan_cli.evaluation.floors import floor
from gan_cli.evaluation.measure import (
    HIGHER,
    Extractor,
    Features,
    Figure,
    Finding,
    Measure,
    Subject,
)
from gan_cli.evaluation.measures.fid import no_picture
from gan_cli.metrics.neighbours import DENSITY_K, MANIFOLD_K, Neighbourhoods, neighbourhoods


class PRDC(Measure):
    """precision_inception and its siblings (Kynkaanniemi et al. 2019, Naeem et al. 2020)."""

    name = "prdc"

    def __init__(self) -> None:
        self.dear = not torch.cuda.is_available()

    def unfit(self, subject: Subject) -> str:
        """See `Measure`."""
        return no_picture(subject) or too_few(subject)

    def measure(self, subject: Subject) -> Finding:
        """See `Measure`."""
        return Finding(neighbour_figures(subject, subject.inception()))


def too_few(subject: Subject) -> str:
    """Why there are no neighbours to speak of; empty where there are."""
    least = 2 * (DENSITY_K + 1)  # so that each half of the real data has as many as it takes
    count = min(subject.options.samples, subject.real(subject.options.split).spec.size)
    return f"of {count} samples nothing can be said; it takes {least}" if count < least else ""


def neighbour_figures(subject: Subject, extractor: Extractor) -> list[Figure]:
    """precision_, recall_, density_ and coverage_<extractor's name>, of the kept features.

    As many real features as generated ones are compared, or the reverse, since each figure moves
    with the ratio of the two.
    """
    generated, real = subject.generated(extractor), subject.reference(extractor)
    count = min(len(generated.kept), len(real.kept))
    values = neighbourhoods(real.kept[:count], generated.kept[:count])
    best = floor("prdc", subject, extractor, _of_halves)
    protocol = {
        **subject.protocol(extractor),
        "compared": f"{count:,} generated with {count:,} real",
    }
    ks = {"precision": MANIFOLD_K, "recall": MANIFOLD_K}
    return [
        Figure(
            name=f"{name}_{extractor.name}",
            value=value,
            better=HIGHER,
            floor=getattr(best, name),
            protocol={**protocol, "neighbours": ks.get(name, DENSITY_K)},
        )
        for name, value in values._asdict().items()
    ]


def _of_halves(first: Features, second: Features) -> Neighbourhoods:
    count = min(len(first.kept), len(second.kept))
    return neighbourhoods(first.kept[:count], second.kept[:count])
