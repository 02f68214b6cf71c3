"""metrics.csv: the curves as a table, a row for each step."""

from __future__ import annotations

import csv
import io

from gan_cli import files
from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.runs.curves import by_step


class CSVFile(Callback):
    """Writes metrics.jsonl as metrics.csv at each checkpoint and at the end.

    So the table has the points of a resumed run once, and a column for a metric that is first
    computed in the middle. What a step lacks is empty.

    Raises:
        UserError: (from any hook) the file cannot be written.
    """

    def __init__(self, run: RunContext) -> None:
        self.curves, self.path = run.folder.metrics, run.folder.path / "metrics.csv"

    def saved(self, step: int) -> None:
        self._write()

    def end(self, step: int, status: str) -> None:
        self._write()

    def _write(self) -> None:
        rows = by_step(self.curves)
        names = dict.fromkeys(name for row in rows.values() for name in row)
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(names))
        writer.writeheader()
        writer.writerows(rows[step] for step in sorted(rows))
        files.write(self.path, table.getvalue())
