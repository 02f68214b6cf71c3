"""The parts of the page, each nothing where there is nothing to tell."""

from __future__ import annotations

from html import escape
from pathlib import Path

from gan_cli import duration
from gan_cli.evaluation.telling import number
from gan_cli.reporting import charts
from gan_cli.reporting.comparing import shown
from gan_cli.reporting.findings import Findings, Row
from gan_cli.reporting.html import Cell, amount, capital, paragraph, table
from gan_cli.reporting.pictures import data_uri, gallery
from gan_cli.reporting.statistics import Interval
from gan_cli.reporting.terminal import spread, why
from gan_cli.runs.record import JUDGED, Record

LOSSES = "loss/"
MOST_CHARTS = 24


def colours(found: Findings) -> dict[str, int]:
    """A colour for each configuration, whatever the order of the rows."""
    return {label: i for i, label in enumerate(sorted(row.label for row in found.rows))}


def key(colour: int) -> str:
    """A dot in a configuration's colour."""
    return f'<span class="key {charts.classes(colour)}"></span>'


def troubles(records: list[Record]) -> str:
    """What went wrong, and where to read more."""
    return "".join(
        f'<div class="card bad"><h3>{escape(str(record.folder.path))}: {record.state} at step '
        f"{record.step:,}</h3><p>{escape(why(record))}</p>"
        f"<p><code>{escape(str(record.folder.log))}</code></p></div>"
        for record in records
    )


def figures(found: Findings) -> str:
    """Dots of the seeds and intervals of the means."""
    colour = colours(found)
    rows = [(row.label, colour[row.label], row.values(found.at), row.metric) for row in found.rows]
    return charts.dots(found.metric.name, [one for one in rows if one[2]])


def configurations(found: Findings) -> str:
    """The table of configurations."""
    columns = found.columns or ["configuration"]
    heads = [*columns, "runs", found.at, *([] if found.at == "best" else ["best"])]
    rows = []
    for row in found.rows:
        settings = list(row.configuration.settings.values()) if found.columns else [row.label]
        cells = [_marked(found, row, settings[0]), *(Cell(value) for value in settings[1:])]
        states = ", ".join(f"{n} {state}" for state, n in row.states.items())
        cells += [Cell(states), _spread(row.metric, "main")]
        cells += [] if found.at == "best" else [_spread(row.best)]
        time = None if row.seconds is None else duration.show(row.seconds)
        speed = None if row.speed is None else number(round(row.speed))
        rows.append(
            [*cells, amount(row.steps), amount(row.seconds, time), amount(row.speed, speed)]
        )
    return table([*heads, "step", "training time", "images/s"], rows)


def _marked(found: Findings, row: Row, text: str) -> Cell:
    return Cell(f"{key(colours(found)[row.label])}{escape(text)}", style="", markup=True)


def _spread(value: Interval | None, style: str = "") -> Cell:
    return amount(None) if value is None else amount(value.mean, spread(value), style)


def curves(found: Findings) -> str:
    """The metric's curves, the losses', and behind a click those of all other figures."""
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
    first = "".join(drawn[name] for name in [found.metric.name, *losses] if name in drawn)
    rest = "".join(drawn[n] for n in others if n in drawn and n != found.metric.name)
    if not first and not rest:
        return ""
    entries = "".join(
        f'<li><button type="button" aria-pressed="false" data-series="{colour[row.label]}">'
        f"{key(colour[row.label])}{escape(row.label)}</button></li>"
        for row in found.rows
    )
    told = paragraph(
        "Lines: means over seeds. Bands: from the lowest to the highest seed. Over steps.", "dim"
    )
    more = f'<details><summary>Other figures</summary><div class="charts">{rest}</div></details>'
    legend = f'<ul class="legend">{entries}</ul>'
    return f'{told}{legend}<div class="charts">{first}</div>{more if rest else ""}'


def _curves(row: Row, name: str) -> list[dict[int, float]]:
    found = [outcome.record.curve(name) for outcome in row.outcomes]
    return [curve for curve in found if curve]


def samples(found: Findings) -> str:
    """Pictures side by side."""
    made = gallery(found.rows)
    if made is None:
        return ""
    heads = "".join(f'<div class="head">step {step:,}</div>' for step in made.steps)
    lines = []
    for label, paths in made.rows:
        lines.append(f"<div>{key(colours(found)[label])}{escape(label)}</div>")
        for step, path in zip(made.steps, paths, strict=True):
            lines.append(_picture(path, f"{label}, step {step:,}"))
    columns = f"grid-template-columns: minmax(6rem, 10rem) repeat({len(made.steps)}, 1fr)"
    left = f" {made.left_out} more configurations are left out." if made.left_out else ""
    told = (
        f"{made.name}, seed {made.seed}: the latents are a function of the seed, so with the same "
        f"prior each place of a grid is the same latent in every picture.{left}"
    )
    return (
        f'{paragraph(told, "dim")}<div class="scroll"><div class="gallery" style="{columns}">'
        f'<div class="head"></div>{heads}{"".join(lines)}</div></div>'
    )


def _picture(path: Path | None, text: str) -> str:
    if path is None:
        return '<div class="dim">none</div>'
    return f'<img src="{data_uri(path)}" alt="{escape(text)}" title="{escape(text)}">'


def settings_effects(found: Findings) -> str:
    """Each setting's effect, and how it is within each value of the others."""
    parts = []
    for one in found.effects:
        heads = ["other settings", f"{one.levels[0]} less {one.levels[1]}"]
        rows = [[Cell(rest), amount(part.mean, spread(part))] for rest, part in one.within.items()]
        parts.append(f"<h3>{escape(one.question)}</h3>{paragraph(capital(f'{one}.'))}")
        parts.append(table(heads, rows) if len(rows) > 1 else "")
    return "".join(parts)


def pairs(found: Findings) -> str:
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
    return table(heads, rows) if rows else ""


def commands(found: Findings) -> str:
    """The command of each configuration, all its seeds at once."""
    lines = []
    for row in found.rows:
        fault = row.configuration.origin.fault
        note = f'<span class="dim">not exact: {escape(fault)}</span>' if fault else ""
        lines.append(
            f'<div class="command"><div><b>{escape(row.label)}</b>'
            f"<code>{escape(row.configuration.command)}</code> {note}</div>"
            '<button type="button" class="copy">copy</button></div>'
        )
    return f'<div class="card">{"".join(lines)}</div>'


def runs(found: Findings) -> str:
    """Every run by itself."""
    heads = ["configuration", "seed", "state", "step", "final", "best", "best at", "training time"]
    rows = []
    for row in found.rows:
        for one in row.outcomes:
            record = one.record
            time = None if record.seconds is None else duration.show(record.seconds)
            rows.append(
                [
                    _marked(found, row, row.label),
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
    return table([*heads, "images/s", "folder"], rows) if rows else ""
