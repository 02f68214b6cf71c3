"""docs/models/: a table of all systems, and a page for each family."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.published.figures import Statistic
from benchmarks.published.jobs import TableJob, jobs
from benchmarks.published.page import line, made
from benchmarks.published.results import diverged, keys_of, row_statistics
from benchmarks.published.tables import Column, Row, Table
from benchmarks.systems.catalogue import MNIST, POINTS, Catalogue, Family, System

Json = dict[str, Any]
HEAD = """\
# Systems

`python -m benchmarks.systems` writes these pages from run folders; edit
`benchmarks/systems/systems.yaml` instead.

Every system is a file of `conf/model/`, or a setting of one, under the same trainer: each resumes
exactly, and its run folder is all that sampling needs. Its preset is `gan-train
experiment=PRESET`, whose header has the time and what to expect. The pages of the families have
pictures, all values and the commands; pictures, and what is said of them, are of seed 0.

The values are means over seeds (one where no deviation is given), ± the deviation of a run. *Ring*
is 8 Gaussians, *grid* 25: modes captured by 2,500 samples, and the share of samples within three
deviations of one, of which a perfect sampler has 98.9 %. All systems have the same perceptrons and
steps there, few of both: it tests systems under equal conditions, not the best that each can do.
Latents, rate and average were chosen for the plain GAN on the ring with seed 0, which favours
systems like it, and WGAN-GP's penalty after a first result; values of one seed do not rank systems.
*MNIST* is the Fréchet distance by the data's own classifier, of 10,000 samples, after a short
training with narrow networks (width 16, 1,500 steps of 64 for most: two minutes on two cores);
lower is better. It tells which games begin well, not how they end: the presets are twice as wide
and train for longer. Rows of a system's own data are shortened where the preset takes long, as
their commands say. A dash is a value that was not measured. *What differs* is of the game; rows
have the networks of their column, and the files in `conf/` have all that is known to differ.
"""


def pages(
    catalogue: Catalogue, table: Table, content: Json, pictures: Path, home: Path
) -> dict[str, str]:
    """The text of each page, by its file name in `home`."""
    values = Values(table, content)
    found = {"README.md": "\n".join(_overview(catalogue, values))}
    for family in catalogue.families:
        folder = Path(os.path.relpath(pictures, home))
        lines = _family(family, catalogue, values, pictures, folder)
        found[f"{family.name}.md"] = "\n".join(lines)
    return found


class Values:
    """What was measured, for cells.

    Args:
        table: of all systems.
        content: its results.
    """

    def __init__(self, table: Table, content: Json) -> None:
        self.table, self.content, self.form = table, content, table.forms["full"]
        self.columns = {column.figure: column for column in table.columns}
        self.rows = {row.name: row for row in table.rows}
        self.found = {
            row.name: row_statistics(table, self.form, row, content, "full") for row in table.rows
        }
        self.jobs: dict[str, TableJob] = {}
        for job in jobs(table, "full"):
            self.jobs.setdefault(job.row, job)

    def cell(self, row: str, figure: str) -> str:
        """A value, or a dash."""
        found = self.found.get(row, {}).get(figure)
        return "–" if found is None else shown(found, self.columns[figure])

    def runs(self, row: str) -> str:
        """How many runs a row has, and how many diverged."""
        count = max((found.n for found in self.found.get(row, {}).values()), default=0)
        lost = diverged(keys_of(self.table, self.rows[row], "full"), self.content)
        return f"{count}, {lost} more diverged" if lost else str(count)


def shown(found: Statistic, column: Column) -> str:
    """A mean, with the deviation of a run where there are several."""
    text = f"{found.value:.{column.digits}f}"
    return text if found.deviation is None else f"{text} ± {found.deviation:.{column.digits}f}"


def _overview(catalogue: Catalogue, values: Values) -> Iterator[str]:
    yield HEAD
    for family in catalogue.families:
        yield f"## [{family.title}]({family.name}.md)\n"
        yield paragraph(family.words)
        heads = ["system", "who plays", "loss", "preset or settings", "paper", "what differs"]
        yield line([*heads, "ring", "grid", "MNIST", "own data"])
        yield line(["---"] * 10)
        for system in family.systems:
            yield line(
                [
                    f"[{system.title}]({family.name}.md#{anchor(system.title)})",
                    *(system.players, system.loss, _presets(system), system.paper),
                    system.differs or "–",
                    *_ours(system, values),
                ]
            )
        yield ""
    yield from made(values.content)


def _presets(system: System) -> str:
    """The presets, or the settings where there is none."""
    named = [f"`{name.strip()}`" for name in system.preset.split(",") if name]
    return ", ".join(named) or f"`{' '.join(system.points or system.mnist or [])}`"


def _ours(system: System, values: Values) -> Iterator[str]:
    for data in ("ring", "grid"):
        modes, share = (values.cell(f"{system.name}_{data}", figure) for figure in POINTS)
        yield modes if modes == "–" else f"{modes}; {share} %"
    yield values.cell(f"{system.name}_mnist", MNIST[0])
    parts = []
    for own in system.own:
        row = f"{system.name}_{own.name}"
        if values.found[row]:
            figure = own.figures[0]
            title = values.columns[figure].title
            parts.append(f"{own.title}: {title} {values.cell(row, figure)}")
    yield "; ".join(parts) or "–"


def _family(
    family: Family, catalogue: Catalogue, values: Values, pictures: Path, folder: Path
) -> Iterator[str]:
    yield f"# {family.title}\n"
    yield paragraph(f"{family.words.strip()} All systems are in [README.md](README.md).")
    for system in family.systems:
        yield f"## {system.title}\n"
        words = f"{system.paper}. Players: {system.players}. Loss: {system.loss}."
        if system.preset:
            words += f" Preset: {_presets(system)}."
        if system.differs:
            words += f" What differs: {system.differs}."
        yield paragraph(words)
        yield from _measured(system, values)
        if system.seen:
            yield paragraph(system.seen)
        for row in rows_of(system, values):
            yield from _pictures(row, catalogue.pictures(row.name), pictures, folder)
        yield from _commands(system, values)
    own = {row.name for system in family.systems for row in rows_of(system, values)}
    runs = values.content["runs"].items()
    yield from made({"runs": {key: run for key, run in runs if key.rpartition("-s")[0] in own}})


def rows_of(system: System, values: Values) -> list[Row]:
    """The rows of a system."""
    names = [f"{system.name}_{data}" for data in ("ring", "grid", "mnist")]
    names += [f"{system.name}_{own.name}" for own in system.own]
    return [values.rows[name] for name in names if name in values.rows]


def _measured(system: System, values: Values) -> Iterator[str]:
    shown_rows = [row for row in rows_of(system, values) if values.found[row.name]]
    if not shown_rows:
        return
    figures = [
        figure
        for figure in values.columns
        if any(figure in values.found[row.name] for row in shown_rows)
    ]
    yield line(["data", *(values.columns[figure].title for figure in figures), "runs"])
    yield line(["---"] * (len(figures) + 2))
    for row in shown_rows:
        cells = []
        for figure in figures:
            text = values.cell(row.name, figure)
            known = row.published.get(figure)
            cells.append(f"{text} (published {known.value:g})" if known else text)
        yield line([row.title, *cells, values.runs(row.name)])
    yield ""


def _pictures(row: Row, names: list[str], pictures: Path, folder: Path) -> Iterator[str]:
    for name in names:
        title = f"{row.title}: {name.replace('-', ', ')}"
        if (pictures / f"{row.name}-{name}.png").is_file():
            yield f"{title}\n\n![{title}]({folder.as_posix()}/{row.name}-{name}.png)\n"
        text = pictures / f"{row.name}-{name}.txt"
        if text.is_file():
            lines = text.read_text(encoding="utf-8").splitlines()[:12]
            yield "\n".join([f"{title}\n", "```", *lines, "```\n"])


def _commands(system: System, values: Values) -> Iterator[str]:
    yield "<details><summary>Commands</summary>\n"
    yield "```"
    for row in rows_of(system, values):
        job = values.jobs[row.name]
        yield f"# {row.title}"
        yield shlex.join(["gan-train", *job.train])
        yield from (shlex.join(["gan-eval", "RUN", *one]) for one in job.evaluations)
    yield "```\n"
    yield "</details>\n"


def anchor(title: str) -> str:
    """The anchor that a Markdown heading gets."""
    kept = [letter for letter in title.lower() if letter.isalnum() or letter in " -_"]
    return "".join(kept).replace(" ", "-")


def paragraph(text: str) -> str:
    """A paragraph in lines of at most 119 characters, and an empty line."""
    return textwrap.fill(text.strip(), 119, break_long_words=False, break_on_hyphens=False) + "\n"
