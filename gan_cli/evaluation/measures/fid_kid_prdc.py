"""Fréchet distance of an extractor's features: FID, where the extractor is Inception."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from gan_cli.errors import DataError
from gan_cli.evaluation.metric import (
    Extractor,
    Features,
    Metric,
    MetricResult,
    MetricValue,
    Subject,
    not_images,
)
from gan_cli.evaluation.real_baseline import baseline
from gan_cli.formatting import percent
from gan_cli.metrics.frechet import Moments, frechet_distance
from gan_cli.metrics.kernel import SUBSETS, KernelDistance, kernel_distance
from gan_cli.metrics.neighbours import (
    DENSITY_K,
    MANIFOLD_K,
    Neighbourhoods,
    TwoSample,
    neighbourhoods,
    two_sample,
)

NEIGHBOURS = {"precision_*": True, "recall_*": True, "density_*": True, "coverage_*": True}


class FID(Metric):
    """fid_inception: FID with the Inception network of 2015-12-05 (Heusel et al. 2017)."""

    order = 20
    higher_is_better = False
    dear_on_cpu = True
    extractor = "inception"

    def unfit(self, subject: Subject) -> str:
        """See `Metric`."""
        return no_picture(subject)

    def measure(self, subject: Subject) -> MetricResult:
        """See `Metric`."""
        return MetricResult([frechet_figure(subject, subject.inception())])


def no_picture(subject: Subject) -> str:
    """Why Inception cannot look at this data; empty where it can."""
    if reason := not_images(subject.data):
        return reason
    channels = subject.data.shape[0]
    if channels not in (1, 3):
        return f"the data has {channels} channels, and Inception looks at one or three"
    return ""


def frechet_figure(subject: Subject, extractor: Extractor) -> MetricValue:
    """fid_<extractor's name>: between generated and real features."""
    generated, real = subject.generated(extractor), subject.reference(extractor)
    name, value = f"fid_{extractor.name}", _distance(generated, real)
    protocol = {**subject.protocol(extractor), "width": extractor.width}
    note = _caution(min(generated.count, real.count or generated.count), extractor)
    try:
        first, second = subject.halves(extractor)
    except DataError:  # statistics of other programs are of the whole alone
        protocol["floor"] = "unknown: statistics of real images cannot be split into halves"
        return MetricValue(name, value, protocol=protocol, note=note)
    compared = compared_in_baseline(generated.count, first)

    def baseline_of(first: Features, second: Features) -> float:
        some = first if compared == first.count else _first(first, compared)
        return _distance(some, second)

    return MetricValue(
        name=name,
        value=value,
        baseline=baseline(f"fid of {compared}", subject, extractor, baseline_of),
        protocol={
            **protocol,
            "floor": f"of {compared:,} real samples against {second.count:,} others; FID is "
            "larger of fewer samples",
        },
        note=note,
    )


def compared_in_baseline(generated: int, half: Features) -> int:
    """The number of real samples in place of generated ones in the baseline: as many, if possible.

    FID has a bias that falls with the number of samples (Binkowski et al. 2018), so a baseline of
    more samples than were generated could not be reached by real data either. Beyond what is kept
    of a half, it is the whole half.
    """
    return max(generated, 2) if generated <= len(half.kept) else half.count


def _first(features: Features, n: int) -> Features:
    moments = Moments(features.kept.shape[1])
    moments.update(features.kept[:n])
    return replace(features, count=n, mean=moments.mean, covariance=moments.covariance)


def _distance(first: Features, second: Features) -> float:
    return frechet_distance(first.mean, first.covariance, second.mean, second.covariance)


def _caution(count: int, extractor: Extractor) -> str:
    if count > extractor.width:
        return ""
    return (
        f"{count:,} samples are too few: the covariance of {extractor.width:,} features is "
        f"singular and the distance far too large; kid_{extractor.name} has no such bias"
    )


