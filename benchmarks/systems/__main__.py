"""Run every system on ring, grid, MNIST or its own data, and write the pages of docs/models/.

    python -m benchmarks.systems --list                          # the commands alone
    python -m benchmarks.systems --only '*_ring' --only '*_grid' # points alone
    python -m benchmarks.systems --jobs 14 --within 5m           # what is missing, for a time
    python -m benchmarks.systems --page                          # only rewrite the pages

From the folder of the project. Rows are SYSTEM_ring, SYSTEM_grid, SYSTEM_mnist and those of the
system's own data; --only takes patterns. Runs are in --root and are resumed where they stopped;
those with a result in benchmarks/results/systems/ are not run again. Pictures of the first seed are
written to --pictures.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from PIL import Image

from benchmarks.published import results
from benchmarks.published.command import add_options, interrupt_at_sigterm, run_jobs
from benchmarks.published.jobs import TableJob, jobs
from benchmarks.published.running import Outcome
from benchmarks.published.tables import Table
from benchmarks.systems.catalogue import SEEDS, Catalogue, load
from benchmarks.systems.page import pages
from gan_cli import files
from gan_cli.errors import ConfigError, DataError
from gan_cli.exits import DONE, guarded

COLOURS, LARGEST = 64, (480, 720)  # of a picture, and its pixels


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.systems",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(made, Path("runs/systems"))
    made.add_argument(
        "--pictures", type=Path, metavar="DIR", help="default: docs/pictures/models below --out"
    )
    made.add_argument(
        "--merge", type=Path, metavar="FILE", help="add the results of another machine and end"
    )
    return made


def chosen(
    table: Table, only: Sequence[str] | None, seeds: Sequence[int] | None, known: Sequence[str]
) -> list[TableJob]:
    """The requested runs that have no result: seed by seed, the longer runs of later rows first."""
    return [
        job
        for seed in SEEDS
        for job in reversed(jobs(table, "full"))
        if job.seed == seed
        and (only is None or any(fnmatchcase(job.row, pattern) for pattern in only))
        and (seeds is None or job.seed in seeds)
        and job.key not in known
    ]


def write_pages(
    catalogue: Catalogue, table: Table, folder: Path, options: argparse.Namespace
) -> None:
    """docs/models/, from the results and pictures."""
    content = results.read(folder, table, "full")
    home = options.out / "docs" / "models"
    home.mkdir(parents=True, exist_ok=True)
    for name, text in pages(catalogue, table, content, options.pictures, home).items():
        files.write(home / name, text)


def merge(table: Table, folder: Path, other: Path) -> None:
    """Add the runs of another file of results, where they are this table's.

    Raises:
        DataError: it is no such file.
    """
    try:
        found = json.loads(other.read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError) as cause:
        raise DataError(f"--merge {other}: is no file of results ({cause})") from cause
    asked = {job.key: job for job in jobs(table, "full")}
    outcomes = [Outcome(asked[key], run) for key, run in found.items() if key in asked]
    results.add(folder, table, "full", outcomes)


def keep_pictures(catalogue: Catalogue, outcome: Outcome, root: Path, to: Path) -> None:
    """Copy the last of each picture of a run of the first seed."""
    job = outcome.job
    if outcome.record is None or job.seed != SEEDS[0]:
        return
    to.mkdir(parents=True, exist_ok=True)
    samples = root / f"{job.table}-{job.form}" / job.key / "samples"
    for name in catalogue.pictures(job.row):
        found = sorted(samples.glob(f"{name}-????????.*"))
        if found:
            target = to / f"{job.row}-{name}{found[-1].suffix}"
            if target.suffix == ".png":  # fewer bytes
                with Image.open(found[-1]) as picture:
                    picture.thumbnail(LARGEST)
                    if picture.mode == "RGB":  # an octree keeps the rare colours of points
                        octree = Image.Quantize.FASTOCTREE
                        picture = picture.quantize(COLOURS, octree)
                    picture.save(target, optimize=True)
            else:
                shutil.copyfile(found[-1], target)


def run(options: argparse.Namespace) -> int:
    """Run the command; the exit status.

    Raises:
        UserError: nothing was run.
    """
    catalogue = load()
    table = catalogue.table()
    folder = options.out / "benchmarks" / "results" / "systems"
    options.pictures = options.pictures or options.out / "docs" / "pictures" / "models"
    todo = chosen(table, options.only, options.seeds, ())
    if not todo:
        raise ConfigError("nothing to run: no system has such a row and seed; see --list")
    if options.list:
        for job in todo:
            print(f"{job.key}: {shlex.join(['gan-train', *job.train])}")
        return DONE

    def done(outcome: Outcome) -> None:
        results.add(folder, table, "full", [outcome])
        keep_pictures(catalogue, outcome, options.root.absolute(), options.pictures)

    try:
        if options.merge is not None:
            merge(table, folder, options.merge)
        if options.page or options.merge is not None:
            return DONE
        known = results.read(folder, table, "full")["runs"]
        return run_jobs(chosen(table, options.only, options.seeds, list(known)), options, done)
    finally:
        write_pages(catalogue, table, folder, options)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 1 (a run failed), 2 (wrong input) or 130 (interrupted)."""
    options = parser().parse_args(arguments)
    interrupt_at_sigterm()
    sys.exit(guarded(lambda: run(options)))


if __name__ == "__main__":
    main()
