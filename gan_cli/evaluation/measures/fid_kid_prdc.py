"""Distances of features, and precision and recall by them: FID and its kin, KID, PRDC, PRD."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_cli.console import progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.device import float64_device
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation.features import (
    Collector,
    Halves,
    load,
    merged,
    of_data,
    place,
    quantised,
    save,
)
from gan_cli.evaluation.metric import (
    Extractor,
    Features,
    Metric,
    MetricResult,
    MetricValue,
    Plot,
    Subject,
    not_images,
)
from gan_cli.evaluation.real_baseline import baseline, shuffled
from gan_cli.formatting import percent
from gan_cli.metrics.frechet import LEAST, POINTS, Moments, extrapolated_distance, frechet_distance
from gan_cli.metrics.kernel import SUBSETS, KernelDistance, kernel_distance
from gan_cli.metrics.neighbours import (
    DENSITY_K,
    MANIFOLD_K,
    Neighbourhoods,
    TwoSample,
    neighbourhoods,
    two_sample,
)
from gan_cli.metrics.prd import BETA, CLUSTERS, RUNS, Curve, precision_recall_curve

INCEPTION, CLASSIFIER = "inception", "classifier"
LEAST_FOR_LINE = 100  # samples of which FID-infinity makes its line
MOST_WITHIN, LEAST_OF_CLASS = 100, 4  # classes of intra-class FID; real images of each
MOST_CLASSES = 200  # that a data set's own classifier tells apart
LEAST_OF_EACH = 50  # images of a class, on average
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


def no_classifier(subject: Subject) -> str:
    """Why this data has no classifier of its own; empty where it has."""
    if reason := not_images(subject.data):
        return reason
    if subject.data.classes < 2:
        return "the data has no labels that a classifier could learn"
    if subject.data.classes > MOST_CLASSES:
        return f"its {subject.data.classes} classes are too many for this small classifier"
    if subject.data.size < LEAST_OF_EACH * subject.data.classes:
        return (
            f"{subject.data.size} images of {subject.data.classes} classes teach a classifier too "
            f"little; {LEAST_OF_EACH} of each are the least"
        )
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
    device = float64_device(subject.device)

    def distance(first: Features, second: Features) -> KernelDistance:
        return kernel_distance(first.kept.to(device), second.kept.to(device))

    found = distance(generated, real)
    return MetricValue(
        name=f"kid_{extractor.name}",
        value=found.value,
        baseline=baseline("kid", subject, extractor, distance).value,
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
    device = float64_device(subject.device)

    def compared(real: Tensor, fake: Tensor, count: int) -> tuple[Neighbourhoods, TwoSample]:
        both = real[:count].to(device), fake[:count].to(device)
        return neighbourhoods(*both), two_sample(*both)

    values, apart = compared(real.kept, generated.kept, count)
    of_baseline = min(count, *(len(half.kept) for half in subject.halves(extractor)))
    best, best_apart = baseline(
        f"prdc of {of_baseline}",
        subject,
        extractor,
        lambda first, second: compared(first.kept, second.kept, of_baseline),
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


class FeatureMetric(Metric):
    """A metric of the features of one network, which its file chooses.

    Args:
        extractor: "inception", or "classifier": that of the data set.
    """

    def __init__(self, extractor: str = "inception") -> None:
        if extractor not in (INCEPTION, CLASSIFIER):
            raise ConfigError(f"extractor = {extractor}: must be {INCEPTION} or {CLASSIFIER}")
        self.extractor = extractor

    def unfit(self, subject: Subject) -> str:
        """See `Metric`."""
        return (no_picture if self.extractor == INCEPTION else no_classifier)(subject)

    def network(self, subject: Subject) -> Extractor:
        """The network. UserError where it cannot be had."""
        return subject.inception() if self.extractor == INCEPTION else subject.classifier()


class FIDInfinity(FeatureMetric):
    """fid_infinity_X: FID extrapolated to infinitely many samples (Chong and Forsyth 2020)."""

    order = 22
    higher_is_better = False
    dear = True

    def unfit(self, subject: Subject) -> str:
        """See `Metric`."""
        few = subject.options.samples < LEAST_FOR_LINE
        least = f"a line takes at least {LEAST_FOR_LINE} samples" if few else ""
        return super().unfit(subject) or least

    def measure(self, subject: Subject) -> MetricResult:
        """Of the kept features of generated samples."""
        extractor = self.network(subject)
        made, real = subject.generated(extractor).kept, subject.reference(extractor)
        least = min(LEAST, len(made) // 2)
        floor: float | None = None
        told = "unknown: statistics of real images cannot be split into halves"
        try:
            count = min(len(made), len(subject.halves(extractor)[0].kept))
        except DataError:
            count = 0
        if count >= LEAST_FOR_LINE:

            def of_halves(first: Features, second: Features) -> float:
                some = first.kept[:count]
                start = min(LEAST, count // 2)
                return extrapolated_distance(some, second.mean, second.covariance, start)

            floor = baseline(f"fid_infinity of {count}", subject, extractor, of_halves)
            others = subject.halves(extractor)[1].count
            told = f"of {count:,} real samples against {others:,} others"
        protocol = {**subject.protocol(extractor), "floor": told, "width": extractor.width}
        protocol |= {"line": f"{POINTS} points from {least:,} to {len(made):,} samples"}
        value = extrapolated_distance(made, real.mean, real.covariance, least)
        name = f"fid_infinity_{extractor.name}"
        note = _caution(least, extractor)
        return MetricResult([MetricValue(name, value, floor, None, protocol, note)])


class IntraFID(FeatureMetric):
    """intra_fid_X: mean over classes of the FID within each (Miyato and Koyama 2018, section 4)."""

    order = 25
    higher_is_better = False
    dear = True

    def unfit(self, subject: Subject) -> str:
        """See `Metric`."""
        if reason := super().unfit(subject):
            return reason
        classes = subject.data.classes
        if not subject.model.conditional or classes < 2:
            return "the model takes no class"
        if classes > MOST_WITHIN:
            return f"its {classes} classes are too many, of which each takes its own statistics"
        fewer = subject.options.samples < 2 * classes
        return f"{classes} classes take at least {2 * classes} samples" if fewer else ""

    def measure(self, subject: Subject) -> MetricResult:
        """Of as many samples of each class, each against the real ones of its class."""
        extractor = self.network(subject)
        data = subject.real(subject.options.split)
        classes, count = data.spec.classes, subject.options.samples // data.spec.classes
        collectors = [Collector(extractor) for _ in range(classes)]
        for drawn in subject.draw(count * classes, even=True):
            assert drawn.labels is not None
            for label in drawn.labels.unique().tolist():
                chosen = drawn.labels == label
                collectors[label].add(quantised(drawn.samples[chosen]))
        places = shuffled(data)
        known = data.labels(places.to(data.device))
        assert known is not None
        found: dict[str, tuple[float, float]] = {}
        for label, collector in enumerate(collectors):
            of_class = places[known.cpu() == label]
            if len(of_class) < LEAST_OF_CLASS:
                continue
            first, second = class_halves(data, label, of_class, extractor)
            generated, real = collector.features(), merged(first, second)
            compared = compared_in_baseline(generated.count, first)
            some = first if compared >= first.count else _first(first, compared)
            name = data.spec.class_names[label] if data.spec.class_names else str(label)
            found[name] = _distance(generated, real), _distance(some, second)
        if not found:
            raise DataError(f"no class has {LEAST_OF_CLASS} real images")
        values, floors = zip(*found.values(), strict=True)
        worst = max(found, key=lambda name: found[name][0])
        notes = [f"largest of class {worst}: {found[worst][0]:.4g}", _caution(count, extractor)]
        protocol = {
            **subject.protocol(extractor),
            "samples": count * classes,
            "per_class": count,
            "labels": "as many of each class",
            "classes": len(found),
            "floor": "the same of two halves of each class's real samples",
        }
        value = MetricValue(
            name=f"intra_fid_{extractor.name}",
            value=sum(values) / len(values),
            baseline=sum(floors) / len(floors),
            protocol=protocol,
            note="; ".join(note for note in notes if note),
        )
        return MetricResult([value])


def class_halves(data: Dataset, label: int, places: Tensor, extractor: Extractor) -> Halves:
    """The features of two halves of a class's samples, which `places` are, or from the cache."""
    path = place(f"{data.fingerprint} class {label}", extractor)
    if (found := load(path)) is not None:
        return found
    text = f"{len(places):,} samples of class {label} through {extractor.name}"
    with progress_bar(text, len(places)) as advance:
        parts = [of_data(data, half, extractor, advance) for half in places.tensor_split(2)]
    first, second = parts
    save(path, (first, second))
    return first, second


