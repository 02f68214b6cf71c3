"""docs/published.md: our values beside the published ones."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.published.figures import Statistic, met
from benchmarks.published.jobs import TableJob, jobs
from benchmarks.published.results import keys_of, row_statistics
from benchmarks.published.tables import Column, Form, FormName, Published, Row, Table

Json = dict[str, Any]
HEAD = """\
# Published tables, run again

`python -m benchmarks.published` writes this page; edit `benchmarks/published/*.yaml` instead.

Each table has the paper's protocol as its *full* form, meant for a GPU, and a shortened *cpu* form
with an expectation of its own. `python -m benchmarks.published TABLE --form cpu --only ROW` runs
one row of it: every seed by the `gan-train` command shown, then `gan-eval`. All runs, with their
commands, dates and hardware, are in `benchmarks/results/published/`.

Each table names the source of its published values. The protocols were compared with the authors'
code (tables 1 to 4, and the log of 6) or with the paper (5), and every known difference is listed.

Ours are means over runs, ± the standard deviation of a run, and in brackets the standard error of
the mean; *published* states which of the two it gives. A dash is a missing value. A row that
misses its expectation stays as it is. A failed run has no result, except where runs above a
threshold are counted: one that diverged is not above it.
"""
Contents = Mapping[tuple[str, FormName], Json]


def page(tables: list[Table], contents: Contents) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for table in tables for line in _table(table, contents))])


def _table(table: Table, contents: Contents) -> Iterator[str]:
    yield f"## {table.title}\n"
    yield f"{table.paper}\n"
    yield f"{table.protocol.strip()}\n"
    if table.differences:
        yield "What differs from it here, in both forms:\n"
        yield from (f"- {difference}" for difference in table.differences)
        yield ""
    for name, form in table.forms.items():
        yield from _form(table, name, form, contents[table.name, name])


def _form(table: Table, name: FormName, form: Form, content: Json) -> Iterator[str]:
    yield f"### {table.title}: {name}\n"
    minutes = f" It takes {form.minutes}." if form.minutes else ""
    yield f"{form.words.strip()}{minutes}\n"
    columns = table.columns_of(form)
    heads = [text for column in columns for text in (column.title, "published")]
    yield line(["row", *heads, "runs", "as expected"])
    yield line(["---"] * (len(heads) + 3))
    for row in table.rows_of(form):
        yield _row(table, name, form, row, content)
    yield ""
    yield from made(content)
    if content["failed"]:
        yield "Failed:\n"
        yield from (f"- `{key}`: {reason}" for key, reason in content["failed"].items())
        yield ""
    yield from (f"{note.strip()}\n" for note in form.notes)
    yield from _commands(table, name, form)


def line(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _row(table: Table, name: FormName, form: Form, row: Row, content: Json) -> str:
    found = row_statistics(table, form, row, content, name)
    cells = [f"{row.title} (`{row.name}`)"]
    for column in table.columns_of(form):
        cells += [ours(found.get(column.figure), column), theirs(row, column)]
    keys = keys_of(table, row, name)
    done = sum(key in content["runs"] for key in keys)
    complete = done == len(keys)
    status = f"needs {row.needs}" if row.needs else expectation(form, row, found, complete)
    return line([*cells, f"{done} of {len(keys)}" if keys else "–", status])


def ours(found: Statistic | None, column: Column) -> str:
    """Our value, for a cell."""
    if found is None:
        return "–"
    if column.statistic == "passing":
        return f"{found.value:.0f} of {found.n}"
    text = f"{found.value:.{column.digits}f}"
    if found.deviation is not None and found.error is not None:
        text += f" ± {found.deviation:.{column.digits}f} ({found.error:.{column.digits}f})"
    return text


def theirs(row: Row, column: Column) -> str:
    """The published value, for a cell."""
    known: Published | None = row.published.get(column.figure)
    if known is None:
        return "–"
    text = f"{known.value:g}"
    if known.deviation is not None:
        text += f" ± {known.deviation:g}"
    if known.error is not None:
        text += f" ± {known.error:g} (standard error)"
    return f"{text}; {known.of}" if known.of else text


def expectation(form: Form, row: Row, found: Mapping[str, Statistic], complete: bool) -> str:
    """Whether a row has the values that the form expects, and these values."""
    parts = []
    for metric, bounds in form.expect.get(row.name, {}).items():
        expected = f"{metric} {limits(*bounds)}"
        if metric not in found:
            parts.append(f"not run yet: {expected}")
        elif not complete:
            parts.append(f"not complete: {expected}")
        else:
            parts.append(f"{'yes' if met(found[metric].value, bounds) else '**no**'}: {expected}")
    return "; ".join(parts) or "nothing stated"


def limits(least: float | None, most: float | None) -> str:
    """The limits of an expected value, in words."""
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    return f"at least {least:g}" if least is not None else f"at most {most:g}"


def made(content: Json) -> Iterator[str]:
    """When and where runs were made, and how long they took."""
    runs = content["runs"].values()
    if not runs:
        yield "Not run yet.\n"
        return
    dates = sorted({run["date"] for run in runs})
    where = "; ".join(sorted({run["hardware"] for run in runs}))
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    spent = [seconds for run in runs for seconds in run["seconds"].values()]
    minutes = sum(seconds or 0.0 for seconds in spent) / 60
    lost = "" if None not in spent else ", without trainings whose time was not recorded"
    yield f"Run on {when}, {where}; {minutes:.0f} minutes of all runs together{lost}.\n"


def _commands(table: Table, name: FormName, form: Form) -> Iterator[str]:
    first: dict[str, TableJob] = {}
    for job in jobs(table, name):
        first.setdefault(job.row, job)
    if not first:
        return
    seeds = ", ".join(str(seed) for seed in form.seeds)
    drawn = "; the first of the settings drawn" if table.variants is not None else ""
    yield f"<details><summary>Commands (seeds {seeds}{drawn})</summary>\n"
    yield "```"
    for row, job in first.items():
        yield f"# {row}"
        yield shlex.join(["gan-train", *job.train])
        yield from (shlex.join(["gan-eval", "RUN", *one]) for one in job.evaluations)
    yield "```\n"
    yield "</details>\n"
