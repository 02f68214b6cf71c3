"""What came of a study: a table, the best settings as a preset, and a page."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from gan_cli.console import clean_console
from gan_cli.errors import UserError
from gan_cli.runs.folder import RunFolder
from gan_cli.tuning import preset
from gan_cli.tuning.direction import MINIMIZE
from gan_cli.tuning.plan import Plan
from gan_cli.tuning.playing import BROKEN, COMPLETE, PRUNED

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger(__name__)
SHOWN = 10  # trials in the table
PIPED_WIDTH = 140  # columns of a table that goes into a file or a pipe
RUNNING = "running"


@dataclass(frozen=True)
class Row:
    """One trial, for tables and pictures."""

    number: int
    state: str
    value: float | None  # of a pruned one the last that was seen
    spread: float | None  # standard deviation over seeds
    params: Mapping[str, Any]
    curve: Mapping[int, float]
    seconds: float | None
    why: str


def rows(study: Study) -> list[Row]:
    """The trials of a study, oldest first."""
    names = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": BROKEN}
    return [
        Row(
            trial.number,
            names.get(trial.state.name, RUNNING),
            trial.value,
            _spread(trial.user_attrs.get("values", [])),
            trial.params,
            trial.intermediate_values,
            trial.user_attrs.get("seconds"),
            trial.user_attrs.get("why", ""),
        )
        for trial in study.get_trials(deepcopy=False)
    ]


def ranked(found: Sequence[Row], plan: Plan) -> list[Row]:
    """The complete trials, best first; of equals the earlier one."""
    sign = 1 if plan.direction == MINIMIZE else -1
    complete = [row for row in found if row.state == COMPLETE and row.value is not None]
    return sorted(complete, key=lambda row: (sign * (row.value or 0.0), row.number))


def publish(study: Study, plan: Plan) -> bool:
    """Show and write what is known; whether there is a best trial whose preset was written.

    Raises:
        UserError: a file cannot be written.
    """
    from gan_cli.tuning import page

    found = rows(study)
    best = ranked(found, plan)
    states = ", ".join(
        f"{count} {state}"
        for state in (COMPLETE, PRUNED, BROKEN, RUNNING)
        if (count := sum(row.state == state for row in found))
    )
    screen = clean_console(PIPED_WIDTH)
    if best:
        screen.print(table(best, plan))
    log.info(f"{len(found)} trials: {states or 'none'}")
    written = page.write(study, plan, found)
    if not best:
        log.info("no trial is complete, so there is no best one")
        return False
    run = RunFolder(plan.run_folder(best[0].number, plan.tune.seeds[0]))
    headline = f"{plan.tune.metric} {number(best[0].value)}, the best of {len(found)} trials"
    log.info(f"  page      {written}")
    try:
        preset.write(plan, run, headline)
    except UserError as error:
        log.error(f"{preset.NAME}.yaml was not written: {error}")
        return False
    log.info(f"  best      {preset.command(plan)}")
    return True


def table(best: Sequence[Row], plan: Plan) -> Table:
    """The best trials with their settings."""
    made = Table(title=f"{plan.tune.metric}, {plan.direction}d; runs in {plan.folder}")
    made.add_column("trial", justify="right")
    made.add_column(Text(plan.tune.metric.rpartition("/")[2]), justify="right")
    for dimension in plan.dimensions:
        made.add_column(Text(dimension.key), justify="right")
    made.add_column("seconds", justify="right")
    for row in best[:SHOWN]:
        spread = "" if row.spread is None else f" ± {number(row.spread)}"
        cells = [short(row.params.get(dimension.key)) for dimension in plan.dimensions]
        seconds = "" if row.seconds is None else f"{row.seconds:,.0f}"
        values = [str(row.number), f"{number(row.value)}{spread}", *cells, seconds]
        made.add_row(*map(Text, values), style="bold" if row is best[0] else None)
    return made


def short(value: object) -> str:
    """A setting's value in few characters."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """A figure in four digits."""
    return "" if value is None else f"{value:.4g}"


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
