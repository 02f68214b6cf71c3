"""The command line is checked before anything starts."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from studying import LINE

from gan_cli.config.command_line import prepare
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.tuning.plan import StudyPlan, direction_of, plan_of, prepare_folder, read
from gan_cli.tuning.search import worker_settings
from gan_cli.tuning.study import need_optuna

METRIC = "tune.metric=metrics/wasserstein_1"
LINE_DATA = ["model=wgan", "data=gaussian_1d", "network=mlp"]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [3]), ("1,2,3", [1, 2, 3]), ("1..3", [1, 2, 3]), ("[4, 5]", [4, 5]), ("7..7", [7])],
)
def test_seeds_are_written_as_one_likes(text: str, seeds: list[int]) -> None:
    tune, rest = read([METRIC, f"tune.seeds={text}", "steps=3"])
    assert tune.seeds == seeds
    assert rest == ["steps=3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "tune.metric: must be given, such as tune.metric=metrics/fid_classifier"),
        ([METRIC, "tune.seeds=1,1"], "tune.seeds = 1,1: must be different whole numbers"),
        ([METRIC, "tune.seeds=3..1"], "tune.seeds = 3..1: must be different whole numbers"),
        ([METRIC, "tune.trails=3"], "tune.trails: unknown key (did you mean tune.trials?)"),
        ([METRIC, "tune.workers=0"], "tune.workers = 0"),
        ([METRIC, "tune.pruner=hyper"], "tune.pruner = hyper"),
        ([METRIC, "tune.dir="], 'tune.dir = "": must not be empty'),
        ([METRIC, "tune.sampler=2020-02-30"], "tune.sampler = 2020-02-30"),
    ],
)
def test_wrong_settings_of_a_study_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(words)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to search: give at least one setting a range"),
        (["optimizer.lrr=1,2"], "optimizer.lrr"),
        (["batch_size=interval(0,64)"], "batch_size = 0"),
        (["prior.dim=interval(2,9)"], "prior.dim=4.22816920"),
        (["ema.decay=choice(null,0.5)"], "ema.decay: "),
        (["batch_size=8,-1"], "batch_size=-1: batch_size = -1"),
        (["batch_size=8,16", "seed=1,2"], "seed: use tune.seeds"),
        (["batch_size=8,16", "run.dir=x"], "run.dir: each trial has its own folder"),
        (["batch_size=8,16", "-m"], "-m: a study tries values of ranges by itself"),
        (["batch_size=8,16", "--cfg=job"], "--cfg: is an option of gan-train alone"),
        (["tune.space={batch_size: 3}"], "tune.space: batch_size = 3: must be a list, or a range"),
        (["batch_size=8,16", "steps=null", "images=800"], "evaluation.every: must be given"),
    ],
)
def test_what_cannot_be_searched_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        plan_of([*LINE_DATA, METRIC, *words])
    assert message in str(error.value)


def test_a_space_as_a_mapping_is_the_same_study(base: StudyPlan) -> None:
    plain = [word for word in LINE if "interval" not in word and "range" not in word]
    space = '{optimizer.lr: "tag(log,interval(1e-6,1))", model.d_steps: "range(1,7)"}'
    assert plan_of([*plain, f"tune.space={space}"]).folder == base.folder


def test_a_space_may_hold_what_a_list_of_hydra_holds() -> None:
    plan = plan_of(
        [*LINE_DATA, METRIC, "tune.space={optimizer.clip_norm: [null, 1.5], batch_size: [8]}"]
    )
    assert {d.key: d.choices for d in plan.dimensions} == {
        "optimizer.clip_norm": ("null", "1.5"),
        "batch_size": ("8",),
    }


def test_an_evaluated_metric_brings_its_evaluations() -> None:
    plan = plan_of([*LINE_DATA, "steps=300", METRIC, "batch_size=8,16"])
    assert plan.added == ("evaluation.every=30", "evaluation.best=wasserstein_1")
    assert (plan.every, plan.steps, plan.direction) == (30, 300, "minimize")


NOTHING = prepare([])


def test_a_curve_of_the_training_needs_a_direction() -> None:
    assert direction_of("wasserstein_estimate", "maximize", NOTHING, "runs") == "maximize"
    with pytest.raises(ConfigError, match=r"tune\.direction: must be minimize or maximize"):
        direction_of("wasserstein_estimate", "auto", NOTHING, "runs")


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("fid_classifier", "minimize"),
        ("kid", "minimize"),
        ("precision_classifier", "maximize"),
        ("modes_captured", "maximize"),
        ("gan_test", "maximize"),
        ("density_classifier", "maximize"),
        ("density_kl", "minimize"),
        ("elbo", "maximize"),
        ("code_accuracy", "maximize"),
        ("no_such_metric", "minimize"),
    ],
)
def test_the_direction_of_metrics_is_known(metric: str, direction: str) -> None:
    assert direction_of(f"metrics/{metric}", "auto", NOTHING, "runs") == direction


def test_another_study_in_the_same_folder_is_refused(base: StudyPlan, tmp_path: Path) -> None:
    plan = replace(base, folder=tmp_path / "study")
    folder_id = prepare_folder(plan).folder_id
    more = replace(plan, tune=base.tune.model_copy(update={"trials": 99, "workers": 3}))
    assert prepare_folder(more).folder_id == folder_id
    other = replace(plan, tune=base.tune.model_copy(update={"seeds": [1, 2]}))
    with pytest.raises(ConfigError, match=r"holds another study; .*\n  seeds: \[0\] there"):
        prepare_folder(other)


def test_what_a_killed_study_left_half_written_is_removed(base: StudyPlan, tmp_path: Path) -> None:
    plan = replace(base, folder=tmp_path / "study")
    prepare_folder(plan)
    old, new = plan.folder / ".best.yaml.ab.tmp", plan.folder / ".best.yaml.cd.tmp"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    prepare_folder(plan)
    assert [old.exists(), new.exists()] == [False, True]


@pytest.mark.parametrize("text", ["[]", "{}", '{"place": 1}', "{", "[" * 900 + "]" * 900])
def test_a_study_of_somebody_else_is_refused_in_one_line(
    text: str, base: StudyPlan, tmp_path: Path
) -> None:
    plan = replace(base, folder=tmp_path / "study")
    prepare_folder(plan)
    (plan.folder / "study.json").write_text(text)
    with pytest.raises(CheckpointError) as error:
        prepare_folder(plan)
    assert str(error.value).startswith(f"{plan.folder / 'study.json'}: ")
    assert "\n" not in str(error.value)


NAMES_OF_A_STUDY = ["work", "study.json", "study.journal", "experiment", "trial-0000-seed-0"]
NAMES_OF_A_STUDY += ["work/trial-0000", "work/study"]


@pytest.mark.parametrize("name", NAMES_OF_A_STUDY)
def test_a_study_s_files_do_not_lead_out_of_its_folder(
    name: str, base: StudyPlan, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "study" / name).parent.mkdir(parents=True)
    (tmp_path / "study" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(CheckpointError, match=f"{name}: is a link, which would lead out of"):
        prepare_folder(replace(base, folder=tmp_path / "study"))
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("name", ["work/study", "work/trial-0003"])
def test_a_folder_in_the_place_of_a_study_s_lock_is_refused(
    name: str, base: StudyPlan, tmp_path: Path
) -> None:
    (tmp_path / "study" / name).mkdir(parents=True)
    with pytest.raises(CheckpointError, match=rf"{name}: is not a regular file; remove it"):
        prepare_folder(replace(base, folder=tmp_path / "study"))


def test_without_optuna_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        ConfigError, match=r'gan-tune: needs Optuna 5; run: pip install "gan-cli.tune."'
    ):
        need_optuna()


def test_workers_share_gpus_and_threads(base: StudyPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setattr("gan_cli.tuning.search.cores", lambda: 8)
    plan = replace(base, tune=base.tune.model_copy(update={"workers": 3, "gpus": 2}))
    seen = [worker_settings(plan, index) for index in range(3)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment, _ in seen] == ["4", "6", "4"]
    assert [more for _, more in seen] == [["runtime.threads=2"]] * 3
    given = replace(plan, fixed=("runtime.threads=1",))
    assert worker_settings(given, 0)[1] == []


@pytest.mark.parametrize("typed", ["7", "1e3", "2024-01-01", "true", "'a b'"])
def test_text_of_a_study_is_taken_as_it_was_typed(typed: str) -> None:
    tune, _ = read(["tune.metric=loss/fit", f"tune.dir={typed}"])
    assert tune.dir == typed.strip("'")


@pytest.mark.parametrize(("typed", "trials"), [("1e2", 100), ("2k", 2000), ("1.5e3", 1500)])
def test_whole_numbers_of_a_study_may_be_written_short(typed: str, trials: int) -> None:
    assert read(["tune.metric=loss/fit", f"tune.trials={typed}"])[0].trials == trials
