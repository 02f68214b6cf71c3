"""Studies from start to end: complete, pruned, failed, interrupted, resumed."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from studying import LINE, Study

from gan_cli.commands.tune import tune
from gan_cli.errors import ConfigError
from gan_cli.jobs.processes import Supervisor
from gan_cli.runs.folder import RunFolder
from gan_cli.tuning import results
from gan_cli.tuning import study as study_module
from gan_cli.tuning.plan import StudyPlan, plan_of, prepare_folder
from gan_cli.tuning.results import TrialRow, ranked, rows
from gan_cli.tuning.search import search
from gan_cli.tuning.study import PLACE, claim, open_study, suggest
from gan_cli.tuning.trial import DiskFullError, MetricCurve, MetricError

if TYPE_CHECKING:
    from optuna import Trial

    from gan_cli.config.search_space import Dimension

GOOD, FAILS, DIVERGES, WAITS, KILLED, DISK_FULL = 1, 2, 3, 4, 5, 6  # what model.d_steps asks for
ENOUGH = 150.0  # seconds after which a test gives up


def searched(plan: StudyPlan) -> list[TrialRow]:
    """Search to the end; the trials."""
    search(plan, Supervisor())
    return rows(open_study(plan))


def appears(path: Path) -> None:
    until = time.monotonic() + ENOUGH
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.01)


def status(plan: StudyPlan, number: int, seed: int = 0) -> dict:
    return RunFolder(plan.run_folder(number, seed)).read_status()


def test_a_trial_is_an_ordinary_run_with_its_best_point_as_value(study: Study) -> None:
    plan = study((1e-2, GOOD), (1e-3, GOOD))
    found = searched(plan)
    assert [row.state for row in found] == ["complete", "complete"]
    assert [row.value for row in found] == pytest.approx([1 + 1 / 8, 1 / 8])
    assert found[0].curve == pytest.approx({2: 1.5, 4: 1.25, 6: 1 + 1 / 6, 8: 1.125})
    assert ranked(found, plan)[0].number == 1
    record = status(plan, 1)
    assert record["status"] == "finished"
    assert record["trial"]["number"] == 1
    assert record["trial"]["value"] == pytest.approx(1 / 8)
    assert record["trial"]["params"] == {"optimizer.lr": "0.001", "model.d_steps": "1"}


def test_a_study_with_values_that_were_drawn_resumes(study: Study) -> None:
    plan = study(trials=5, sampler="tpe")  # the first three at random
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "suggest", harmless)
        first = searched(plan)
        more = replace(plan, tune=plan.tune.model_copy(update={"trials": 6}))
        again = searched(more)
    drawn = [trial.system_attrs.keys() for trial in open_study(plan).get_trials(deepcopy=False)]
    assert [any(key.startswith("tpe:") for key in keys) for keys in drawn] == [
        *[False] * 3,
        *[True] * 3,
    ]
    assert [row.value for row in again[:5]] == [row.value for row in first]
    assert len(again) == 6


def harmless(trial: Trial, dimension: Dimension) -> str:
    """The value that is drawn, and one of `model.d_steps` that trains in any case."""
    value = suggest(trial, dimension)
    return str(GOOD) if dimension.key == "model.d_steps" else value


@pytest.mark.parametrize(("value", "told"), [("best", [5.0, 1.0, 1.0]), ("last", [5.0, 1.0, 9.0])])
def test_others_are_told_what_counts(
    study: Study, tmp_path: Path, value: str, told: list[float]
) -> None:
    plan = study(value=value)
    trial = open_study(plan).ask()
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    points = [{"step": 2 * k + 2, plan.tune.metric: one} for k, one in enumerate((5.0, 1.0, 9.0))]
    run.metrics.write_text("".join(json.dumps(point) + "\n" for point in points))
    MetricCurve(plan, run, trial).watch()
    (found,) = open_study(plan).get_trials()
    assert list(found.intermediate_values.values()) == told


def test_a_database_holds_one_study_of_a_name(study: Study, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="a study in a database needs SQLAlchemy")
    plan = study(storage=f"sqlite:///{tmp_path / 'all.db'}")
    open_study(plan)  # the same again
    other = replace(plan, fixed=(*plan.fixed, "batch_size=8"), folder=tmp_path / "far" / "study")
    other.work.mkdir(parents=True)
    with pytest.raises(
        ConfigError, match=r"holds another study of the name study; .*\n  settings: "
    ):
        open_study(other)


def test_a_trial_is_the_mean_over_seeds(study: Study) -> None:
    (row,) = searched(study((1e-3, GOOD), seeds=[1, 4]))
    assert row.value == pytest.approx(0.25 + 1 / 8)
    assert row.spread == pytest.approx(0.3 / 2**0.5)


def test_what_falls_behind_is_pruned_with_its_state_saved(study: Study) -> None:
    plan = study((1e-3, GOOD), (1e-6, WAITS), pruner="asha")
    _, row = searched(plan)
    assert row.state == "pruned"
    assert row.why == "pruned at step 2 with metrics/wasserstein_1 3.5"
    record = status(plan, 1)
    assert (record["status"], record["trial"]["state"]) == ("interrupted", "pruned")
    assert (plan.run_folder(1, 0) / "state").read_text() == "3"
    assert row.why in RunFolder(plan.run_folder(1, 0)).log.read_text(encoding="utf-8")


def test_failures_are_failed_trials(study: Study) -> None:
    plan = study((1e-3, GOOD), (1e-3, FAILS), (1e-3, DIVERGES), (1e-3, KILLED), (1e-2, GOOD))
    found = searched(plan)
    assert [row.state for row in found] == ["complete", *["failed"] * 3, "complete"]
    assert found[1].why.startswith("data.root = nowhere: no such folder (see ")
    assert found[2].why == "step 1: the run has diverged"
    assert found[3].why == "killed by SIGKILL, as the operating system does where memory runs out"
    assert status(plan, 2)["error"] == "step 1: the run has diverged"


@pytest.mark.parametrize(
    ("way", "reason"),
    [(DIVERGES, "step 1: the run has diverged$"), (FAILS, "data.root = nowhere: no such folder$")],
)
def test_settings_that_always_fail_end_the_study(study: Study, way: int, reason: str) -> None:
    plan = study(*[(1e-3, way)] * 4)
    with pytest.raises(ConfigError, match=f"first 3 trials failed alike: {reason}"):
        search(plan, Supervisor())
    assert len([row for row in rows(open_study(plan)) if row.state == "failed"]) == 3


def test_a_trial_without_room_on_the_disk_is_tried_again(study: Study) -> None:
    plan = study((1e-3, GOOD), (1e-3, DISK_FULL))
    with pytest.raises(DiskFullError, match="No space left on device; make room, and the same"):
        search(plan, Supervisor())
    assert [row.state for row in rows(open_study(plan))] == ["complete", "running"]
    Path("room").touch()
    assert [row.state for row in searched(plan)] == ["complete", "complete"]


def test_a_record_that_a_full_disk_cut_off_does_not_damage_the_study(study: Study) -> None:
    plan = study((1e-3, GOOD), (1e-2, GOOD))
    journal = plan.folder / "study.journal"
    opened = open_study(plan)
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":5,"worker')
    opened.set_user_attr("after", "the cut")  # by a worker that has the study open already
    assert journal.read_bytes().startswith(whole + b'{"op_code":')
    assert open_study(plan).user_attrs == {"after": "the cut"}
    assert [row.state for row in searched(plan)] == ["complete", "complete"]


@pytest.mark.parametrize(
    ("name", "text"), [("study.journal", '{"op_code":5,"worker{"op_code":0}\n{}\n')]
)
def test_a_damaged_study_is_named_in_one_line(study: Study, name: str, text: str) -> None:
    plan = study((1e-3, GOOD))
    (plan.folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"{name}: is damaged \(.*; restore it") as error:
        open_study(plan)
    assert "\n" not in str(error.value)


def test_a_metric_that_is_never_reported_ends_the_study(study: Study) -> None:
    plan = study((1e-3, WAITS), metric="metrics/waserstein_1")
    with pytest.raises(MetricError) as error:
        search(plan, Supervisor())
    assert str(error.value) == (
        "tune.metric = metrics/waserstein_1: is never reported (did you mean "
        "metrics/wasserstein_1?); these runs report metrics/wasserstein_1"
    )


def test_the_direction_of_the_metric_s_class_is_right(study: Study) -> None:
    plan = study((1e-3, GOOD), direction="maximize")
    with pytest.raises(MetricError, match=r"set tune\.direction=minimize"):
        search(plan, Supervisor())


def test_two_workers_share_a_study(study: Study) -> None:
    plan = study(*[(1e-3 * 2**n, GOOD) for n in range(5)], workers=2)
    found = searched(plan)
    assert [row.state for row in found] == ["complete"] * 5
    assert len(list(plan.folder.glob("trial-*-seed-0"))) == 5


def test_an_interrupted_study_saves_its_runs_and_resumes(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plan = study((1e-3, GOOD), (1e-3, WAITS))

    def interrupt() -> None:
        appears(Path("waiting"))
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        search(plan, Supervisor())
    helper.join(ENOUGH)
    assert "stopping: trials save their state; Ctrl-C again ends without saving" in caplog.text
    assert [row.state for row in rows(open_study(plan))] == ["complete", "running"]
    assert (plan.run_folder(1, 0) / "state").read_text() == "3"
    Path("open").touch()
    found = searched(plan)
    assert [row.state for row in found] == ["complete", "complete"]
    lines = RunFolder(plan.run_folder(1, 0)).metrics.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4, 6, 8]  # none twice


DRIVER = """
import sys
from gan_cli.tuning import trial
trial.TRAIN = "pretended_training"
from gan_cli.commands import tune
tune.main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
@pytest.mark.slow
def test_after_kill_9_the_same_command_resumes(study: Study, tmp_path: Path) -> None:
    plan = study((1e-3, WAITS), (1e-3, GOOD))
    line = [*LINE, f"tune.dir={plan.folder}", "tune.trials=2"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "-c", DRIVER, *line], env=environment) as begun:
        try:
            appears(Path("waiting"))
        finally:
            begun.kill()
    appears(plan.run_folder(0, 0) / "state")  # its child got SIGTERM, and saved
    assert rows(open_study(plan))[0].state == "running"
    Path("open").touch()
    found = searched(plan)
    assert [row.state for row in found] == ["complete", "complete"]
    assert [row.number for row in found] == [0, 1]


