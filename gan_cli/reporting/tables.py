"""The report for programs and papers: JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from gan_cli.formatting import Interval, number
from gan_cli.reporting.comparison import power
from gan_cli.reporting.findings import ConfigurationRow, Findings, RunOutcome
from gan_cli.reporting.metric import LOWER

ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPES |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def to_json(found: Findings) -> str:
    """All figures, sentences and commands."""
    content = {
        "metric": found.metric.name,
        "better": found.metric.better,
        "by": found.at,
        "interval": "95 % t-interval over seeds",
        "tests": {
            "comparisons": "exact Mann-Whitney, Holm's correction",
            "effects": "exact signed-rank, Holm's correction",
        },
        "configurations": [_row(row) for row in found.rows],
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
        "warnings": found.warnings,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _row(row: ConfigurationRow) -> dict[str, Any]:
    return {
        "label": row.label,
        "settings": row.configuration.settings,
        "command": row.configuration.command,
        "exact": not row.configuration.origin.fault,
        "metric": _interval(row.metric),
        "best": _interval(row.best),
        "training_seconds": row.seconds,
        "images_per_second": row.speed,
        "steps": row.steps,
        "runs": [_run(outcome) for outcome in row.outcomes],
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


def to_csv(found: Findings) -> str:
    """One line a run."""
    file = io.StringIO()
    columns = found.columns
    writer = csv.writer(file, lineterminator="\n")
    keys = ["run", "seed", "state", "step", "final", "best", "best_step", "counts"]
    keys += ["training_seconds", "images_per_second", "error", "log"]
    writer.writerow(["configuration", *columns, "metric", *keys])
    for row in found.rows:
        settings = [row.configuration.settings[column] for column in columns]
        for outcome in row.outcomes:
            run = _run(outcome)
            writer.writerow([row.label, *settings, found.metric.name, *(run[key] for key in keys)])
    return file.getvalue()


def to_latex(found: Findings) -> str:
    """A table for the package booktabs, one line a configuration, the best mean in bold."""
    columns = found.columns or ["configuration"]
    arrow = r"$\downarrow$" if found.metric.better == LOWER else r"$\uparrow$"
    heads = [*map(_escaped, columns), "runs", f"{_escaped(found.metric.name)} {arrow}", "best"]
    lines = [
        f"% {found.at} values; mean and half of the 95 % t-interval over the runs that finished",
        rf"\begin{{tabular}}{{{'l' * len(columns)}rrr}}",
        r"\toprule",
        f"{' & '.join(heads)} \\\\",
        r"\midrule",
    ]
    for place, row in enumerate(found.rows):
        settings = row.configuration.settings.values() if found.columns else [row.label]
        cells = [*map(_escaped, settings), str(len(row.counted))]
        cells += [_spread(row.metric, place == 0), _spread(row.best)]
        lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _spread(value: Interval | None, bold: bool = False) -> str:
    if value is None:
        return "--"
    mean = number(value.mean)
    mean = rf"\mathbf{{{mean}}}" if bold else mean
    return f"${mean}$" if value.half is None else rf"${mean} \pm {number(value.half)}$"


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(sign, sign) for sign in text)
