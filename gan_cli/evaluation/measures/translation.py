"""Translations of images beside the true targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.metrics.images import WINDOW, laplacian, psnr, ssim
from gan_cli.model import Translates

MOST = 10_000  # pairs
PIECE = 50


class Translation(Metric):
    """PSNR, SSIM (Wang et al. 2004) and sharpness of translated images beside their targets."""

    order = 105
    higher_is_better: ClassVar = {"psnr": True, "ssim": True}

    def unfit(self, subject: Subject) -> str:
        """Why not: a model that translates, and a target for each input."""
        if not isinstance(subject.model, Translates):
            return "the model does not translate"
        if not subject.data.paired:
            return "the data is not paired, so no input has a true target"
        if min(subject.data.shape[1:]) < WINDOW:
            return f"SSIM needs images of at least {WINDOW} pixels a side"
        return ""

    def measure(self, subject: Subject) -> MetricResult:
        """Means over pairs of the test part, or of the split where there is none."""
        split = "test" if subject.has_test else subject.options.split
        data = subject.real(split)
        places = real_baseline.shuffled(data)[:MOST]
        ratios, likeness, slopes = [], [], torch.zeros(2, dtype=torch.float64)
        for made, true in translations(subject, data, places):
            ratios.append(psnr(made, true))
            likeness.append(ssim(made, true))
            slopes += torch.stack([laplacian(x).abs().mean() for x in (made, true)]) * len(made)
        protocol = {k: v for k, v in subject.protocol().items() if k not in ("samples", "seed")}
        protocol |= {"split": split if subject.has_test else "all that was trained on"}
        protocol |= {"pairs": len(places), "real_samples": len(places), "values": "from -1 to 1"}
        values = [
            _mean("psnr", torch.cat(ratios), protocol | {"unit": "dB, mean over images"}),
            _mean("ssim", torch.cat(likeness), protocol | {"window": "11x11 Gaussian, sigma 1.5"}),
        ]
        if slopes[1] > 0:
            ratio, of = (slopes[0] / slopes[1]).item(), {"of": "mean absolute Laplacian"}
            note = "1 is as sharp as the targets; below: blur, above: noise"
            values.append(MetricValue("sharpness", ratio, protocol=protocol | of, note=note))
        return MetricResult(values)


def translations(
    subject: Subject, data: Dataset, places: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Translations and targets [n, *shape] of the samples of `data` at `places`, on the CPU."""
    assert isinstance(subject.model, Translates)
    for some in places.split(PIECE):
        source = data.source(some.to(data.device)).to(subject.device)
        with torch.no_grad():
            made = subject.model.translate(source).float().cpu()
        yield made, real_baseline.real(data, some)


def _mean(name: str, values: Tensor, protocol: dict[str, str | int | float]) -> MetricValue:
    error = values.std().item() / len(values) ** 0.5 if len(values) > 1 else None
    finite = error is not None and bool(values.isfinite().all())
    return MetricValue(name, values.mean().item(), None, error if finite else None, protocol)
