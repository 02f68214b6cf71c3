"""A study as one page that needs nothing else: history, curves, importance, settings, trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gan_cli import files, pages
from gan_cli.config.search_space import Dimension
from gan_cli.formatting import counted, shell_command
from gan_cli.plots import scatter
from gan_cli.tuning.plan import MINIMIZE, StudyPlan
from gan_cli.tuning.results import TrialRow, number, ranked, short
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
    """The share of each setting in how good trials differ from others; empty where unknown.

    PED-ANOVA (Watanabe et al. 2023), over the complete trials.
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
    return pages.render(
        "study",
        plan.folder.name,
        summary=f"{plan.tune.metric}, {plan.direction}d, {plan.tune.value} point of each run"
        f"{over}. {counted(len(found), 'trial')}, {len(best)} of them complete. Every trial:",
        every_trial=shell_command(*plan.fixed, *plan.added),
        best=best_said(best[0]) if best else None,
        charts=drawn,
        shares=[(key, f"{share:.0%}", f"{100 * share:.1f}") for key, share in shares.items()],
        settings=[slices(plan, found, one) for one in plan.dimensions] if best else [],
        heads=[plan.tune.metric.rpartition("/")[2], *(one.key for one in plan.dimensions)],
        trials=trials(plan, found, best),
    )


def best_said(row: TrialRow) -> tuple[str, str]:
    """The best trial in words, and its settings."""
    params = " ".join(f"{key}={short(value)}" for key, value in row.params.items())
    return f"Best: trial {row.number} with {number(row.value)}:", params


def history(plan: StudyPlan, found: Sequence[TrialRow]) -> scatter.Chart:
    """Values in the order of the trials, with the best so far."""
    valued = judged(found)
    x = scatter.axis("trial", [float(row.number) for row, _ in valued])
    y = value_axis([value for _, value in valued])
    pick = min if plan.direction == MINIMIZE else max
    so_far: list[scatter.Point] = []
    for row, value in valued:
        if row.state == COMPLETE:
            best = pick(value, so_far[-1][1]) if so_far else value
            so_far.append((float(row.number), best))
    line = scatter.line(so_far, x, y, "best", "best so far")
    marks = [
        scatter.circle((row.number, value), x, y, row.state, f"trial {row.number}: {number(value)}")
        for row, value in valued
    ]
    return scatter.chart(x, y, [line], marks, "Each trial, and the best so far; grey: pruned")


def judged(found: Sequence[TrialRow]) -> list[tuple[TrialRow, float]]:
    """Trials that can be drawn: the complete ones, and the pruned ones where they were given up."""
    return [
        (row, row.value)
        for row in found
        if row.state in (COMPLETE, PRUNED) and row.value is not None and math.isfinite(row.value)
    ]


def curves(plan: StudyPlan, found: Sequence[TrialRow]) -> scatter.Chart:
    """The metric over steps, of every trial's first seed."""
    shown = [row for row in found if row.curve]
    x = scatter.axis("step", [float(step) for row in shown for step in row.curve])
    y = value_axis([value for row in shown for value in row.curve.values()])
    first = [row.number for row in ranked(found, plan)[:1]]
    order = sorted(shown, key=lambda row: (row.number in first, row.state == COMPLETE))
    lines = []
    for row in order:
        kind = "best" if row.number in first else COMPLETE if row.state == COMPLETE else PRUNED
        points = [(float(step), value) for step, value in sorted(row.curve.items())]
        points = [(step, value) for step, value in points if value > 0 or not y.log]
        lines.append(scatter.line(points, x, y, kind, f"trial {row.number}"))
    return scatter.chart(x, y, lines, caption="Each trial's curve; grey: pruned")


def slices(plan: StudyPlan, found: Sequence[TrialRow], dimension: Dimension) -> scatter.Chart:
    """Values over one setting."""
    if dimension.kind == "choice":
        x = scatter.named(dimension.key, dimension.choices)
    else:
        x = scatter.Axis(dimension.key, dimension.low, dimension.high, dimension.log)
    valued = judged(found)
    y = value_axis([value for _, value in valued])
    first = [row.number for row in ranked(found, plan)[:1]]
    valued.sort(key=lambda pair: (pair[0].number in first, pair[0].state == COMPLETE))
    marks = []
    for row, value in valued:
        place = row.params[dimension.key]
        if dimension.kind == "choice":
            place = dimension.choices.index(place)
        kind = "best" if row.number in first else row.state
        marks.append(
            scatter.circle((place, value), x, y, kind, f"trial {row.number}: {number(value)}")
        )
    return scatter.chart(x, y, [], marks)


def value_axis(values: Sequence[float]) -> scatter.Axis:
    """An axis of the metric; logarithmic where it spans more than a factor of twenty."""
    finite = [value for value in values if math.isfinite(value)]
    wide = bool(finite) and min(finite) > 0 and max(finite) > 20 * min(finite)
    return scatter.axis("", finite, wide)


class Trial(NamedTuple):
    """A line of the table."""

    style: str
    number: int
    state: str
    cells: list[str]  # the metric and the settings
    seconds: str
    why: str


def trials(plan: StudyPlan, found: Sequence[TrialRow], best: Sequence[TrialRow]) -> list[Trial]:
    """All trials, best first."""
    lines = []
    for row in [*best, *(row for row in found if row not in best)]:
        spread = "" if row.spread is None else f" ± {number(row.spread)}"
        settings = [short(row.params.get(dimension.key, "")) for dimension in plan.dimensions]
        cells = [f"{number(row.value)}{spread}", *settings]
        style = "first" if row in best[:1] else row.state
        lines.append(Trial(style, row.number, row.state, cells, number(row.seconds), row.why))
    return lines
