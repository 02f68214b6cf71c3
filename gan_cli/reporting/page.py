"""The report as one HTML file that needs nothing else, by templates/report.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import gan_cli
from gan_cli import pages
from gan_cli.formatting import counted, number, rounded, show_duration
from gan_cli.plots import charts
from gan_cli.plots.charts import Chart, Colour
from gan_cli.reporting.comparison import shown
from gan_cli.reporting.configurations import BEST, NOT_SET, Configuration, value_of
from gan_cli.reporting.findings import Findings, spread
from gan_cli.reporting.pictures import Gallery, data_uri, earlier_grids, last_grids
from gan_cli.reporting.terminal import SPEED, steps, why
from gan_cli.runs.record import EVALUATED

LOSSES = "loss/"
MOST_CHARTS = 24
MARK = "gan-report"  # by which an older page is known


@dataclass(frozen=True)
class Section:
    """What the page shows of one data set."""

    found: Findings
    colours: dict[str, Colour]
    intervals: Chart | None
    curves: list[Chart]
    other_curves: list[Chart]
    grids: Gallery | None
    earlier: Gallery | None

    @property
    def values(self) -> list[str]:
        """Heads of the columns of values."""
        if self.found.metric is None:
            return []
        return [self.found.metric.name, *([] if self.found.at == BEST else [BEST])]


def to_html(found: Sequence[Findings], now: datetime | None = None) -> str:
    """The page.

    Args:
        found: its content, for each data set.
        now: when it was made.
    """
    made = (now or datetime.now()).strftime("%Y-%m-%d %H:%M")
    runs = counted(sum(len(one.records) for one in found), "run")
    configurations = counted(sum(len(one.configurations) for one in found), "configuration")
    question, answer = title(found)
    return pages.render(
        "report",
        f"{question} {answer}",
        mark=MARK,
        version=gan_cli.__version__,
        question=question,
        summary=f"{runs} of {configurations}. Made {made}.",
        sections=[section(one) for one in found],
        interrupted=[record for one in found for record in one.interrupted],
        alarmed=[record for one in found for record in one.alarmed],
        failed=[record for one in found for record in one.failed],
        data_uri=data_uri,
        number=number,
        duration=show_duration,
        rounded=rounded,
        spread=spread,
        steps=steps,
        shown=shown,
        why=why,
        speed_head=SPEED,
    )


def title(found: Sequence[Findings]) -> tuple[str, str]:
    """The question that the page answers, and the answer in short."""
    if len(found) == 1:
        return found[0].question, found[0].answer[0]
    *first, last = (one.data for one in found)
    question = f"Which configuration is best on {', '.join(first)} and on {last}?"
    return question, " ".join(f"{one.data}: {one.answer[0]}" for one in found)


def section(found: Findings) -> Section:
    """The charts and pictures of one data set."""
    # By label, so that a configuration has its colour whatever the order of the rows.
    labels = sorted(one.label for one in found.configurations)
    colours = {label: Colour(n) for n, label in enumerate(labels)}
    rows = [
        (one.label, colours[one.label], one.values, one.metric)
        for one in found.configurations
        if one.values
    ]
    intervals = charts.configurations(found.metric.name, rows) if found.metric else None
    grids = last_grids(found.configurations)
    earlier = earlier_grids(found.configurations, grids) if grids else None
    return Section(found, colours, intervals, *curves(found, colours), grids, earlier)


def curves(found: Findings, colours: dict[str, Colour]) -> tuple[list[Chart], list[Chart]]:
    """Curves over steps: those of the metric and the losses, and those of other metrics.

    Losses have a chart for each kind of loss, as their values are not comparable.
    """
    names = dict.fromkeys(name for record in found.records for name in record.curves)
    first = [found.metric.name] if found.metric else []
    first += [name for name in names if name.startswith(LOSSES) and name not in first]
    others = [name.removeprefix(EVALUATED) for name in names if name.startswith(EVALUATED)]
    others = [name for name in others if name not in first][: max(0, MOST_CHARTS - len(first))]
    kinds: dict[str, list[Configuration]] = {}
    for one in found.configurations:
        kinds.setdefault(_kind_of_loss(one), []).append(one)
    drawn = []
    for some in (first[:MOST_CHARTS], others):
        drawn.append([])
        for name in some:
            apart = name.startswith(LOSSES) and len(kinds) > 1
            parts = (
                [(f"{name} ({kind})", part) for kind, part in kinds.items()]
                if apart
                else [(name, found.configurations)]
            )
            made = (
                charts.curves(head, _series(found, part, name, colours)) for head, part in parts
            )
            drawn[-1] += [chart for chart in made if chart]
    return drawn[0], drawn[1]


def _kind_of_loss(one: Configuration) -> str:
    """The loss that was chosen, or the model where it has a loss of its own."""
    chosen = (value_of(one.config, group) for group in ("loss", "model") if group in one.chosen)
    return next(chosen, NOT_SET)


def _series(
    found: Findings, some: Sequence[Configuration], name: str, colours: dict[str, Colour]
) -> list[tuple[str, Colour, Sequence[charts.Point]]]:
    conditions = found.metric.conditions if found.metric and found.metric.name == name else None
    return [
        (
            one.label,
            colours[one.label],
            charts.over_seeds([c for r in one.records if (c := r.curve(name, conditions))]),
        )
        for one in some
    ]
