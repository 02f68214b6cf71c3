"""A study as one page that needs nothing else: history, importance, settings, curves, trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli import atomic
from gan_cli.config.sweeping import Dimension
from gan_cli.formatting import shell_command
from gan_cli.tuning import drawing
from gan_cli.tuning.direction import MINIMIZE
from gan_cli.tuning.plan import Plan
from gan_cli.tuning.playing import COMPLETE, PRUNED
from gan_cli.tuning.results import Row, number, ranked, short

if TYPE_CHECKING:
    from optuna import Study

ENOUGH = 4  # complete trials from which importance is estimated
STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#66707f;--rule:#d9dee6;--back:#fff;
--mark:#1f6feb;--faint:#9aa4b2;--good:#1a7f37;--bad:#c93c37}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa4b2;--rule:#323a46;--back:#12161c;
--mark:#6cb0ff;--faint:#5b6675;--good:#57c275;--bad:#ff7b72}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);
max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}p,figcaption{color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:1rem}
figure{margin:0}svg{width:100%;height:auto;font-size:11px}svg text{fill:var(--soft)}
svg .title{fill:var(--ink)}.grid{stroke:var(--rule)}polyline{fill:none;stroke-width:1.5}
.complete{fill:var(--mark)}.pruned{fill:var(--faint)}.best{fill:var(--good)}
polyline.complete{fill:none;stroke:var(--mark);opacity:.55}
polyline.pruned{fill:none;stroke:var(--faint);opacity:.6}
polyline.best{fill:none;stroke:var(--good);stroke-width:2.5}
.bar{background:var(--mark);height:.8rem;border-radius:2px}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
td.why{text-align:left;white-space:normal;min-width:12rem}td.share{width:50%}
tr.first{font-weight:600}.failed{color:var(--bad)}code{overflow-wrap:anywhere}
@media print{body{margin:0;max-width:none}figure,tr{break-inside:avoid}}
"""


def write(study: Study, plan: Plan, found: Sequence[Row]) -> Path:
    """Write the page into the study's folder; its file.

    Raises:
        UserError: it cannot be written.
    """
    file = plan.folder / "study.html"
    atomic.write(file, "".join(text(plan, found, importance(study, found))))
    return file


def importance(study: Study, found: Sequence[Row]) -> dict[str, float]:
    """The share of each setting in how good trials differ from others; empty where unknown.

    PED-ANOVA (Watanabe et al. 2023), over the complete trials.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    values = {row.value for row in found if row.state == COMPLETE}
    if sum(row.state == COMPLETE for row in found) < ENOUGH or len(values) < 2:
        return {}
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {key: share for key, share in shares.items() if math.isfinite(share)}


def text(plan: Plan, found: Sequence[Row], shares: Mapping[str, float]) -> Iterator[str]:
    """The page's HTML."""
    name, metric = escape(plan.folder.name), escape(plan.tune.metric)
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<style>{STYLE}</style></head><body><h1>{name}</h1>"
    best = ranked(found, plan)
    seeds = len(plan.tune.seeds)
    over = f", mean of {seeds} seeds" if seeds > 1 else ""
    yield f"<p>{metric}, {plan.direction}d, {plan.tune.value} point of each run{over}. "
    yield f"{len(found)} trials, {len(best)} of them complete. Every trial: "
    yield f"<code>{escape(shell_command(*plan.fixed, *plan.added))}</code></p>"
    if best:
        params = " ".join(f"{key}={short(value)}" for key, value in best[0].params.items())
        yield f"<p>Best: trial {best[0].number} with {number(best[0].value)}: "
        yield f"<code>{escape(params)}</code></p>"
        yield '<div class="charts">'
        yield figure("Each trial, and the best so far; grey: pruned", history(plan, found))
        if any(row.curve for row in found):
            yield figure("Each trial's curve; grey: pruned", curves(plan, found))
        yield "</div>"
    if shares:
        yield "<h2>Which settings matter</h2><p>Share of each setting in how the best trials "
        yield "differ from the others (PED-ANOVA).</p><table>"
        for key, share in shares.items():
            bar = f'<div class="bar" style="width:{100 * share:.1f}%"></div>'
            yield f"<tr><td>{escape(key)}</td><td>{share:.0%}</td>"
            yield f'<td class="share">{bar}</td></tr>'
        yield "</table>"
    if best:
        yield '<h2>Settings</h2><div class="charts">'
        for dimension in plan.dimensions:
            yield figure("", slices(plan, found, dimension))
        yield "</div>"
    yield from trials(plan, found, best)
    yield "</body></html>\n"


