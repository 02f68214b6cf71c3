"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import gan_cli
from gan_cli import formatting, pages
from gan_cli.formatting import Interval, counted, number
from gan_cli.plots import charts
from gan_cli.plots.charts import Chart, Colour
from gan_cli.reporting.comparison import power, shown
from gan_cli.reporting.findings import ConfigurationRow, Findings
from gan_cli.reporting.pictures import data_uri, gallery
from gan_cli.reporting.terminal import spread, why
from gan_cli.runs.record import JUDGED, Record

LOSSES = "loss/"
MOST_CHARTS = 24


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: what is read.
        value: what a column of numbers is sorted by; None for words, NaN for "nothing here".
        style: CSS classes, ours alone.
        colour: of the dot before the text.
    """

    text: str
    value: float | None = None
    style: str = ""
    colour: Colour | None = None

    @property
    def classes(self) -> str:
        """All CSS classes."""
        return f"num {self.style}".strip() if self.value is not None else self.style

    @property
    def order(self) -> str | None:
        """What the page's script sorts numbers by."""
        if self.value is None:
            return None
        return str(self.value) if math.isfinite(self.value) else ""


@dataclass(frozen=True)
class Table:
    """A table whose columns sort."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """Each head, and whether its column holds numbers."""
        first = self.rows[0] if self.rows else [Cell("")] * len(self.heads)
        return [
            (head, cell.value is not None) for head, cell in zip(self.heads, first, strict=True)
        ]


def amount(value: float | None, text: str | None = None, style: str = "") -> Cell:
    """A cell with a number, or an empty one."""
    if value is None:
        return Cell("", math.nan, style)
    return Cell(number(value) if text is None else text, value, style)


def capital(text: str) -> str:
    """The text as it begins a sentence."""
    return text[:1].upper() + text[1:]


def colours(found: Findings) -> dict[str, Colour]:
    """A colour for each configuration, whatever the order of the rows."""
    labels = sorted(row.label for row in found.rows)
    return {label: Colour(place) for place, label in enumerate(labels)}


class Trouble(NamedTuple):
    """A run that did not finish."""

    folder: str
    state: str
    step: str
    why: str
    log: str


def troubles(records: Sequence[Record]) -> list[Trouble]:
    """What went wrong, and where to read more."""
    return [
        Trouble(
            str(record.folder.path),
            record.state,
            f"{record.step:,}",
            why(record),
            str(record.folder.log),
        )
        for record in records
    ]


def intervals(found: Findings) -> Chart | None:
    """Dots of the seeds and intervals of the means."""
    colour = colours(found)
    rows = [(row.label, colour[row.label], row.values(found.at), row.metric) for row in found.rows]
    return charts.configurations(found.metric.name, [one for one in rows if one[2]])


def configurations(found: Findings) -> Table:
    """The table of configurations."""
    columns = found.columns or ["configuration"]
    heads = [*columns, "runs", found.at, *([] if found.at == "best" else ["best"])]
    colour = colours(found)
    rows = []
    for row in found.rows:
        settings = list(row.configuration.settings.values()) if found.columns else [row.label]
        cells = [Cell(settings[0], colour=colour[row.label]), *map(Cell, settings[1:])]
        states = ", ".join(f"{n} {state}" for state, n in row.states.items())
        cells += [Cell(states), _spread(row.metric, "main")]
        cells += [] if found.at == "best" else [_spread(row.best)]
        time = None if row.seconds is None else formatting.show_duration(row.seconds)
        speed = None if row.speed is None else number(round(row.speed))
        rows.append(
            [*cells, amount(row.steps), amount(row.seconds, time), amount(row.speed, speed)]
        )
    return Table([*heads, "step", "training time", "images/s"], rows)


def _spread(value: Interval | None, style: str = "") -> Cell:
    return amount(None) if value is None else amount(value.mean, spread(value), style)


@dataclass(frozen=True)
class Charts:
    """Curves over steps: the metric's and the losses', those of other figures, and the legend."""

    first: list[Chart]
    others: list[Chart]
    legend: list[tuple[str, Colour]]


def curves(found: Findings) -> Charts:
    """The metric's curves, the losses', and those of all other figures."""
    colour = colours(found)
    names = {name: None for record in found.records for name in record.curves}
    losses = [name for name in names if name.startswith(LOSSES) and name != found.metric.name]
    others = [n.removeprefix(JUDGED) for n in names if n.startswith(JUDGED)]
    drawn = {
        name: charts.curves(
            name,
            [
                (row.label, colour[row.label], charts.over_seeds(_curves(row, name)))
                for row in found.rows
            ],
        )
        for name in [found.metric.name, *losses, *others][:MOST_CHARTS]
    }
    first = [found.metric.name, *losses]
    return Charts(
        [one for name in first if (one := drawn.get(name))],
        [one for name in others if name not in first and (one := drawn.get(name))],
        [(row.label, colour[row.label]) for row in found.rows],
    )


def _curves(row: ConfigurationRow, name: str) -> list[dict[int, float]]:
    found = [outcome.record.curve(name) for outcome in row.outcomes]
    return [curve for curve in found if curve]


class Picture(NamedTuple):
    """A picture as a page holds it, "" where there is none, and its words."""

    uri: str
    said: str


@dataclass(frozen=True)
class Samples:
    """Pictures side by side: a row for each configuration, a column for each step."""

    said: str
    steps: list[str]
    rows: list[SampleRow] = field(default_factory=list)


class SampleRow(NamedTuple):
    """A configuration's pictures."""

    label: str
    colour: Colour
    pictures: list[Picture]


