"""Comparisons and effects, where ranks and means disagree."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gan_cli.reporting.comparison import compare, effects
from gan_cli.reporting.configurations import Configuration, RunOutcome
from gan_cli.reporting.metric import ReportedMetric
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.record import Record

FID = ReportedMetric("fid", "lower")


def configuration(
    label: str, values: list[float], settings: dict[str, str] | None = None
) -> Configuration:
    made = Configuration([], {}, None, label=label, settings=settings or {})  # type: ignore[arg-type]
    folder = RunFolder(Path("nowhere"))
    finished = {"status": "finished", "step": 1}
    for seed, value in enumerate(values):
        record = Record(folder, {"seed": seed}, finished)
        made.outcomes.append(RunOutcome(record, value, 1, value, 1))
    return made


GOOD = [10 + 0.1 * seed for seed in range(9)]
WORSE = [20 + 0.1 * seed for seed in range(10)]


def test_one_outlier_does_not_turn_a_comparison_round() -> None:
    """Nine runs of ten are far better and one diverged: the mean is worse, the ranks are better."""
    found = [configuration("A", [*GOOD, 400.0]), configuration("B", WORSE)]
    (forth,), (back,) = compare(found, FID), compare(found[::-1], FID)
    for one in (forth, back):
        assert one.clear
        assert (one.better, one.wins, one.of) == ("A", 9, 10)
        assert "A beats B on fid, better in 9 of 10 seeds" in str(one)
        assert "not on average: an outlier decides the mean" in str(one)
        assert one.difference > 0  # of the means


def test_a_comparison_without_outliers_says_nothing_of_them() -> None:
    (one,) = compare([configuration("B", WORSE), configuration("A", GOOD)], FID)
    assert one.better == "A"
    assert one.means_agree
    assert "outlier" not in str(one)


def test_what_the_test_does_not_decide_is_in_the_order_of_the_means() -> None:
    found = [configuration("A", [1.0, 2.0, 30.0]), configuration("B", [3.0, 4.0, 5.0])]
    (one,) = compare(found, FID)
    assert not one.clear
    assert (one.better, one.means_agree) == ("B", True)
    higher = dataclasses.replace(FID, better="higher")
    assert compare(found, higher)[0].better == "A"


def test_one_outlier_does_not_turn_an_effect_round() -> None:
    settings = [{"beta": beta, "model": "gan"} for beta in ("1", "2")]
    one, two = (
        configuration(f"beta={s['beta']}", values, s)
        for s, values in zip(settings, ([*GOOD, 10.9, 400.0], [*WORSE, 21.0]), strict=True)
    )
    for found in ([one, two], [two, one]):
        (effect,) = [e for e in effects(found, ["beta", "model"], FID) if e.setting == "beta"]
        assert effect.clear
        assert (effect.levels, effect.wins, effect.of) == (("1", "2"), 10, 11)
        assert effect.difference.mean > 0
        assert str(effect).startswith("1 is better: fid higher by ")
        assert "not on average: an outlier decides the mean" in str(effect)
