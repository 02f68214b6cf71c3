"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from datetime import datetime
from html import escape
from pathlib import Path

import gan_cli
from gan_cli.reporting.comparing import power
from gan_cli.reporting.findings import Findings
from gan_cli.reporting.html import capital, paragraph, section
from gan_cli.reporting.sections import (
    commands,
    configurations,
    curves,
    figures,
    pairs,
    runs,
    samples,
    settings_effects,
    troubles,
)

MARK = "gan-report"  # by which an older page is known
ASSETS = Path(__file__).parent / "assets"
METHODS = """\
A configuration is all runs whose settings differ by the seed alone (and by what changes nothing
that is learned: how often to log, draw, save). Only runs that finished with a finite value count.
± and lines with caps are 95 % t-intervals of the mean over seeds. Curves are means over seeds, and
bands reach from the lowest to the highest; where fewer than half of the seeds have a point, there
is none. Pairs of configurations are compared by the exact two-sided Mann-Whitney test over seeds,
settings by the exact signed-rank test over pairs of runs that are alike in all else, the seed
included; each family of p values is corrected by Holm's method. Pairs of one sweep share seeds and
settings, so an effect is one of settings like these."""


def to_html(found: Findings, now: datetime | None = None) -> str:
    """The page.

    Args:
        found: what it tells.
        now: when it was made.
    """
    css, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    title = f"{found.metric.name}: {len(found.records)} runs compared"
    made = (now or datetime.now()).strftime("%Y-%m-%d %H:%M")
    better = f"{found.metric.better} is better"
    count = f"{len(found.records)} runs of {_many(len(found.rows), 'configuration')}"
    body = "".join(
        [
            f"<header><h1>{escape(found.metric.name)}</h1>",
            paragraph(f"{count}, {better}, {found.at} values. Made {made}.", "dim"),
            "</header>",
            _short(found),
            _warnings(found),
            section("Not finished", troubles(found.troubled)),
            section("Each configuration", figures(found), configurations(found)),
            section("Curves", curves(found)),
            section("Samples from the same noise", samples(found)),
            section("What a setting does", settings_effects(found)),
            section("Pair by pair", pairs(found)),
            section("To train them again", commands(found)),
            section("All runs", runs(found)),
            section("How these figures come about", paragraph(METHODS)),
            f"<footer>gan-report {gan_cli.__version__}</footer>",
        ]
    )
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{MARK}">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{css}</style></head>\n<body><main>{body}</main>"
        f"<script>{script}</script></body></html>\n"
    )


def _many(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _short(found: Findings) -> str:
    """The answer in a few sentences."""
    lines = [paragraph(line) for line in answer(found)]
    lines += [
        f"<p><strong>{escape(one.question)}</strong> {escape(capital(one.short))}.</p>"
        for one in found.effects[:3]
    ]
    return f'<div class="card short">{"".join(lines)}</div>'


def answer(found: Findings) -> list[str]:
    """Which configuration is the best, and whether that is sure."""
    told = [row for row in found.rows if row.metric is not None]
    if not told:
        return ["No run has finished with a value yet, so there is nothing to compare."]
    first = told[0]
    if len(told) == 1:
        return [f"{first.label} is the only configuration with finished runs."]
    mine = [one for one in found.comparisons if one.better == first.label]
    beaten = [one.worse for one in mine if one.clear]
    text = f"{first.label} has the best mean {found.metric.name} of {len(told)} configurations"
    if mine and len(beaten) == len(told) - 1:
        return [f"{text}, and clearly so: it beats each of the others."]
    if beaten:
        return [f"{text}. It clearly beats {', '.join(beaten)}; the rest may be as good."]
    if mine:
        return [f"{text}, but beats none of the others clearly.", power(found.comparisons)]
    return [f"{text}; one seed each says nothing of chance, so no test is made."]


def _warnings(found: Findings) -> str:
    if not found.warnings:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in dict.fromkeys(found.warnings))
    return f'<div class="card warn"><ul>{lines}</ul></div>'