class PRD(FeatureMetric):
    """prd_recall_X and prd_precision_X: F8 and F1/8 of a curve (Sajjadi et al. 2018)."""

    order = 45
    higher_is_better = True
    dear = True

    def unfit(self, subject: Subject) -> str:
        """See `Metric`."""
        if reason := super().unfit(subject):
            return reason
        few = subject.options.samples < CLUSTERS
        return f"{CLUSTERS} clusters take at least as many samples" if few else ""

    def measure(self, subject: Subject) -> MetricResult:
        """Of the kept features of as many generated samples as real ones, with the curve."""
        extractor = self.network(subject)
        made, real = subject.generated(extractor).kept, subject.reference(extractor).kept
        count = min(len(made), len(real))
        half = min(count, *(len(one.kept) for one in subject.halves(extractor)))
        best = baseline(
            f"prd of {half}",
            subject,
            extractor,
            lambda first, second: precision_recall_curve(first.kept[:half], second.kept[:half]),
        )
        curve = precision_recall_curve(made[:count], real[:count])
        protocol = {
            **subject.protocol(extractor),
            "compared": f"{count:,} generated with {count:,} real",
            "clusters": CLUSTERS,
            "runs": RUNS,
            "floor": f"between {half:,} and {half:,} other real samples",
        }
        values = [
            MetricValue(f"prd_{name}_{extractor.name}", curve.f_score(beta), best.f_score(beta))
            for name, beta in (("recall", BETA), ("precision", 1 / BETA))
        ]
        notes = (f"F{BETA} of the curve", f"F1/{BETA} of the curve")
        told = [replace(v, protocol=protocol, note=n) for v, n in zip(values, notes, strict=True)]
        return MetricResult(told, [Plot(f"prd_{extractor.name}", drawn_curves(curve, best))])


SIDE, MARGIN = 240, 24  # pixels of a drawn curve's axes, and around them


def drawn_curves(made: Curve, real: Curve) -> ndarray:
    """Precision (up) over recall (right), both from 0 to 1: generated blue, real-vs-real grey.

    Returns:
        uint8 [height, width, 3].
    """
    image = Image.new("RGB", (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=11)
    pen.rectangle((MARGIN, MARGIN, MARGIN + SIDE, MARGIN + SIDE), outline=(64, 64, 64))
    for curve, color in ((real, (160, 160, 160)), (made, (31, 119, 180))):
        right = (MARGIN + SIDE * curve.recall).tolist()
        down = (MARGIN + SIDE * (1 - curve.precision)).tolist()
        pen.line(list(zip(right, down, strict=True)), color, 2)
    pen.text((MARGIN, 5), "precision; generated blue, real-vs-real grey", (64, 64, 64), font)
    pen.text((MARGIN + SIDE - 32, MARGIN + SIDE + 5), "recall", (64, 64, 64), font)
    return np.asarray(image)
