"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from datetime import datetime

import gan_cli
from gan_cli import pages
from gan_cli.reporting.comparing import power
from gan_cli.reporting.findings import Findings
from gan_cli.reporting.sections import (
    capital,
    commands,
    configurations,
    curves,
    figures,
    pairs,
    runs,
    samples,
    settings_effects,
    troubles,
)

MARK = "gan-report"  # by which an older page is known
METHODS = """\
A configuration is all runs whose settings differ by the seed alone (and by what changes nothing
that is learned: how often to log, draw, save). Only runs that finished with a finite value count.
± and lines with caps are 95 % t-intervals of the mean over seeds. Curves are means over seeds, and
bands reach from the lowest to the highest; where fewer than half of the seeds have a point, there
is none. Pairs of configurations are compared by the exact two-sided Mann-Whitney test over seeds,
settings by the exact signed-rank test over pairs of runs that are alike in all else, the seed
included; each family of p values is corrected by Holm's method. Pairs of one sweep share seeds and
settings, so an effect is one of settings like these."""


def to_html(found: Findings, now: datetime | None = None) -> str:
    """The page.

    Args:
        found: what it tells.
        now: when it was made.
    """
    made = (now or datetime.now()).strftime("%Y-%m-%d %H:%M")
    count = f"{len(found.records)} runs of {_many(len(found.rows), 'configuration')}"
    return pages.render(
        "report",
        f"{found.metric.name}: {len(found.records)} runs compared",
        mark=MARK,
        metric=found.metric.name,
        summary=f"{count}, {found.metric.better} is better, {found.at} values. Made {made}.",
        answer=answer(found),
        effects_in_short=[(one.question, f"{capital(one.short)}.") for one in found.effects[:3]],
        warnings=list(dict.fromkeys(found.warnings)),
        troubles=troubles(found.troubled),
        figures=figures(found),
        configurations=configurations(found),
        charts=curves(found),
        samples=samples(found),
        effects=settings_effects(found),
        pairs=pairs(found),
        commands=commands(found),
        runs=runs(found),
        methods=METHODS,
        version=gan_cli.__version__,
    )


def _many(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def answer(found: Findings) -> list[str]:
    """Which configuration is the best, and whether that is sure."""
    told = [row for row in found.rows if row.metric is not None]
    if not told:
        return ["No run has finished with a value yet, so there is nothing to compare."]
    first = told[0]
    if len(told) == 1:
        return [f"{first.label} is the only configuration with finished runs."]
    mine = [one for one in found.comparisons if one.better == first.label]
    beaten = [one.worse for one in mine if one.clear]
    text = f"{first.label} has the best mean {found.metric.name} of {len(told)} configurations"
    if mine and len(beaten) == len(told) - 1:
        return [f"{text}, and clearly so: it beats each of the others."]
    if beaten:
        return [f"{text}. It clearly beats {', '.join(beaten)}; the rest may be as good."]
    if mine:
        return [f"{text}, but beats none of the others clearly.", power(found.comparisons)]
    return [f"{text}; one seed each says nothing of chance, so no test is made."]
