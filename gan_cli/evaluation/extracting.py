"""The fixed networks that measures look through."""

from __future__ import annotations

import torch

from gan_cli.evaluation.measure import Extractor
from gan_cli.evaluation.reference import Real
from gan_cli.evaluation.subject import Extractors


def extractors(real: Real, device: torch.device, inception: str | None) -> Extractors:
    """Both, for real data and a device; made when they are first asked for.

    Args:
        real: on which the classifier is trained, where no earlier one is in the cache.
        device: where to compute.
        inception: the file of Inception's weights; None for the package or the download.
    """

    def make_inception() -> Extractor:
        from gan_cli.evaluation.inception import load

        return load(inception, device)

    def make_classifier() -> Extractor:
        from gan_cli.evaluation.classifier import load

        return load(real, device)

    return Extractors(make_inception, make_classifier)
