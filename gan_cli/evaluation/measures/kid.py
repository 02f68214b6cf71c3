"""Kernel distance of an extractor's features: KID, where the extractor is Inception."""

from __future__ import annotations

from gan_cli.evaluation.floors import floor
from gan_cli.evaluation.measure import (
    LOWER,
    Extractor,
    Features,
    Figure,
    Finding,
    Measure,
    Subject,
)
from gan_cli.evaluation.measures.fid import no_picture
from gan_cli.metrics.kernel import SUBSETS, KernelDistance, kernel_distance


class KID(Measure):
    """kid_inception: KID with the Inception network of 2015-12-05 (Binkowski et al. 2018)."""

    name = "kid"
    dear_on_cpu = True

    def unfit(self, subject: Subject) -> str:
        """See `Measure`."""
        return no_picture(subject)

    def measure(self, subject: Subject) -> Finding:
        """See `Measure`."""
        return Finding([kernel_figure(subject, subject.inception())])


def kernel_figure(subject: Subject, extractor: Extractor) -> Figure:
    """kid_<extractor's name>: of the kept generated features and the kept real ones."""
    generated, real = subject.generated(extractor), subject.reference(extractor)
    found = _distance(generated, real)
    return Figure(
        name=f"kid_{extractor.name}",
        value=found.value,
        better=LOWER,
        floor=floor("kid", subject, extractor, _distance).value,
        error=found.error,
        protocol={
            **subject.protocol(extractor),
            "kernel": "cubic, (<a, b> / width + 1)^3, unbiased",
            "subsets": SUBSETS,
            "subset_size": found.subset_size,
            "compared": f"{len(generated.kept):,} generated with {len(real.kept):,} real",
        },
        note=f"deviation {found.deviation:.2g} over the subsets"
        + (", an unbiased estimate that may lie below 0" if found.value < 0 else ""),
    )


def _distance(first: Features, second: Features) -> KernelDistance:
    return kernel_distance(first.kept, second.kept)
