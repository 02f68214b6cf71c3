"""Errors of reconstructions from a model's codes, beside those of linear codes of the same size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject, not_images
from gan_cli.metrics.diversity import components
from gan_cli.model import Model, Reconstructs

MOST = 10_000  # images that are reconstructed, and that the linear code is fitted on
WIDEST = 4096  # pixel values of an image whose principal components are sought
PIECE = 500


class Reconstruction(Metric):
    """Mean squared error of reconstructions per pixel value, beside that of PCA."""

    order = 130
    higher_is_better = False

    def unfit(self, subject: Subject) -> str:
        """Why not: it needs a model that reconstructs."""
        if reason := not_images(subject.data):
            return reason
        train = subject.trained_on
        if _reconstructed(subject.model, train, torch.arange(1)) is None:
            return "the model does not reconstruct"
        return ""

    def measure(self, subject: Subject) -> MetricResult:
        """On images that were trained on, and on test images where any image can be encoded."""
        model, train = subject.model, subject.trained_on
        places = real_baseline.shuffled(train)[:MOST]
        size = None if model.prior is None else int(model.prior.dim)
        pixels = train.real(places[:1].to(train.device))[0].numel()
        linear = None
        if size is not None and size < pixels <= WIDEST:
            linear = components(real_baseline.real(train, places).flatten(1), size)
        protocol = {k: v for k, v in subject.protocol().items() if k not in ("samples", "seed")}
        protocol |= {"unit": "squared error per pixel value, images in [-1, 1]"}
        protocol |= {} if size is None else {"code": size}
        parts = {"": train}
        if subject.has_test and not getattr(model, "by_place", False):
            parts["_test"] = subject.real("test")
        values: list[MetricValue] = []
        for suffix, data in parts.items():
            some = real_baseline.shuffled(data)[:MOST]
            errors, baselines = 0.0, 0.0
            for piece in some.split(PIECE):
                real = real_baseline.real(data, piece)
                made = _reconstructed(model, data, piece)
                assert made is not None
                errors += _squares(made - real)
                if linear is not None:
                    baselines += _squares(linear.reconstruct(real.flatten(1)) - real.flatten(1))
            count = len(some) * pixels
            here: Mapping[str, str | int | float] = protocol | {
                "images": len(some),
                "of": "test" if suffix else "training",
                "pca": f"with {size} components of {len(places)} training images",
            }
            values.append(MetricValue(f"reconstruction{suffix}", errors / count, None, None, here))
            if linear is not None:
                pca = baselines / count
                values.append(MetricValue(f"reconstruction{suffix}_pca", pca, None, None, here))
        return MetricResult(values)


def _squares(difference: Tensor) -> float:
    return difference.double().square().sum().item()


@torch.no_grad()
def _reconstructed(model: Model, data: Dataset, places: Tensor) -> Tensor | None:
    """Reconstructions of the images at `places` [n], on the CPU; None of a model without."""
    if not isinstance(model, Reconstructs):
        return None
    made = model.reconstruct(real_baseline.batch_of(data, places, model.device))
    return None if made is None else made.float().cpu()
