"""The report as one HTML file that needs nothing else, by templates/report.html."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import gan_cli
from gan_cli import pages
from gan_cli.formatting import counted, number, show_duration
from gan_cli.plots import charts
from gan_cli.plots.charts import Chart, Colour
from gan_cli.reporting.comparison import power, shown
from gan_cli.reporting.configurations import BEST
from gan_cli.reporting.findings import Findings
from gan_cli.reporting.pictures import data_uri, gallery
from gan_cli.reporting.terminal import spread, why
from gan_cli.runs.record import EVALUATED

LOSSES = "loss/"
MOST_CHARTS = 24
MARK = "gan-report"  # by which an older page is known


def to_html(found: Findings, now: datetime | None = None) -> str:
    """The page.

    Args:
        found: its content.
        now: when it was made.
    """
    made = (now or datetime.now()).strftime("%Y-%m-%d %H:%M")
    runs, configurations = len(found.records), len(found.configurations)
    count = f"{counted(runs, 'run')} of {counted(configurations, 'configuration')}"
    # By label, so that a configuration has its colour whatever the order of the rows.
    labels = sorted(one.label for one in found.configurations)
    colours = {label: Colour(n) for n, label in enumerate(labels)}
    metric, others = curves(found, colours)
    return pages.render(
        "report",
        f"{found.metric.name}: {counted(runs, 'run')} compared",
        mark=MARK,
        version=gan_cli.__version__,
        found=found,
        summary=f"{count}, {found.metric.better} is better, {found.at} values. Made {made}.",
        answer=answer(found),
        colours=colours,
        values=[found.at] if found.at == BEST else [found.at, BEST],
        intervals=charts.configurations(
            found.metric.name,
            [
                (one.label, colours[one.label], one.values, one.metric)
                for one in found.configurations
                if one.values
            ],
        ),
        curves=metric,
        other_curves=others,
        gallery=gallery(found.configurations),
        data_uri=data_uri,
        number=number,
        duration=show_duration,
        spread=spread,
        shown=shown,
        why=why,
    )


def curves(found: Findings, colours: dict[str, Colour]) -> tuple[list[Chart], list[Chart]]:
    """Curves over steps: those of the metric and the losses, and those of other metrics."""
    names = dict.fromkeys(name for record in found.records for name in record.curves)
    first = [found.metric.name]
    first += [name for name in names if name.startswith(LOSSES) and name not in first]
    others = [name.removeprefix(EVALUATED) for name in names if name.startswith(EVALUATED)]
    others = [name for name in others if name not in first][: max(0, MOST_CHARTS - len(first))]
    drawn = []
    for some in (first[:MOST_CHARTS], others):
        drawn.append([])
        for name in some:
            series = [
                (
                    one.label,
                    colours[one.label],
                    charts.over_seeds([c for run in one.outcomes if (c := run.record.curve(name))]),
                )
                for one in found.configurations
            ]
            if chart := charts.curves(name, series):
                drawn[-1].append(chart)
    return drawn[0], drawn[1]


def answer(found: Findings) -> Sequence[str]:
    """Which configuration is the best, and whether the difference is significant."""
    valued = [one for one in found.configurations if one.metric is not None]
    if not valued:
        return ["No run has finished with a value yet, so there is nothing to compare."]
    first = valued[0].label
    if len(valued) == 1:
        return [f"{first} is the only configuration with finished runs."]
    mine = [one for one in found.comparisons if one.better == first]
    beaten = [one.worse for one in mine if one.clear]
    text = f"{first} has the best mean {found.metric.name} of {len(valued)} configurations"
    if mine and len(beaten) == len(valued) - 1:
        return [f"{text}, and beats each of the others."]
    if beaten:
        return [f"{text}. It beats {', '.join(beaten)}; other differences are not significant."]
    if mine:
        more = power(found.comparisons)
        return [f"{text}, but no difference is significant.", *([more] if more else [])]
    return [f"{text}; with one seed each, there is no test."]
