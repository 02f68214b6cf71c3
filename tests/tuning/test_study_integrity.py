"""What others have put into a study's journal is refused in one line, or is a trial like ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from studying import LINE, Study

from gan_cli.config.search_space import Dimension
from gan_cli.config.settings import settings_of
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.jobs.processes import Supervisor
from gan_cli.tuning import integrity, results
from gan_cli.tuning.integrity import check_journal, distribution, fits
from gan_cli.tuning.plan import StudyPlan
from gan_cli.tuning.results import rows
from gan_cli.tuning.search import search
from gan_cli.tuning.study import open_study
from gan_cli.tuning.trial import MetricError, TrialRunner

pytest.importorskip("optuna", reason="gan-tune needs the extra `tune`")
NEW, PARAM, STATE, POINT, OURS, OPTUNAS = 4, 5, 6, 7, 8, 9  # kinds of records
COMPLETE = {"op_code": STATE, "state": 1, "values": [0.5]}


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (sparse, r"record 1 has more than 1,048,576 bytes"),
        (Path.mkdir, "is not a regular file"),
        (pipe, "is not a regular file"),
        (lambda path: path.symlink_to("/etc/passwd"), "is a link"),
        (text("{}\n[1]\n"), "record 2 is not a mapping"),
        (text(f'{{"a":{"[" * 99}{"]" * 99}}}\n'), "has more than 64 levels"),
        (text('{"step":1e999}\n'), "not finite"),
        (text('{"trial_id":3}\n' * 4), "trial 3 has more than 3 records"),
        (text("{}\n" * 40), "it has more than 100 bytes"),
    ],
)
def test_a_journal_that_is_none_is_refused(
    make: Callable[[Path], object], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "MOST", 3)
    if "100 bytes" in fault:
        monkeypatch.setattr(integrity, "LARGEST", 100)
    make(tmp_path / "x")
    with pytest.raises((ValueError, CheckpointError), match=fault) as error:
        check_journal(tmp_path / "x")
    assert "\n" not in str(error.value)


def test_a_missing_journal_and_a_record_that_was_cut_off_are_none_of_its_faults(
    tmp_path: Path,
) -> None:
    check_journal(tmp_path / "x")
    text('{"op_code":0}\n{"op_code":4,"stu')(tmp_path / "x")
    check_journal(tmp_path / "x")


def with_trial(plan: StudyPlan, *records: dict[str, Any], without: tuple[str, ...] = ()) -> None:
    """Append a trial with both settings, and further records of it."""
    settings = {"optimizer.lr": 1e-3, "model.d_steps": 2}
    made = [{"op_code": NEW, "study_id": 0, "datetime_start": "2026-11-28T08:00:00+00:00"}]
    for dimension in plan.dimensions:
        if dimension.key not in without:
            made.append(parameter(dimension, settings[dimension.key]))
    ended = {"trial_id": 0, "worker_id": "w", "datetime_complete": "2026-11-28T08:00:00+00:00"}
    with (plan.folder / "study.journal").open("a", encoding="utf-8") as file:
        for record in (*made, *records):
            file.write(json.dumps({**ended, **record}) + "\n")


def parameter(dimension: Dimension, value: float) -> dict[str, Any]:
    from optuna.distributions import distribution_to_json

    range_ = distribution_to_json(distribution(dimension))
    named = {"op_code": PARAM, "param_name": dimension.key}
    return {**named, "param_value_internal": value, "distribution": range_}


def test_a_trial_like_ours_is_used(study: Study) -> None:
    plan = study()
    attributes = {"seconds": 2.0, "values": [0.5], "why": "", "place": plan.folder_id}
    more = [{"op_code": OURS, "user_attr": {key: value}} for key, value in attributes.items()]
    rung = {"op_code": OPTUNAS, "system_attr": {"completed_rung_0": 0.5}}
    point = {"op_code": POINT, "step": 2, "intermediate_value": 0.5}
    drawn = json.dumps({"optimizer.lr": 1e-3, "model.d_steps": 2})
    pieces = [
        {"op_code": OPTUNAS, "system_attr": {f"tpe:relative_params:{number}": piece}}
        for number, piece in enumerate((drawn[:9], drawn[9:]))
    ]
    with_trial(plan, *more, *pieces, rung, point, COMPLETE)
    found = rows(open_study(plan))
    assert [(row.state, row.value, dict(row.curve)) for row in found] == [
        ("complete", 0.5, {2: 0.5})
    ]


WIDE = Dimension("optimizer.lr", "float", low=1e-9, high=2, log=True)
FAULTS: list[tuple[list[dict[str, Any]], tuple[str, ...], str]] = [
    ([{**COMPLETE, "values": ["x"]}], (), r"its value \[x\] is not a finite number"),
    ([{**COMPLETE, "values": [0.5, 0.5]}], (), r"its value \[.*\] is not a finite number"),
    ([{**COMPLETE, "values": None}], (), "its value null is not a finite number"),
    ([COMPLETE], ("optimizer.lr",), "it has no optimizer.lr"),
    ([{**parameter(WIDE, 2)}], ("optimizer.lr",), r"optimizer.lr = 2.* is not in the range"),
    ([{**parameter(WIDE, 0.1)}], ("optimizer.lr",), "optimizer.lr has another range"),
    ([{**parameter(WIDE, 0.1), "param_name": "a\nb"}], (), r"is not in the range"),
    ([{"op_code": POINT, "step": "x", "intermediate_value": 1}], (), "is not a point of a curve"),
    ([{"op_code": POINT, "step": 2, "intermediate_value": "x"}], (), "is not a point of a curve"),
    ([{"op_code": OURS, "user_attr": {"seconds": "x"}}], (), "seconds = x: no study"),
    ([{"op_code": OURS, "user_attr": {"values": {"a": 1}}}], (), "values = .*: no study"),
    ([{"op_code": OURS, "user_attr": {"place": [1]}}], (), "place = .*: no study"),
    ([{"op_code": OURS, "user_attr": {"why": None}}], (), "why = null: no study"),
    (
        [{"op_code": OPTUNAS, "system_attr": {"fixed_params": {"model.d_steps": "many"}}}],
        (),
        "its attribute fixed_params is not one of a study of gan-tune",
    ),
    *(
        (
            [{"op_code": OPTUNAS, "system_attr": {"tpe:relative_params:0": text}}],
            (),
            "its attribute tpe:relative_params:0 is not one of a study of gan-tune",
        )
        for text in ('{"model.d_steps": 99}', '{"other": 1}', '{"model', "[" * 9999, 3)
    ),
    (
        [{"op_code": OPTUNAS, "system_attr": {"tpe:relative_params:1": "{}"}}],
        (),
        "its attribute tpe:relative_params:1 is not one of a study of gan-tune",
    ),
    (
        [{"op_code": OPTUNAS, "system_attr": {"constraints": "x"}}],
        (),
        "its attribute constraints is not one of a study of gan-tune",
    ),
]


@pytest.mark.parametrize(("records", "without", "fault"), FAULTS)
def test_a_trial_that_no_search_has_made_is_refused(
    study: Study, records: list[dict[str, Any]], without: tuple[str, ...], fault: str
) -> None:
    plan = study()
    with_trial(plan, *records, without=without)
    message = rf"is damaged \(trial 0: .*{fault}.*; restore it"
    with pytest.raises(ConfigError, match=message) as error:
        open_study(plan)
    assert "\n" not in str(error.value)


def test_a_study_that_wants_the_opposite_is_refused(study: Study) -> None:
    plan = study()
    journal = plan.folder / "study.journal"
    journal.write_text(journal.read_text().replace('"directions":[1]', '"directions":[2]'))
    with pytest.raises(ConfigError, match=r"its direction is maximize, not minimize"):
        open_study(plan)


def test_values_fit_their_ranges() -> None:
    whole, words = Dimension("a", "int", low=1, high=6), Dimension("b", "choice", ("x", "y"))
    assert [fits(whole, value) for value in (1, 6, 0, 7, 2.0, True, "2", None)] == [
        *(True, True),
        *[False] * 6,
    ]
    assert [fits(WIDE, value) for value in (1, 1e-9, 0.0, float("nan"), "1")] == [
        *(True, True),
        *[False] * 3,
    ]
    assert [fits(words, value) for value in ("x", "z", 1, ["x"])] == [True, False, False, False]


@pytest.mark.parametrize("lock", [True, False])
def test_a_trial_whose_lock_cannot_be_read_is_not_waited_for(study: Study, lock: bool) -> None:
    plan = study((1e-3, 1))
    folder = plan.run_folder(0, 0)
    if lock:
        (folder / ".lock").mkdir(parents=True)
    else:
        folder.write_text("no folder")
    with pytest.raises(CheckpointError, match=r"\.lock: cannot be read") as error:
        search(plan, Supervisor())
    assert "\n" not in str(error.value)
    assert [row.state for row in rows(open_study(plan))] == ["failed"]


def test_a_run_that_records_a_direction_but_no_metric_does_not_end_the_study(study: Study) -> None:
    plan = study((1e-3, 1))
    runner = TrialRunner(plan, Supervisor(), {}, [])
    runner._check_direction({"best": {"better": "higher"}})
    with pytest.raises(MetricError):
        runner._check_direction({"best": {"better": "higher", "figure": "wasserstein_1"}})


def test_a_preset_names_groups_alone(base: StudyPlan) -> None:
    settings = settings_of(*(word for word in LINE if "(" not in word and "tune." not in word))
    settings.choices["--trust"] = "evil"
    with pytest.raises(CheckpointError, match="choices: --trust is not a group"):
        results.preset_of(settings, base)
