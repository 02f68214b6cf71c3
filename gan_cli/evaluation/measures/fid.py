"""Fréchet distance of an extractor's features: FID, where the extractor is Inception."""

from __future__ import annotations

from dataclasses import replace

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
from gan_cli.metrics.frechet import Moments, frechet_distance


class FID(Measure):
    """fid_inception: FID with the Inception network of 2015-12-05 (Heusel et al. 2017)."""

    name = "fid"
    dear_on_cpu = True

    def unfit(self, subject: Subject) -> str:
        """See `Measure`."""
        return no_picture(subject)

    def measure(self, subject: Subject) -> Finding:
        """See `Measure`."""
        return Finding([frechet_figure(subject, subject.inception())])


def no_picture(subject: Subject) -> str:
    """Why Inception cannot look at this data; empty where it can."""
    if not subject.data.is_image:
        return "the data are points, and Inception looks at pictures"
    channels = subject.data.shape[0]
    if channels not in (1, 3):
        return f"the data has {channels} channels, and Inception looks at one or three"
    return ""


def frechet_figure(subject: Subject, extractor: Extractor) -> Figure:
    """fid_<extractor's name>: between generated and real features."""
    generated, real = subject.generated(extractor), subject.reference(extractor)
    first, second = subject.halves(extractor)
    compared = compared_in_floor(generated.count, first)

    def floor_of(first: Features, second: Features) -> float:
        some = first if compared == first.count else _first(first, compared)
        return _distance(some, second)

    return Figure(
        name=f"fid_{extractor.name}",
        value=_distance(generated, real),
        better=LOWER,
        floor=floor(f"fid of {compared}", subject, extractor, floor_of),
        protocol={
            **subject.protocol(extractor),
            "width": extractor.width,
            "floor": f"of {compared:,} real samples against {second.count:,} others; FID is "
            "larger of fewer samples",
        },
        note=_caution(min(generated.count, real.count), extractor),
    )


def compared_in_floor(generated: int, half: Features) -> int:
    """How many real samples stand for the generated ones in the floor: as many, where it can.

    FID has a bias that falls with the number of samples (Binkowski et al. 2018), so a floor of more
    samples than were generated could not be reached by real data either. Beyond what is kept of a
    half, it is the whole half.
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
