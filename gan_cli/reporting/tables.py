"""The report for programs and papers: JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gan_cli.formatting import Interval
from gan_cli.reporting.comparison import power
from gan_cli.reporting.configurations import Configuration, RunOutcome
from gan_cli.reporting.findings import Findings, spread
from gan_cli.reporting.metric import LOWER, ReportedMetric

ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPES |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def to_json(found: Sequence[Findings]) -> str:
    """All values, sentences and commands: a list, one object for each data set."""
    return json.dumps([_data_set(one) for one in found], indent=2, allow_nan=False) + "\n"


def _data_set(found: Findings) -> dict[str, Any]:
    advice = found.advice
    return {
        "data": found.data,
        "question": found.question,
        "answer": found.answer,
        "metric": found.metric and found.metric.name,
        "better": found.metric and found.metric.better,
        "by": found.at,
        "interval": "95 % t-interval over seeds",
        "tests": {
            "comparisons": "exact Mann-Whitney, Holm's correction",
            "effects": "exact signed-rank, Holm's correction",
        },
        "configurations": [_row(one) for one in found.configurations],
        "comparisons": [
            {**asdict(one), "clear": one.clear, "text": str(one)} for one in found.comparisons
        ],
        "power": power(found.comparisons),
        "effects": [
            {
                **asdict(one),
                "difference": _interval(one.difference),
                "within": {name: _interval(part) for name, part in one.within.items()},
                "clear": one.clear,
                "text": str(one),
            }
            for one in found.effects
        ],
        "not_evaluated": [str(record.folder.path) for record in found.unevaluated],
        "evaluate": advice and advice[1],
        "warnings": found.warnings,
    }


def _row(one: Configuration) -> dict[str, Any]:
    return {
        "label": one.label,
        "settings": one.settings,
        "command": one.command,
        "exact": not one.origin.fault,
        "metric": _interval(one.metric),
        "best": _interval(one.best),
        "training_seconds": one.seconds,
        "images_per_second": one.speed,
        "steps": max(record.step for record in one.records),
        "runs": [_run(outcome) for outcome in one.outcomes],
    }


def _run(outcome: RunOutcome) -> dict[str, Any]:
    record = outcome.record
    return {
        "run": str(record.folder.path),
        "seed": record.seed,
        "state": record.state,
        "step": record.step,
        "final": outcome.final,
        "best": outcome.best,
        "best_step": outcome.best_step,
        "counts": outcome.counts,
        "training_seconds": record.seconds,
        "images_per_second": record.speed,
        "error": record.status.get("error"),
        "log": str(record.folder.log),
    }


def _interval(value: Interval | None) -> dict[str, float | None] | None:
    return None if value is None else value._asdict()


def to_csv(found: Sequence[Findings]) -> str:
    """One line a run; settings that differ on one data set alone are empty for others."""
    file = io.StringIO()
    columns = list(dict.fromkeys(key for one in found for key in one.columns))
    keys = ["run", "seed", "state", "step", "final", "best", "best_step", "counts"]
    keys += ["training_seconds", "images_per_second", "error", "log"]
    heads = ["data", "configuration", *columns, "metric", *keys]
    writer = csv.DictWriter(file, heads, restval="", lineterminator="\n")
    writer.writeheader()
    for one in found:
        name = one.metric.name if one.metric else ""
        for row in one.configurations:
            shared = {"data": one.data, "configuration": row.label, "metric": name, **row.settings}
            for outcome in row.outcomes:
                run = _run(outcome)
                # Of equal names, such as the setting `data`, the run's own counts.
                writer.writerow({**shared, **{key: run[key] for key in keys}})
    return file.getvalue()


def to_latex(found: Sequence[Findings]) -> str:
    """A table for the package booktabs for each data set that was evaluated, the best in bold."""
    return "\n".join(_latex(one, one.metric) for one in found if one.metric)


def _latex(found: Findings, metric: ReportedMetric) -> str:
    columns = found.heads or ["configuration"]
    arrow = r"$\downarrow$" if metric.better == LOWER else r"$\uparrow$"
    heads = [*map(_escaped, columns), "runs", f"{_escaped(metric.name)} {arrow}", "best"]
    lines = [
        f"% {found.data}, {found.at} values; mean and half of the 95 % t-interval over the runs "
        "that finished",
        rf"\begin{{tabular}}{{{'l' * len(columns)}rrr}}",
        r"\toprule",
        f"{' & '.join(heads)} \\\\",
        r"\midrule",
    ]
    for place, one in enumerate(found.configurations):
        settings = one.settings.values() if found.columns else [one.label]
        cells = [*map(_escaped, settings), str(len(one.counted))]
        cells += [_spread(one.values, one.error, place == 0), _spread(one.bests, one.error)]
        lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _spread(values: Sequence[float], error: float | None, bold: bool = False) -> str:
    if not values:
        return "--"
    mean, _, half = spread(values, error).partition(" ± ")
    mean = rf"\mathbf{{{mean}}}" if bold else mean
    return rf"${mean} \pm {half}$" if half else f"${mean}$"


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(sign, sign) for sign in text)
