"""Claims of the literature, judged by our results: docs/reproducing.md.

    python -m benchmarks.claims    # rewrite the page

The claims are in claims.yaml. Each compares two rows, or one with bounds, of the tables that
`benchmarks.systems` and `benchmarks.published` have run; nothing is run here.
"""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from omegaconf import OmegaConf
from pydantic import ValidationError, model_validator

from benchmarks.published import results
from benchmarks.published.figures import Statistic, met
from benchmarks.published.jobs import jobs
from benchmarks.published.page import limits, line, made
from benchmarks.published.tables import ORDER, Column, FormName, Strict, Table, load
from benchmarks.systems import catalogue
from benchmarks.systems.page import paragraph
from gan_cli import files
from gan_cli.errors import ConfigError

HOME = Path(__file__).parents[1]
FILE = Path(__file__).with_suffix(".yaml")
HEAD = """\
# What is reproduced

`python -m benchmarks.claims` writes this page; edit `benchmarks/claims.yaml` instead.

Claims of the literature, each with the values of our runs: means over seeds, ± the deviation of a
run, with the number of runs. Of two rows the verdict is *yes* or *no* where their means are two
standard errors of the difference apart, *undecided* where they are nearer, and *in one run* where
either has a single seed, which decides nothing alone. Trainings are shortened
([models/README.md](models/README.md), [published.md](published.md)): a *no* says that the claim
does not show at this length and with these settings. Misses stay.
"""


class Claim(Strict):
    """A claim, and what decides it.

    Attributes:
        claim: a sentence.
        paper: whose it is.
        table: "systems", or a published table in its `form`.
        row: whose value is judged.
        figure: its metric.
        expect: whether it should be "greater" or "less" than that of `other`, a second row, or
            [least, most]; null is no limit.
        than: the other row's metric; the same where empty.
        published: the paper's value, in words.
    """

    claim: str
    paper: str
    table: str = "systems"
    form: FormName = "full"
    row: str
    figure: str
    expect: Literal["greater", "less"] | list[float | None]
    other: str = ""
    than: str = ""
    published: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        if isinstance(self.expect, str) != bool(self.other):
            raise ValueError("expect: greater and less need another row, bounds have none")
        return self


class Claims(Strict):
    """All claims, and the words about what is shown elsewhere."""

    claims: list[Claim]
    elsewhere: list[str]


def verdict(claim: Claim, ours: Statistic | None, other: Statistic | None) -> str:
    """Whether the values bear the claim out."""
    if ours is None or (claim.other and other is None):
        return "not run"
    if other is None:
        assert not isinstance(claim.expect, str)
        answer = "yes" if met(ours.value, claim.expect) else "**no**"
        return answer if ours.n > 1 else f"{answer}, in one run"
    gap = ours.value - other.value
    if claim.expect == "less":
        gap = -gap
    answer = "yes" if gap > 0 else "**no**"
    if 1 in (ours.n, other.n):
        return f"{answer}, in one run"
    if ours.error is None or other.error is None:  # runs that passed
        return answer
    return answer if abs(gap) > 2 * math.hypot(ours.error, other.error) else "undecided"