def figure(caption: str, picture: str) -> str:
    """A picture with what it shows."""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def history(plan: Plan, found: Sequence[Row]) -> str:
    """Values in the order of the trials, with the best so far."""
    valued = judged(found)
    x = drawing.axis("trial", [float(row.number) for row, _ in valued])
    y = value_axis([value for _, value in valued])
    pick = min if plan.direction == MINIMIZE else max
    so_far: list[drawing.Point] = []
    for row, value in valued:
        if row.state == COMPLETE:
            best = pick(value, so_far[-1][1]) if so_far else value
            so_far.append((float(row.number), best))
    marks = [drawing.line(so_far, x, y, "best", "best so far")]
    marks += [
        drawing.circle((row.number, value), x, y, row.state, f"trial {row.number}: {number(value)}")
        for row, value in valued
    ]
    return drawing.chart(x, y, marks)


def judged(found: Sequence[Row]) -> list[tuple[Row, float]]:
    """Trials that can be drawn: the complete ones, and the pruned ones where they were given up."""
    return [
        (row, row.value)
        for row in found
        if row.state in (COMPLETE, PRUNED) and row.value is not None and math.isfinite(row.value)
    ]


def curves(plan: Plan, found: Sequence[Row]) -> str:
    """The metric over steps, of every trial's first seed."""
    shown = [row for row in found if row.curve]
    x = drawing.axis("step", [float(step) for row in shown for step in row.curve])
    y = value_axis([value for row in shown for value in row.curve.values()])
    first = [row.number for row in ranked(found, plan)[:1]]
    order = sorted(shown, key=lambda row: (row.number in first, row.state == COMPLETE))
    marks = []
    for row in order:
        kind = "best" if row.number in first else COMPLETE if row.state == COMPLETE else PRUNED
        points = [(float(step), value) for step, value in sorted(row.curve.items())]
        points = [(step, value) for step, value in points if value > 0 or not y.log]
        marks.append(drawing.line(points, x, y, kind, f"trial {row.number}"))
    return drawing.chart(x, y, marks)


def slices(plan: Plan, found: Sequence[Row], dimension: Dimension) -> str:
    """Values over one setting."""
    if dimension.kind == "choice":
        x = drawing.named(dimension.key, dimension.choices)
    else:
        x = drawing.Axis(dimension.key, dimension.low, dimension.high, dimension.log)
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
            drawing.circle((place, value), x, y, kind, f"trial {row.number}: {number(value)}")
        )
    return drawing.chart(x, y, marks)


def value_axis(values: Sequence[float]) -> drawing.Axis:
    """An axis of the metric; logarithmic where it spans more than a factor of twenty."""
    finite = [value for value in values if math.isfinite(value)]
    wide = bool(finite) and min(finite) > 0 and max(finite) > 20 * min(finite)
    return drawing.axis("", finite, wide)


def trials(plan: Plan, found: Sequence[Row], best: Sequence[Row]) -> Iterator[str]:
    """The table of all trials, best first."""
    yield "<h2>Trials</h2><div class=scroll><table><tr><th>trial</th><th>state</th>"
    yield f"<th>{escape(plan.tune.metric.rpartition('/')[2])}</th>"
    yield "".join(f"<th>{escape(d.key)}</th>" for d in plan.dimensions)
    yield "<th>seconds</th><th></th></tr>"
    for row in [*best, *(row for row in found if row not in best)]:
        spread = "" if row.spread is None else f" ± {number(row.spread)}"
        cells = [row.params.get(dimension.key, "") for dimension in plan.dimensions]
        yield f'<tr class="{"first" if row in best[:1] else row.state}"><td>{row.number}</td>'
        yield f"<td>{row.state}</td><td>{number(row.value)}{spread}</td>"
        yield "".join(f"<td>{escape(short(cell))}</td>" for cell in cells)
        yield f'<td>{number(row.seconds)}</td><td class="why">{escape(row.why)}</td></tr>'
    yield "</table></div>"
