"""The results of a table: one JSON file for each form, to which runs are added."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.published.figures import Statistic, statistic
from benchmarks.published.jobs import TableJob, jobs
from benchmarks.published.running import Outcome
from benchmarks.published.tables import Form, FormName, Row, Table
from gan_cli import files
from gan_cli.errors import DataError
from gan_cli.files import locked

Json = dict[str, Any]


def path_of(folder: Path, table: str, form: str) -> Path:
    """The file of the results of a form."""
    return folder / f"{table}-{form}.json"


def read(folder: Path, table: Table, form: FormName) -> Json:
    """The results of the runs that the table still has; others are dropped.

    Raises:
        DataError: the file is damaged.
    """
    path = path_of(folder, table.name, form)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        content = {}
    except ValueError as cause:
        raise DataError(f"{path}: is damaged ({cause}); remove it") from cause
    asked = {job.key: job for job in jobs(table, form)}
    runs, failed = content.get("runs", {}), content.get("failed", {})
    return {
        "runs": {key: run for key, run in runs.items() if key in asked and _of(run, asked[key])},
        "failed": {key: why for key, why in failed.items() if key in asked},
    }


def _of(run: Mapping[str, Any], job: TableJob) -> bool:
    same = [list(arguments) for arguments in job.evaluations]
    return run["train"] == list(job.train) and run["evaluations"] == same


def add(folder: Path, table: Table, form: FormName, outcomes: Iterable[Outcome]) -> Json:
    """Add outcomes to the file of their form; stopped runs are skipped.

    Returns:
        The new content of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", f"writes into {folder}"):
        content = read(folder, table, form)
        for outcome in outcomes:
            key = outcome.job.key
            if outcome.record is not None:
                content["runs"][key] = outcome.record
                content["failed"].pop(key, None)
            elif not outcome.stopped:
                content["runs"].pop(key, None)
                content["failed"][key] = outcome.reason
        order = [job.key for job in jobs(table, form)]
        content["runs"] = {key: content["runs"][key] for key in order if key in content["runs"]}
        full = {"table": table.name, "form": form, **content, "rows": _rows(table, form, content)}
        text = json.dumps(full, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        files.write(path_of(folder, table.name, form), text)
    return content


def _rows(table: Table, form: FormName, content: Json) -> Json:
    shown = table.forms[form]
    return {
        row.name: {
            figure: vars(found)
            for figure, found in row_statistics(table, shown, row, content, form).items()
        }
        for row in table.rows_of(shown)
    }


def keys_of(table: Table, row: Row, form: FormName) -> list[str]:
    """The runs of a row."""
    return [job.key for job in jobs(table, form) if job.row == row.name]


def diverged(keys: Sequence[str], content: Json) -> int:
    """The number of runs that ended at a value which was NaN or infinite."""
    reasons = (content["failed"].get(key, "") for key in keys)
    return sum("NaN or infinite" in reason for reason in reasons)


def row_statistics(
    table: Table, form: Form, row: Row, content: Json, name: FormName
) -> dict[str, Statistic]:
    """The statistics of a row's columns, by metric, over its finished runs.

    Among runs counted by a threshold, a diverged one has not passed it.
    """
    found: dict[str, Statistic] = {}
    keys = keys_of(table, row, name)
    runs = [content["runs"][key] for key in keys if key in content["runs"]]
    lost = diverged(keys, content)
    for column in table.columns_of(form, row):
        values = [run["values"][column.figure] for run in runs if column.figure in run["values"]]
        if column.statistic == "passing":
            values += [-math.inf] * lost
        if values:
            found[column.figure] = statistic(values, column)
    return found
