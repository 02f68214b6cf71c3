"""What nearest neighbours in an extractor's features say: precision, recall and others."""

from __future__ import annotations

from torch import Tensor

from gan_cli.evaluation.floors import floor
from gan_cli.evaluation.measure import (
    HIGHER,
    Extractor,
    Figure,
    Finding,
    Measure,
    Subject,
)
from gan_cli.evaluation.measures.fid import no_picture
from gan_cli.metrics.neighbours import (
    DENSITY_K,
    MANIFOLD_K,
    Neighbourhoods,
    TwoSample,
    neighbourhoods,
    two_sample,
)


class PRDC(Measure):
    """precision_inception and its siblings (Kynkaanniemi 2019, Naeem 2020, Lopez-Paz 2017)."""

    name = "prdc"
    dear_on_cpu = True

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
    """precision_, recall_, density_, coverage_ and two_sample_<extractor's name>.

    Of the kept features; the last is the accuracy of 1-NN in telling generated from real ones.
    As many real features as generated ones are compared, or the reverse, since each figure moves
    with the ratio of the two.
    """
    generated, real = subject.generated(extractor), subject.reference(extractor)
    count = min(len(generated.kept), len(real.kept))
    values, apart = _compared(real.kept[:count], generated.kept[:count])
    of_floor = min(count, *(len(half.kept) for half in subject.halves(extractor)))
    best, best_apart = floor(
        f"prdc of {of_floor}",
        subject,
        extractor,
        lambda first, second: _compared(first.kept[:of_floor], second.kept[:of_floor]),
    )
    protocol = {
        **subject.protocol(extractor),
        "compared": f"{count:,} generated with {count:,} real",
        "floor": f"between {of_floor:,} and {of_floor:,} other real samples",
    }
    ks = {"precision": MANIFOLD_K, "recall": MANIFOLD_K}
    figures = [
        Figure(
            name=f"{name}_{extractor.name}",
            value=value,
            better=HIGHER,
            floor=getattr(best, name),
            protocol={**protocol, "neighbours": ks.get(name, DENSITY_K)},
        )
        for name, value in values._asdict().items()
    ]
    told = Figure(
        name=f"two_sample_{extractor.name}",
        value=apart.accuracy,
        floor=best_apart.accuracy,
        protocol={**protocol, "neighbours": 1, "ideal": 0.5},
        note=f"real samples are known with {apart.real:.1%}, generated ones with {apart.fake:.1%}",
    )
    return [*figures, told]


def _compared(real: Tensor, fake: Tensor) -> tuple[Neighbourhoods, TwoSample]:
    return neighbourhoods(real, fake), two_sample(real, fake)