class KID(Metric):
    """kid_inception: KID with the Inception network of 2015-12-05 (Binkowski et al. 2018)."""

    order = 30
    higher_is_better = False
    dear_on_cpu = True
    extractor = "inception"

    def unfit(self, subject: Subject) -> str:
        """See `Metric`."""
        return no_picture(subject)

    def measure(self, subject: Subject) -> MetricResult:
        """See `Metric`."""
        return MetricResult([kernel_figure(subject, subject.inception())])


def kernel_figure(subject: Subject, extractor: Extractor) -> MetricValue:
    """kid_<extractor's name>: of the kept generated features and the kept real ones."""
    generated, real = subject.generated(extractor), subject.reference(extractor)
    found = _kernel_distance(generated, real)
    return MetricValue(
        name=f"kid_{extractor.name}",
        value=found.value,
        baseline=baseline("kid", subject, extractor, _kernel_distance).value,
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


def _kernel_distance(first: Features, second: Features) -> KernelDistance:
    return kernel_distance(first.kept, second.kept)


class PRDC(Metric):
    """precision_inception and its siblings (Kynkaanniemi 2019, Naeem 2020, Lopez-Paz 2017)."""

    order = 40
    higher_is_better = NEIGHBOURS
    dear_on_cpu = True
    extractor = "inception"

    def unfit(self, subject: Subject) -> str:
        """See `Metric`."""
        return no_picture(subject) or too_few(subject)

    def measure(self, subject: Subject) -> MetricResult:
        """See `Metric`."""
        return MetricResult(neighbour_figures(subject, subject.inception()))


def too_few(subject: Subject) -> str:
    """Why there are no neighbours to speak of; empty where there are."""
    least = 2 * (DENSITY_K + 1)  # so that each half of the real data has as many as it takes
    count = min(subject.options.samples, int(subject.protocol()["real_samples"]))
    return f"of {count} samples nothing can be said; it takes {least}" if count < least else ""


def neighbour_figures(subject: Subject, extractor: Extractor) -> list[MetricValue]:
    """precision_, recall_, density_, coverage_ and two_sample_<extractor's name>.

    Of the kept features; the last is the accuracy of 1-NN in telling generated from real ones.
    As many real features as generated ones are compared, or the reverse, since each figure moves
    with the ratio of the two.
    """
    generated, real = subject.generated(extractor), subject.reference(extractor)
    count = min(len(generated.kept), len(real.kept))
    values, apart = _compared(real.kept[:count], generated.kept[:count])
    of_baseline = min(count, *(len(half.kept) for half in subject.halves(extractor)))
    best, best_apart = baseline(
        f"prdc of {of_baseline}",
        subject,
        extractor,
        lambda first, second: _compared(first.kept[:of_baseline], second.kept[:of_baseline]),
    )
    protocol = {
        **subject.protocol(extractor),
        "compared": f"{count:,} generated with {count:,} real",
        "floor": f"between {of_baseline:,} and {of_baseline:,} other real samples",
    }
    ks = {"precision": MANIFOLD_K, "recall": MANIFOLD_K}
    figures = [
        MetricValue(
            name=f"{name}_{extractor.name}",
            value=value,
            baseline=getattr(best, name),
            protocol={**protocol, "neighbours": ks.get(name, DENSITY_K)},
        )
        for name, value in values._asdict().items()
    ]
    told = MetricValue(
        name=f"two_sample_{extractor.name}",
        value=apart.accuracy,
        baseline=best_apart.accuracy,
        protocol={**protocol, "neighbours": 1, "ideal": 0.5},
        note=f"a 1-NN test recognises {percent(apart.real)} of the real samples, "
        f"{percent(apart.fake)} of the generated ones",
    )
    return [*figures, told]


def _compared(real: Tensor, fake: Tensor) -> tuple[Neighbourhoods, TwoSample]:
    return neighbourhoods(real, fake), two_sample(real, fake)