def samples(found: Findings) -> Samples | None:
    """Pictures side by side."""
    made = gallery(found.rows)
    if made is None:
        return None
    left = f" {made.left_out} more configurations are left out." if made.left_out else ""
    said = (
        f"{made.name}, seed {made.seed}: the latents are a function of the seed, so with the same "
        f"prior each place of a grid is the same latent in every picture.{left}"
    )
    shown = Samples(said, [f"{step:,}" for step in made.steps])
    colour = colours(found)
    for label, paths in made.rows:
        pictures = []
        for step, path in zip(made.steps, paths, strict=True):
            uri = "" if path is None else data_uri(path)
            missing = "none" if path is None else "not an image"
            pictures.append(Picture(uri, f"{label}, step {step:,}" if uri else missing))
        shown.rows.append(SampleRow(label, colour[label], pictures))
    return shown


class EffectSaid(NamedTuple):
    """What a setting does, and how it is within each value of the others."""

    question: str
    said: str
    table: Table | None


def settings_effects(found: Findings) -> list[EffectSaid]:
    """Each setting's effect."""
    told = []
    for one in found.effects:
        heads = ["other settings", f"{one.levels[0]} - {one.levels[1]}"]
        rows = [[Cell(rest), amount(part.mean, spread(part))] for rest, part in one.within.items()]
        table = Table(heads, rows) if len(rows) > 1 else None
        told.append(EffectSaid(one.question, capital(f"{one}."), table))
    return told


def pairs(found: Findings) -> Table | None:
    """Each pair of configurations in words."""
    heads = ["in words", "difference", "better in", "p", "p after Holm"]
    rows = [
        [
            Cell(str(one), style="said"),
            amount(one.difference),
            amount(one.wins / one.of, f"{one.wins} of {one.of}"),
            amount(one.p, shown(one.p)),
            amount(one.corrected, shown(one.corrected), "main" if one.clear else ""),
        ]
        for one in found.comparisons
    ]
    return Table(heads, rows) if rows else None


class Again(NamedTuple):
    """The command that trains a configuration again, and why it is not exact."""

    label: str
    command: str
    fault: str | None


def commands(found: Findings) -> list[Again]:
    """The command of each configuration, all its seeds at once."""
    return [
        Again(row.label, row.configuration.command, row.configuration.origin.fault)
        for row in found.rows
    ]


def runs(found: Findings) -> Table:
    """Every run by itself."""
    heads = ["configuration", "seed", "state", "step", "final", "best", "best at", "training time"]
    colour = colours(found)
    rows = []
    for row in found.rows:
        for one in row.outcomes:
            record = one.record
            time = None if record.seconds is None else formatting.show_duration(record.seconds)
            rows.append(
                [
                    Cell(row.label, colour=colour[row.label]),
                    amount(record.seed, str(record.seed)),
                    Cell(record.state, style=f"state {record.state}"),
                    amount(record.step),
                    amount(one.final),
                    amount(one.best),
                    amount(one.best_step),
                    amount(record.seconds, time),
                    amount(record.speed, number(round(record.speed or 0))),
                    Cell(str(record.folder.path), style="path"),
                ]
            )
    return Table([*heads, "images/s", "folder"], rows)


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
    count = f"{counted(len(found.records), 'run')} of {counted(len(found.rows), 'configuration')}"
    return pages.render(
        "report",
        f"{found.metric.name}: {counted(len(found.records), 'run')} compared",
        mark=MARK,
        metric=found.metric.name,
        summary=f"{count}, {found.metric.better} is better, {found.at} values. Made {made}.",
        answer=answer(found),
        effects_in_short=[(one.question, f"{capital(one.short)}.") for one in found.effects[:3]],
        warnings=list(dict.fromkeys(found.warnings)),
        troubles=troubles(found.troubled),
        intervals=intervals(found),
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