def test_what_optuna_s_lock_left_behind_stops_no_study(study: Study) -> None:
    plan = study((1e-3, GOOD))
    (plan.folder / "study.journal.lock").symlink_to("study.journal")
    assert [row.state for row in searched(plan)] == ["complete"]


def test_a_trial_that_was_killed_before_its_values_gets_those_it_would_have_had(
    study: Study, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    line = [word for word in LINE if not word.startswith("tune.")]
    found = []
    for name in ("a", "b"):
        words = [*line, "tune.metric=metrics/wasserstein_1", f"tune.dir={tmp_path / name}"]
        plan = prepare_folder(plan_of(words))
        if name == "b":
            open_study(plan).ask().set_user_attr(PLACE, plan.folder_id)  # and no more
        claimed = claim(open_study(plan), plan)
        assert claimed is not None
        found.append(claimed.params)
        claimed.release()
    assert found[0] == found[1]


def test_a_finished_study_only_reports(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "write", lambda *_: None)  # the pretended runs have no settings
    plan = study((1e-3, GOOD))
    line = [*LINE, f"tune.dir={plan.folder}", "tune.trials=1"]
    assert tune(line) == 0
    before = (plan.folder / "study.journal").read_bytes()
    assert tune(line) == 0
    assert (plan.folder / "study.journal").read_bytes().startswith(before)
    assert "1 trial: 1 complete" in capsys.readouterr().err
