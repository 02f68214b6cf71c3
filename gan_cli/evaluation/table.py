"""Figures on the screen: a table, and below it in plain words how they came about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_cli.evaluation.choosing import DEAR
from gan_cli.evaluation.measure import HIGHER, LOWER
from gan_cli.evaluation.report import Report
from gan_cli.evaluation.telling import number

DIRECTIONS = {LOWER: "lower", HIGHER: "higher"}
WEIGHTS = {"ema": "averaged weights", "raw": "raw weights"}


def show(console: Console, report: Report, named: Collection[str] = ()) -> None:
    """Print a report.

    Args:
        console: where to.
        report: what.
        named: measures that were asked for by name: if they say nothing, the reason is told.
    """
    title = Text.assemble((report.run, "bold"))
    if report.weights:
        title.append(f" at step {report.step:,}, {WEIGHTS[report.weights]}")
    if report.figures:
        console.print(_table(report, title))
        for line in told(report):
            console.print(f"  {line}", style="dim", highlight=False)
    else:
        console.print(title.append(": no figures"))
    for name, reason in report.failed.items():
        text = Text.assemble("  ", (f"{name} failed:", "bold red"), f" {reason}")
        console.print(text, soft_wrap=True)
    for name in named:
        if name in report.unfit:
            reason = report.unfit[name]
            text = Text.assemble("  ", (f"{name} was not taken:", "yellow"), f" {reason}")
            console.print(text, soft_wrap=True)
    dear = [name for name, reason in report.unfit.items() if reason == DEAR]
    if dear:
        text = f"  left out, as they take minutes: {', '.join(dear)} (--metrics {dear[0]})"
        console.print(text, style="dim", highlight=False, soft_wrap=True)


def _table(report: Report, title: Text) -> Table:
    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("better")
    table.add_column("floor", justify="right", no_wrap=True)
    table.add_column("note", ratio=1)
    floors = any(figure.floor is not None for figure in report.figures)
    for figure in report.figures:
        value = Text.assemble((number(figure.value), "bold"))
        if figure.error is not None:
            value.append(f" ± {number(figure.error)}")
        floor = "" if figure.floor is None else number(figure.floor)
        better = Text(DIRECTIONS.get(figure.better, ""), "green")
        table.add_row(figure.name, value, better, floor, figure.note)
    if floors:
        table.caption = "floor: the same figure between real data and real data"
        table.caption_justify = "left"
    return table


def told(report: Report) -> Iterator[str]:
    """The protocol in sentences, each once, with the figures that it holds for if not for all."""
    users: dict[str, list[int]] = {}
    for i, figure in enumerate(report.figures):
        for line in _lines(figure.protocol):
            users.setdefault(line, []).append(i)
    for line, places in users.items():
        everybody = len(places) == len(report.figures)
        yield line if everybody else f"{line} ({_named(report, places)})"


def _named(report: Report, places: list[int]) -> str:
    """The figures at `places`, neighbours in short as the first to the last."""
    stretches: list[list[int]] = []
    for i in places:
        if stretches and stretches[-1][-1] == i - 1:
            stretches[-1].append(i)
        else:
            stretches.append([i])
    names = [figure.name for figure in report.figures]
    return ", ".join(
        names[some[0]] if len(some) == 1 else f"{names[some[0]]} to {names[some[-1]]}"
        for some in stretches
    )


def _lines(protocol: Mapping[str, str | int | float]) -> Iterator[str]:
    if {"samples", "seed", "data", "split", "real_samples"} <= protocol.keys():
        yield (
            f"{protocol['samples']:,} samples of seed {protocol['seed']} against "
            f"{protocol['real_samples']:,} real ones: {protocol['data']}, {protocol['split']}"
        )
    if "extractor" in protocol:
        sha = str(protocol.get("extractor_sha256", ""))[:8]
        yield f"{protocol['extractor']} {sha}; size: {protocol.get('resize', 'as it is')}"
