"""What is kept of runs, and the page made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_tables import TABLE, made

from benchmarks.published import results
from benchmarks.published.jobs import jobs
from benchmarks.published.page import page
from benchmarks.published.running import Outcome
from benchmarks.published.tables import FormName, Table, load
from gan_cli.errors import DataError
from gan_cli.training.divergence import Fault


@pytest.fixture
def table(tmp_path: Path) -> Table:
    text = TABLE.replace("variants: {seed: 1, count: 2, choices: {x: [1, 2]}}\n", "")
    return load("t", made(tmp_path, text))


def outcomes(table: Table, *values: float | None) -> list[Outcome]:
    """Of the first runs of the full form; None is a failure."""
    found = []
    for job, value in zip(jobs(table, "full"), values, strict=False):
        record = {
            "train": list(job.train),
            "evaluations": [list(arguments) for arguments in job.evaluations],
            "values": dict.fromkeys(job.figures, value),
            "seconds": {"train": 60.0, "evaluate": 0.0},
            "date": "2026-01-02",
            "hardware": "CPU",
        }
        found.append(Outcome(job, None if value is None else record, "it broke"))
    return found


def contents(table: Table, folder: Path) -> dict[tuple[str, FormName], results.Json]:
    return {("t", form): results.read(folder, table, form) for form in table.forms}


def test_runs_add_up_over_calls(table: Table, tmp_path: Path) -> None:
    first, second, third, _ = outcomes(table, 1.0, 3.0, None, 2.0)
    results.add(tmp_path, table, "full", [first])
    results.add(tmp_path, table, "full", [second, third])
    kept = json.loads((tmp_path / "t-full.json").read_text(encoding="utf-8"))
    assert list(kept["runs"]) == ["one-s0", "one-s1"]
    assert kept["failed"] == {"two-s0": "it broke"}
    assert kept["rows"]["one"]["a"]["value"] == 2.0
    assert kept["rows"]["two"] == {}


def test_a_run_that_fails_now_is_no_longer_a_result(table: Table, tmp_path: Path) -> None:
    results.add(tmp_path, table, "full", outcomes(table, 1.0))
    kept = results.add(tmp_path, table, "full", outcomes(table, None))
    assert kept["runs"] == {}


def test_a_stopped_run_changes_nothing(table: Table, tmp_path: Path) -> None:
    (done,) = outcomes(table, 1.0)
    results.add(tmp_path, table, "full", [done])
    stopped = Outcome(done.job, None, "stopped", stopped=True)
    kept = results.add(tmp_path, table, "full", [stopped])
    assert list(kept["runs"]) == ["one-s0"]
    assert kept["failed"] == {}


def test_runs_of_another_command_are_left_out(table: Table, tmp_path: Path) -> None:
    results.add(tmp_path, table, "full", outcomes(table, 1.0))
    other = table.model_copy(update={"train": ["model=gan", "steps=10"]})
    assert results.read(tmp_path, other, "full")["runs"] == {}


def test_a_damaged_file_is_refused(table: Table, tmp_path: Path) -> None:
    (tmp_path / "t-full.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        results.read(tmp_path, table, "full")


def test_the_page_shows_ours_beside_theirs(table: Table, tmp_path: Path) -> None:
    text = """
      {name: one, title: One, train: [data=ring], published: {a: {value: 6.3, error: .5}}}
    """.strip()
    path = tmp_path / "t.yaml"
    old = path.read_text(encoding="utf-8")
    new = old.replace("{name: one, title: One, train: [data=ring]}", text)
    path.write_text(new.replace("full: {", "full: {expect: {one: {a: [3, 9]}}, "), encoding="utf-8")
    table = load("t", tmp_path)
    results.add(tmp_path, table, "full", outcomes(table, 1.0, 3.0))
    shown = page([table], contents(table, tmp_path))
    assert (
        "| One (`one`) | 2.00 ± 1.41 (1.00) | 6.3 ± 0.5 (standard error) "
        "| 2.00 ± 1.41 (1.00) | – | 2 of 2 | **no**: a 3 to 9 |" in shown
    )
    assert "| Three (`three`) | – | – | – | – | – | needs a thing |" in shown
    assert "gan-train model=gan steps=9 data=ring seed=0" in shown
    assert "Run on 2026-01-02, CPU; 2 minutes of all runs together." in shown


def test_the_page_says_that_a_time_is_missing(table: Table, tmp_path: Path) -> None:
    first, second, *_ = outcomes(table, 1.0, 3.0)
    assert first.record is not None
    first.record["seconds"]["train"] = None
    results.add(tmp_path, table, "full", [first, second])
    shown = page([table], contents(table, tmp_path))
    assert "1 minutes of all runs together, without trainings whose time was not recorded." in shown


def test_half_of_a_row_meets_no_expectation(table: Table, tmp_path: Path) -> None:
    job = jobs(table, "cpu")[0]
    assert job.key == "two-s5"
    assert "not run yet: b 1 to 2" in page([table], contents(table, tmp_path))


def test_failures_are_on_the_page_with_their_reason(table: Table, tmp_path: Path) -> None:
    results.add(tmp_path, table, "full", outcomes(table, None))
    shown = page([table], contents(table, tmp_path))
    assert "- `one-s0`: it broke" in shown
    assert "| 0 of 2 |" in shown


def test_a_diverged_run_has_not_passed(tmp_path: Path) -> None:
    columns = "columns: [{figure: a, title: A, statistic: passing, above: 5}]"
    text = TABLE.replace("columns: [{figure: a, title: A}, {figure: b, title: B}]", columns)
    text = text.replace("figures: [b]", "figures: [a]").replace("b: [1, 2]", "a: [1, 2]")
    text = text.replace("variants: {seed: 1, count: 2, choices: {x: [1, 2]}}\n", "")
    table = load("t", made(tmp_path, text))
    passed, diverged = outcomes(table, 9.0, None)
    diverged = Outcome(diverged.job, None, str(Fault(7, "generator", "loss", ["loss"], "")))
    results.add(tmp_path, table, "full", [passed, diverged])
    assert shown(tmp_path) == {"n": 2, "value": 1}
    broken = Outcome(diverged.job, None, "the disk is full")
    results.add(tmp_path, table, "full", [passed, broken])
    assert shown(tmp_path) == {"n": 1, "value": 1}


def shown(folder: Path) -> dict[str, float]:
    kept = json.loads((folder / "t-full.json").read_text(encoding="utf-8"))
    return {key: kept["rows"]["one"]["a"][key] for key in ("n", "value")}