class Results:
    """The values and commands of the rows of all tables.

    Args:
        home: the project's folder.
    """

    def __init__(self, home: Path = HOME) -> None:
        self.tables: dict[str, Table] = {name: load(name) for name in ORDER}
        self.tables["systems"] = catalogue.load().table()
        results_of = home / "benchmarks" / "results"
        self.folders: dict[str, Path] = {"systems": results_of / "systems"}
        self.folders |= dict.fromkeys(ORDER, results_of / "published")

    def column(self, claim: Claim) -> Column:
        """The column of a claim's metric.

        Raises:
            ConfigError: the table has no such metric, form or row.
        """
        table = self.tables.get(claim.table)
        if table is None or claim.form not in table.forms:
            raise ConfigError(f"{FILE.name}: there is no table {claim.table} of form {claim.form}")
        names = {row.name for row in table.rows}
        if missing := {claim.row, claim.other or claim.row} - names:
            raise ConfigError(f"{FILE.name}: {claim.table} has no row {min(missing)}")
        for column in table.columns_of(table.forms[claim.form]):
            if column.figure == claim.figure:
                return column
        raise ConfigError(f"{FILE.name}: {claim.table} has no column {claim.figure}")

    def value(self, claim: Claim, row: str, figure: str) -> Statistic | None:
        """The statistic of a row's metric; None where it was not run."""
        table = self.tables[claim.table]
        content = results.read(self.folders[claim.table], table, claim.form)
        shown = next(one for one in table.rows if one.name == row)
        form = table.forms[claim.form]
        return results.row_statistics(table, form, shown, content, claim.form).get(figure)

    def command(self, claim: Claim, row: str) -> str:
        """The first command of a row."""
        found = jobs(self.tables[claim.table], claim.form)
        return shlex.join(["gan-train", *next(job for job in found if job.row == row).train])

    def runs(self, claims: list[Claim]) -> dict[str, dict[str, object]]:
        """All runs that decide a claim."""
        kept: dict[str, dict[str, object]] = {}
        for claim in claims:
            table = self.tables[claim.table]
            content = results.read(self.folders[claim.table], table, claim.form)
            kept |= {
                f"{claim.table}/{key}": run
                for key, run in content["runs"].items()
                if key.startswith((f"{claim.row}-", f"{claim.other or claim.row}-"))
            }
        return kept


def read(path: Path = FILE) -> Claims:
    """The claims of a file.

    Raises:
        ConfigError: it is invalid.
    """
    try:
        return Claims.model_validate(OmegaConf.to_container(OmegaConf.load(path)))
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ConfigError(f"{path}: {place}: {fault['msg']}") from error


def page(claims: Claims, found: Results) -> str:
    """The text of docs/reproducing.md."""
    return "\n".join(_lines(claims, found))


def _lines(claims: Claims, found: Results) -> Iterator[str]:
    yield HEAD
    yield line(["", "claim", "paper", "metric", "ours", "against", "published", "reproduced"])
    yield line(["---"] * 8)
    for number, claim in enumerate(claims.claims, 1):
        column = found.column(claim)
        ours = found.value(claim, claim.row, claim.figure)
        than = claim.than or claim.figure
        other = found.value(claim, claim.other, than) if claim.other else None
        bounds = "" if isinstance(claim.expect, str) else limits(*claim.expect)
        against = bounds or _shown(other, column)
        cells = [str(number), claim.claim, claim.paper, column.title, _shown(ours, column), against]
        yield line([*cells, claim.published or "–", verdict(claim, ours, other)])
    yield ""
    yield from made({"runs": found.runs(claims.claims)})
    yield "Shown elsewhere:\n"
    yield from (
        paragraph(f"- {text}").rstrip("\n").replace("\n", "\n  ") for text in claims.elsewhere
    )
    yield ""
    yield "## Commands\n"
    yield "The first seed's; a row is evaluated as the pages named above say.\n"
    yield "```"
    for number, claim in enumerate(claims.claims, 1):
        yield f"# {number}"
        rows = dict.fromkeys(filter(None, (claim.row, claim.other)))
        yield from (found.command(claim, row) for row in rows)
    yield "```\n"


def _shown(found: Statistic | None, column: Column) -> str:
    if found is None:
        return "–"
    if column.statistic == "passing":
        return f"{found.value:.0f} of {found.n}"
    text = f"{found.value:.{column.digits}f}"
    if found.deviation is not None:
        text += f" ± {found.deviation:.{column.digits}f}"
    return f"{text} ({found.n})"


def main() -> None:
    """Write the page."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.parse_args()
    files.write(HOME / "docs" / "reproducing.md", page(read(), Results()))


if __name__ == "__main__":
    main()
