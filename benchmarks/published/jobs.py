"""The runs of a table."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.published.tables import Correlation, Evaluate, FormName, Row, Table, Variants


@dataclass(frozen=True)
class TableJob:
    """One training and its evaluations.

    Attributes:
        train: overrides of gan-train, without the run's folder.
        evaluations: arguments of gan-eval, without the run, one list for each checkpoint.
        figures: the metrics that it must have.
    """

    table: str
    form: FormName
    row: str
    seed: int
    variant: int | None
    train: tuple[str, ...]
    evaluations: tuple[tuple[str, ...], ...]
    figures: tuple[str, ...]
    correlation: Correlation | None = None

    @property
    def key(self) -> str:
        """Its name within table and form."""
        variant = "" if self.variant is None else f"-v{self.variant:02d}"
        return f"{self.row}{variant}-s{self.seed}"


def merged(*parts: Iterable[str]) -> tuple[str, ...]:
    """Overrides in order; a later one replaces an earlier one of the same key."""
    found: dict[str, str] = {}
    for override in (override for part in parts for override in part):
        key = override.partition("=")[0]
        found.pop(key, None)
        found[key] = override
    return tuple(found.values())


def drawn(variants: Variants) -> list[tuple[str, ...]]:
    """The overrides of each variant, no two alike; the first ones don't depend on the count."""
    stream = random.Random(variants.seed)
    found: list[tuple[str, ...]] = []
    possible = 1
    for values in variants.choices.values():
        possible *= len(values)
    while len(found) < min(variants.count, possible):
        one = tuple(f"{key}={stream.choice(values)}" for key, values in variants.choices.items())
        if one not in found:
            found.append(one)
    return found


def evaluations(asked: Evaluate) -> tuple[tuple[str, ...], ...]:
    """The arguments of gan-eval for each checkpoint."""
    common = ["--metrics", asked.metrics, "--split", asked.split, "--weights", asked.weights]
    if asked.samples is not None:
        common += ["--samples", str(asked.samples)]
    return tuple((*common, "--checkpoint", str(point)) for point in asked.checkpoints)


def jobs(table: Table, form_name: FormName) -> list[TableJob]:
    """All runs of a form of the table; rows that need a missing feature have none."""
    shown = table.rows_of(table.forms[form_name])
    return [job for row in shown for job in _jobs(table, row, form_name)]


def _jobs(table: Table, row: Row, form_name: FormName) -> Iterator[TableJob]:
    if row.needs:
        return
    form = table.forms[form_name]
    own = (form.rows or {}).get(row.name, [])
    asked = evaluations(row.evaluate or form.evaluate or table.evaluate)
    figures = tuple(column.figure for column in table.columns_of(form, row))
    every: Sequence[tuple[int | None, tuple[str, ...]]] = [(None, ())]
    variants = form.variants or table.variants
    if variants is not None and row.varied:
        every = list(enumerate(drawn(variants)))
    for number, settings in every:
        settings = [row.instead.get(setting, setting) for setting in settings]
        for seed in form.seeds:
            train = merged(table.train, row.train, settings, form.train, own, [f"seed={seed}"])
            place = (table.name, form_name, row.name, seed, number)
            yield TableJob(*place, train, asked, figures, row.correlation)
