"""Runs measures on a subject, one after the other; one that fails does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

from gan_cli.evaluation.choosing import Choice
from gan_cli.evaluation.measure import Figure, Picture, Subject
from gan_cli.evaluation.report import Report
from gan_cli.exits import one_line
from gan_cli.seeding import mix, seed_streams

log = logging.getLogger(__name__)
MEASURED = 0x3EA5  # keeps this random stream apart from those of samples


def silent(name: str) -> None:
    """Tell nobody."""


def judge(
    subject: Subject, choice: Choice, run: str = "", tell: Callable[[str], object] = silent
) -> Report:
    """The figures of all measures that `choice` takes.

    Each measure finds the same random stream whichever others run, and the program's own stream
    is afterwards what it was.

    Args:
        subject: what is judged.
        choice: the measures.
        run: its folder, for the report.
        tell: called with a measure's name before it begins.
    """
    figures: list[Figure] = []
    pictures: list[Picture] = []
    failed: dict[str, str] = {}
    device = subject.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for measure in choice.taken:
            tell(measure.name)
            seed_streams(mix(subject.options.seed, MEASURED), device)
            try:
                found = measure.measure(subject)
            except Exception as error:
                failed[measure.name] = one_line(error)
                log.debug(f"{measure.name} failed", exc_info=True)
                continue
            figures += found.figures
            pictures += found.pictures
    return Report(
        run, subject.step, subject.weights, figures, dict(choice.unfit), failed, tuple(pictures)
    )


def missed(report: Report, choice: Choice) -> Sequence[str]:
    """The measures that were asked for by name and failed."""
    return [name for name in choice.named if name in report.failed]
