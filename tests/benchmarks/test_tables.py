"""Tables as files, and the runs that they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.published.jobs import drawn, evaluations, jobs, merged
from benchmarks.published.tables import ORDER, Evaluate, Variants, load
from gan_cli.config.settings import settings_of
from gan_cli.errors import ConfigError

TABLE = """
title: T
paper: P
protocol: W
train: [model=gan, steps=9]
evaluate: {metrics: modes, samples: 100}
columns: [{figure: a, title: A}, {figure: b, title: B}]
rows:
  - {name: one, title: One, train: [data=ring]}
  - {name: two, title: Two, figures: [b], instead: {x=1: x=3}}
  - {name: three, title: Three, needs: a thing}
variants: {seed: 1, count: 2, choices: {x: [1, 2]}}
forms:
  full: {words: all, seeds: [0, 1]}
  cpu:
    {words: short, seeds: [5], train: [steps=2], rows: {two: [steps=3]}, expect: {two: {b: [1, 2]}}}
"""


def made(folder: Path, text: str = TABLE) -> Path:
    (folder / "t.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ORDER)
def test_every_table_is_sound(name: str) -> None:
    table = load(name)
    assert set(table.forms) == {"full", "cpu"}
    for form_name, form in table.forms.items():
        found = jobs(table, form_name)
        assert len({job.key for job in found}) == len(found) > 0
        assert form.words
        assert form.expect, "a form states what it expects"
        for figures in form.expect.values():
            for least, most in figures.values():
                assert least is not None or most is not None
        assert all(job.figures for job in found)


CASES = [(name, row.name) for name in ORDER for row in load(name).rows if not row.needs]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "row"), CASES, ids=[f"{name}-{row}" for name, row in CASES])
def test_every_row_is_a_command_that_gan_train_takes(name: str, row: str) -> None:
    first = next(job for job in jobs(load(name), "full") if job.row == row)
    settings = settings_of(*first.train)
    assert settings.steps is not None
    assert settings.seed == first.seed


def test_later_overrides_win_and_keys_come_once() -> None:
    assert merged(["a=1", "b=2"], ["a=3"]) == ("b=2", "a=3")


def test_rows_seeds_and_variants_make_runs(tmp_path: Path) -> None:
    table = load("t", made(tmp_path))
    found = jobs(table, "full")
    assert [job.key for job in found] == [
        "one-v00-s0",
        "one-v00-s1",
        "one-v01-s0",
        "one-v01-s1",
        "two-v00-s0",
        "two-v00-s1",
        "two-v01-s0",
        "two-v01-s1",
    ]
    assert found[0].figures == ("a", "b")
    assert found[4].figures == ("b",)
    assert {job.train[-2] for job in found[:4]} == {"x=1", "x=2"}
    assert {job.train[-2] for job in found[4:]} == {"x=3", "x=2"}


def test_a_form_has_rows_and_settings_of_its_own(tmp_path: Path) -> None:
    (first, _) = jobs(load("t", made(tmp_path)), "cpu")
    assert first.row == "two"
    assert "steps=3" in first.train
    assert "steps=9" not in first.train
    assert first.train[-1] == "seed=5"


def test_drawing_variants_is_repeatable_and_never_draws_one_twice() -> None:
    few = Variants(seed=3, count=2, choices={"a": [1, 2], "b": ["x", "y"]})
    many = few.model_copy(update={"count": 9})
    assert drawn(many)[:2] == drawn(few)
    assert len(set(drawn(many))) == 4


def test_each_checkpoint_is_an_evaluation() -> None:
    asked = Evaluate(metrics="fid", samples=10, split="test", checkpoints=[2, "last"])
    assert [one[-1] for one in evaluations(asked)] == ["2", "last"]
    assert " ".join(evaluations(asked)[0]) == (
        "--metrics fid --split test --weights raw --samples 10 --checkpoint 2"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("paper: P", "paper: P\nmore: 1", "more"),
        ("expect: {two:", "expect: {four:", "no row four"),
        ("{b: [1, 2]}}}", "{c: [1, 2]}}}", "no column c"),
        ("name: two", "name: one", "same name"),
    ],
    ids=["unknown key", "expected row", "expected column", "rows of one name"],
)
def test_faults_in_a_file_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load("t", made(tmp_path, TABLE.replace(old, new)))


def test_an_unknown_table_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="ring_grid"):
        load("rings")
