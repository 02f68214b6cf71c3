"""The report for programs and papers: JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from gan_cli.formatting import Interval, number
from gan_cli.reporting.comparison import power
from gan_cli.reporting.configurations import Configuration, RunOutcome
from gan_cli.reporting.findings import Findings
from gan_cli.reporting.metric import LOWER

ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPES |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def to_json(found: Findings) -> str:
    """All values, sentences and commands."""
    content = {
        "metric": found.metric.name,
        "better": found.metric.better,
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
        "warnings": found.warnings,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


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
        "steps": one.step,
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


def to_csv(found: Findings) -> str:
    """One line a run."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    keys = ["run", "seed", "state", "step", "final", "best", "best_step", "counts"]
    keys += ["training_seconds", "images_per_second", "error", "log"]
    writer.writerow(["configuration", *found.columns, "metric", *keys])
    for one in found.configurations:
        for outcome in one.outcomes:
            run = _run(outcome)
            values = (run[key] for key in keys)
            writer.writerow([one.label, *one.settings.values(), found.metric.name, *values])
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
    for place, one in enumerate(found.configurations):
        settings = one.settings.values() if found.columns else [one.label]
        cells = [*map(_escaped, settings), str(len(one.counted))]
        cells += [_spread(one.metric, place == 0), _spread(one.best)]
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
