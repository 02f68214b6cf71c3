"""Reproduce published tables: run every row with every seed, and write the results.

    python -m benchmarks.published                          # all tables, shortened
    python -m benchmarks.published ring_grid --form full --jobs 8
    python -m benchmarks.published ring_grid --only grid_gan --seeds 0,1
    python -m benchmarks.published --list                   # the commands, without running them
    python -m benchmarks.published --page                   # only rewrite the page

From the folder of the project. Runs are in --root and are resumed where they stopped; finished
ones are not run again. Ctrl-C saves them and leaves no process. Results:
benchmarks/results/published/ and docs/published.md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.published import results
from benchmarks.published.command import add_options, interrupt_at_sigterm, run_jobs
from benchmarks.published.jobs import TableJob, jobs
from benchmarks.published.page import page
from benchmarks.published.running import Outcome
from benchmarks.published.tables import ORDER, FormName, Table, load
from gan_cli import files
from gan_cli.errors import ConfigError
from gan_cli.exits import DONE, guarded

FORMS: tuple[FormName, ...] = ("full", "cpu")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(ORDER)} (default: all)")
    add("--form", choices=FORMS, default="cpu", help="default: cpu")
    add_options(made, Path("runs/published"))
    return made


def chosen(
    table: Table, form: FormName, only: Sequence[str] | None, seeds: Sequence[int] | None
) -> list[TableJob]:
    """The requested runs."""
    return [
        job
        for job in jobs(table, form)
        if (only is None or job.row in only) and (seeds is None or job.seed in seeds)
    ]


def write_page(out: Path) -> None:
    """docs/published.md, of all tables."""
    tables = [load(name) for name in ORDER]
    folder = out / "benchmarks" / "results" / "published"
    contents: dict[tuple[str, FormName], results.Json] = {
        (table.name, form): results.read(folder, table, form)
        for table in tables
        for form in table.forms
    }
    (out / "docs").mkdir(parents=True, exist_ok=True)
    files.write(out / "docs" / "published.md", page(tables, contents))


def run(options: argparse.Namespace) -> int:
    """Run the command; the exit status.

    Raises:
        UserError: nothing was run.
    """
    tables = {name: load(name) for name in options.tables or ORDER}
    todo = [
        job
        for table in tables.values()
        if options.form in table.forms
        for job in chosen(table, options.form, options.only, options.seeds)
    ]
    if options.page:
        write_page(options.out)
        return DONE
    if not todo:
        raise ConfigError("nothing to run: no table has such a row, seed and form; see --list")
    if options.list:
        for job in todo:
            print(f"{job.table} {job.key}: {shlex.join(['gan-train', *job.train])}")
        return DONE
    return _run_jobs(tables, todo, options)


def _run_jobs(tables: dict[str, Table], todo: list[TableJob], options: argparse.Namespace) -> int:
    folder = options.out / "benchmarks" / "results" / "published"

    def done(outcome: Outcome) -> None:
        results.add(folder, tables[outcome.job.table], options.form, [outcome])

    try:
        return run_jobs(todo, options, done)
    finally:
        write_page(options.out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 1 (a run failed), 2 (wrong input) or 130 (interrupted)."""
    options = parser().parse_args(arguments)
    interrupt_at_sigterm()
    sys.exit(guarded(lambda: run(options)))


if __name__ == "__main__":
    main()
