"""A study as a self-contained HTML page: history, curves, importance, settings, trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gan_cli import files, pages
from gan_cli.config.search_space import Dimension
from gan_cli.formatting import counted, number, shell_command, show_duration
from gan_cli.plots.axis import Axis, spanning
from gan_cli.plots.charts import Chart, Series, value_axis
from gan_cli.tuning.plan import MINIMIZE, StudyPlan
from gan_cli.tuning.results import TrialRow, cells, command, heads, ranked, short
from gan_cli.tuning.trial import COMPLETE, PRUNED

if TYPE_CHECKING:
    from optuna import Study

ENOUGH = 4  # complete trials from which importance is estimated


def write(study: Study, plan: StudyPlan, found: Sequence[TrialRow]) -> Path:
    """Write the page into the study's folder; its file.

    Raises:
        UserError: it cannot be written.
    """
    file = plan.folder / "study.html"
    files.write(file, text(plan, found, importance(study, found)))
    return file


def importance(study: Study, found: Sequence[TrialRow]) -> dict[str, float]:
    """The importance of each setting for the metric, by PED-ANOVA (Watanabe et al. 2023).

    Over the complete trials; empty if they are too few.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    values = {row.value for row in found if row.state == COMPLETE}
    if sum(row.state == COMPLETE for row in found) < ENOUGH or len(values) < 2:
        return {}
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {key: share for key, share in shares.items() if math.isfinite(share)}


def text(plan: StudyPlan, found: Sequence[TrialRow], shares: Mapping[str, float]) -> str:
    """The page's HTML."""
    best = ranked(found, plan)
    seeds = len(plan.tune.seeds)
    over = f", mean of {seeds} seeds" if seeds > 1 else ""
    drawn = [history(plan, found)] if best else []
    if best and any(row.curve for row in found):
        drawn.append(curves(plan, found))
    question, answer = title(plan, best)
    return pages.render(
        "study",
        f"{question} {answer}",
        question=question,
        answer=answer,
        summary=f"{plan.folder.name}: {plan.tune.value} point of each run{over}. "
        f"{counted(len(found), 'trial')}, {len(best)} of them complete. Every trial:",
        every_trial=shell_command(*plan.fixed, *plan.added),
        command=command(plan) if best else "",
        charts=drawn,
        shares=[(key, f"{share:.0%}", f"{100 * share:.1f}") for key, share in shares.items()],
        settings=[slices(plan, found, one) for one in plan.dimensions] if best else [],
        heads=heads(plan),
        deviations=any(row.spread is not None for row in found),
        trials=trials(plan, found, best),
        number=number,
        duration=show_duration,
    )


def title(plan: StudyPlan, best: Sequence[TrialRow]) -> tuple[str, str]:
    """The question of a study, and its answer."""
    metric, *names = heads(plan)
    better = "lower" if plan.direction == MINIMIZE else "higher"
    question = f"Which {' and '.join(names)} give the best {metric}?"
    if not best:
        return question, "Not known yet: no trial is complete."
    row = best[0]
    settings = (short(row.params[dimension.key]) for dimension in plan.dimensions)
    words = " ".join(f"{name}={value}" for name, value in zip(names, settings, strict=True))
    return (
        question,
        f"{words}, with {cells(row, plan)[0]} ({better} is better) in trial {row.number}.",
    )


def history(plan: StudyPlan, found: Sequence[TrialRow]) -> Chart:
    """The values in the order of the trials, and the best so far."""
    valued = drawable(found)
    x = spanning([row.number for row, _ in valued], margin=0.04)
    name = f"{heads(plan)[0]} of each trial, and the best so far"
    chart = Chart(name, replace(x, title="trial"), value_axis([value for _, value in valued]))
    pick = min if plan.direction == MINIMIZE else max
    complete = [(row.number, value) for row, value in valued if row.state == COMPLETE]
    so_far = accumulate((value for _, value in complete), pick)
    line = chart.path(zip((number for number, _ in complete), so_far, strict=True))
    chart.series.append(Series("best", "best so far", line=line))
    for row, value in valued:
        label = f"trial {row.number}: {number(value)}"
        chart.series.append(Series(row.state, label, dots=[chart.place(row.number, value)]))
    return chart


def drawable(found: Sequence[TrialRow]) -> list[tuple[TrialRow, float]]:
    """The trials that have a value: the complete ones, and the pruned ones with their last."""
    return [
        (row, row.value)
        for row in found
        if row.state in (COMPLETE, PRUNED) and row.value is not None and math.isfinite(row.value)
    ]


def curves(plan: StudyPlan, found: Sequence[TrialRow]) -> Chart:
    """The metric of every trial's first seed over steps."""
    shown = [row for row in found if row.curve]
    x = spanning([step for row in shown for step in row.curve])
    y = value_axis([value for row in shown for value in row.curve.values()])
    name = f"{heads(plan)[0]} over the steps of each trial"
    chart = Chart(name, replace(x, title="step"), y)
    first = [row.number for row in ranked(found, plan)[:1]]
    for row in sorted(shown, key=lambda row: (row.number in first, row.state == COMPLETE)):
        kind = "best" if row.number in first else COMPLETE if row.state == COMPLETE else PRUNED
        line = chart.path(sorted(row.curve.items()))
        chart.series.append(Series(kind, f"trial {row.number}", line=line))
    return chart


def slices(plan: StudyPlan, found: Sequence[TrialRow], dimension: Dimension) -> Chart:
    """The values over one setting."""
    choice = dimension.kind == "choice"
    if choice:
        x = Axis(-0.5, len(dimension.choices) - 0.5, names=dimension.choices)
    else:
        x = spanning([dimension.low, dimension.high], log=dimension.log)
    valued = drawable(found)
    y = value_axis([value for _, value in valued])
    chart = Chart(f"{heads(plan)[0]} over {dimension.key}", replace(x, title=dimension.key), y)
    first = [row.number for row in ranked(found, plan)[:1]]
    for row, value in sorted(valued, key=lambda v: (v[0].number in first, v[0].state == COMPLETE)):
        at = row.params[dimension.key]
        dot = chart.place(dimension.choices.index(at) if choice else at, value)
        kind = "best" if row.number in first else row.state
        chart.series.append(Series(kind, f"trial {row.number}: {number(value)}", dots=[dot]))
    return chart


class TrialLine(NamedTuple):
    """A line of the table of trials."""

    row: TrialRow
    style: str
    cells: list[tuple[object, str]]  # what it is sorted by, and what is shown


def trials(plan: StudyPlan, found: Sequence[TrialRow], best: Sequence[TrialRow]) -> list[TrialLine]:
    """All trials, best first."""
    lines = []
    for row in [*best, *(row for row in found if row not in best)]:
        values = [row.value, *(row.params.get(dimension.key) for dimension in plan.dimensions)]
        shown = zip(values, cells(row, plan), strict=True)
        lines.append(TrialLine(row, "first" if row in best[:1] else row.state, list(shown)))
    return lines
