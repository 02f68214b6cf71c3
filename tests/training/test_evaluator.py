"""Evaluation during training: it disturbs nothing, finds the best step, and knows when to stop."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_cli.commands import evaluate
from gan_cli.config.command_line import prepare
from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of, to_yaml
from gan_cli.errors import CheckpointError, ConfigError, DataError
from gan_cli.evaluation import registry
from gan_cli.evaluation.metric import (
    Metric,
    MetricResult,
    MetricValue,
    Plot,
    Subject,
)
from gan_cli.exits import INTERRUPTED
from gan_cli.runs import checkpoint, folder
from gan_cli.runs.folder import RunFolder
from gan_cli.training.resume import read_earlier_run
from gan_cli.training.run import evaluator_of, resume_and_train
from gan_cli.training.setup import assemble
from gan_cli.training.trainer import Trainer

SMALL = ["model=gan", "network=mlp", "network.width=4", "network.depth=1", "data=gaussian_1d"]
SMALL += ["data.points=200", "batch_size=4", "runtime.device=cpu", "runtime.threads=1"]
SMALL += ["log_every=4", "sample_every=1000", "evaluation.samples=70", "prior.dim=2"]


class Mean(Metric):
    """Of the samples; draws random numbers, which must not matter to anyone else."""

    name = "mean"
    higher_is_better: ClassVar = {"mean": False}

    def unfit(self, subject: Subject) -> str:
        return ""

    def measure(self, subject: Subject) -> MetricResult:
        mean = torch.cat([drawn.samples for drawn in subject.draw(70)]).mean().item()
        torch.rand(3)
        picture = Plot("dot", np.zeros((2, 2, 1), np.uint8))
        return MetricResult([MetricValue("mean", mean), MetricValue("count", 70.0)], [picture])


class Told(Metric):
    """What a test says, by step; may do something first."""

    name = "told"
    higher_is_better = False

    def __init__(self, values: dict[int, float], act: Callable[[int], object] = str) -> None:
        self.values, self.act = values, act

    def unfit(self, subject: Subject) -> str:
        return ""

    def measure(self, subject: Subject) -> MetricResult:
        self.act(subject.step)
        list(subject.draw(70))
        return MetricResult([MetricValue("told", self.values.get(subject.step, 9.0))])


class Unfit(Mean):
    """Never fits."""

    name = "unfit"

    def unfit(self, subject: Subject) -> str:
        return "it is for nothing"


class Failing(Mean):
    """Never works."""

    name = "failing"

    def measure(self, subject: Subject) -> MetricResult:
        raise DataError("no weights anywhere")


@pytest.fixture
def use(monkeypatch) -> Callable[..., None]:
    """Have these metrics and no others."""

    def use(*some: Metric) -> None:
        by_name = {metric.name: metric for metric in some}
        monkeypatch.setattr(registry, "available", lambda folders: list(by_name))
        monkeypatch.setattr(
            registry, "metrics", lambda names, *_: [by_name[name] for name in names or by_name]
        )

    return use


@pytest.fixture(autouse=True)
def _mean(use, tmp_path, monkeypatch) -> None:
    use(Mean())
    monkeypatch.chdir(tmp_path)


def train(name: str, *overrides: str) -> tuple[RunFolder, int]:
    """What `gan-train run.dir=NAME ...` does: begin a run, or go on with it."""
    line = [*SMALL, f"run.dir={name}", *overrides]
    settings = settings_of(*line)
    run, earlier = RunFolder(name), None
    if run.path.exists():
        settings, earlier = read_earlier_run(run, settings, prepare(line))
    session = assemble(settings, Trust())
    evaluator = evaluator_of(session, Trust())
    if earlier is None:
        if evaluator is not None:
            evaluator.prepare()
        run = folder.create(to_yaml(settings), model="gan", data="points", folder=name)
    with run.lock():
        return run, resume_and_train(session, run, evaluator, earlier)


def points(run: RunFolder) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k != "time" and not k.startswith(("speed/", "memory/"))}
        for line in lines
    ]


def curve(run: RunFolder, name: str) -> dict[int, float]:
    tag = f"metrics/{name}"
    return {int(point["step"]): point[tag] for point in points(run) if tag in point}


def state(run: RunFolder, which: str = "last") -> dict:
    return checkpoint.load(checkpoint.find(run, which))


def test_it_disturbs_nothing() -> None:
    plain, _ = train("plain", "steps=12")
    judged, _ = train("judged", "steps=12", "evaluation.every=3")
    assert list(curve(judged, "mean")) == [0, 3, 6, 9, 12]
    a, b = state(plain), state(judged)
    assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])
    assert all(torch.equal(a["averages"][key], b["averages"][key]) for key in a["averages"])
    alone = [point for point in points(judged) if "metrics/mean" not in point]
    assert alone == points(plain)


def test_what_it_leaves_behind() -> None:
    run, _ = train("run", "steps=6", "evaluation.every=3")
    report = json.loads((run.evaluations / "step_00000003.json").read_text())
    assert (report["run"], report["step"], report["weights"]) == ("run", 3, "ema")
    assert report["figures"][0]["value"] == curve(run, "mean")[3]
    assert (run.evaluations / "step_00000003-dot.png").is_file()


def test_gan_eval_finds_what_the_curves_say() -> None:
    run, _ = train("run", "steps=6", "evaluation.every=3")
    for checkpoint_, step in (("last", 6), ("best", state(run, "best")["step"])):
        arguments = ["run", "--samples", "70", "--device", "cpu", "--checkpoint", checkpoint_]
        assert evaluate.evaluate(evaluate.parser().parse_args([*arguments, "--json", "a"])) == 0
        (figure, _) = json.loads(Path("a").read_text())["figures"]
        assert figure["value"] == curve(run, "mean")[step]


def test_averaged_weights_are_judged_where_there_are_any() -> None:
    run, _ = train("run", "steps=3", "evaluation.every=3", "ema.decay=0")
    assert (run.evaluations / "step_00000003-raw.json").is_file()


def test_the_best_step_is_kept(use, caplog) -> None:
    use(Told({0: -9.0, 2: 5.0, 4: 3.0, 6: math.nan, 8: -math.inf, 10: 3.0}))
    with caplog.at_level("INFO"):
        run, _ = train("run", "steps=10", "evaluation.every=2")
    assert state(run, "best")["step"] == 4
    assert state(run)["step"] == 10
    kept = {"figure": "told", "better": "lower", "value": 3.0, "step": 4}
    assert run.read_status()["best"] == kept
    assert "step 4: told 3, the best so far" in caplog.text
    assert "best      told 3 at step 4" in caplog.text
    assert "gan-sample run --checkpoint best" in caplog.text


@pytest.mark.slow
def test_20_steps_and_20_more_are_40() -> None:
    """Stops on and off the grids of evaluations and of the curves."""
    common = ("evaluation.every=3", "evaluation.patience=100")
    straight, _ = train("straight", "steps=20", *common)
    for stop in (6, 8):
        name = f"at{stop}"
        train(name, f"steps={stop}", *common)
        other, _ = train(name, "steps=20", *common)
        assert points(other) == points(straight), stop
        for which in ("last", "best"):
            a, b = state(other, which), state(straight, which)
            assert (a["evaluation"], a["step"]) == (b["evaluation"], b["step"])
            assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])


def test_it_stops_early_and_says_so(use, caplog) -> None:
    use(Told({2: 5.0, 4: 3.0, 6: 4.0, 8: 3.0, 10: 1.0}))
    common = ("steps=20", "evaluation.every=2")
    with caplog.at_level("INFO"):
        run, status = train("run", *common, "evaluation.patience=2")
    assert (run.read_status()["status"], run.read_status()["step"], status) == ("finished", 8, 0)
    reason = "stopped early, 2 evaluations without a better one than told 3 at step 4"
    assert f"finished at step 8 of 20: {reason}" in caplog.text
    assert "resume=run evaluation.patience=null" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        train("run", *common, "evaluation.patience=2")
    assert f"run {reason}; evaluation.patience=null would resume it" in caplog.text
    train("run", *common)
    assert run.read_status()["step"] == 20
    assert state(run, "best")["step"] == 10


def test_patience_counts_across_a_stop(use) -> None:
    use(Told({2: 5.0}))
    common = ("evaluation.every=2", "evaluation.patience=3")
    train("run", "steps=5", *common)
    run, _ = train("run", "steps=50", *common)
    assert run.read_status()["step"] == 8


def test_a_signal_during_an_evaluation_gives_it_up(use) -> None:
    def interrupt(step: int) -> None:
        if step == 4 and not asked:
            asked.append(step)
            os.kill(os.getpid(), signal.SIGINT)

    asked: list[int] = []
    use(Told({}, interrupt))
    run, status = train("run", "steps=8", "evaluation.every=4")
    assert (status, run.read_status()["step"]) == (INTERRUPTED, 4)
    assert list(curve(run, "told")) == [0]
    train("run", "steps=8", "evaluation.every=4")
    use(Told({}))
    straight, _ = train("straight", "steps=8", "evaluation.every=4")
    assert points(run) == points(straight)


def test_its_time_is_no_training_time(use, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("gan_cli.training.loop.time.monotonic", lambda: now[0])

    def take_an_hour(step: int) -> None:
        now[0] += 3600

    use(Told({}, take_an_hour))
    run, _ = train("run", "steps=8", "evaluation.every=2", "max_time=2h")
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert all(line.get("speed/seconds_per_step", 0) < 1 for line in lines)
    assert run.read_status()["step"] == 4  # two evaluations, not counting that before training


def test_a_failing_measure_is_said_once(use, caplog) -> None:
    use(Mean(), Failing())
    run, _ = train("run", "steps=4", "evaluation.every=2")
    assert list(curve(run, "mean")) == [0, 2, 4]
    assert caplog.text.count("failing could not be computed: no weights anywhere") == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("metrics=[meen]", "evaluation.metrics = meen: unknown metric (did you mean mean?)"),
        ("metrics=[unfit]", "evaluation.metrics = unfit: it is for nothing"),
        ("metrics=[failing]", "evaluation.metrics = failing: no weights anywhere"),
        ("best=maen", "evaluation.best = maen: no such metric (did you mean mean?)"),
        ("best=count", "evaluation.best = count: has no better direction; available: mean"),
        ("split=test", "split = test: Gaussian1D has no test split"),
    ],
    ids=lambda text: text.split("=")[1] if "=" in text else "",
)
def test_what_cannot_be_is_said_before_training(use, setting: str, message: str) -> None:
    use(Mean(), Unfit(), Failing())
    with pytest.raises((ConfigError, DataError)) as error:
        train("run", "steps=4", "evaluation.every=2", f"evaluation.{setting}")
    assert message in str(error.value)
    assert not Path("run").exists()


@pytest.mark.parametrize("setting", ["best=mean", "patience=3"])
def test_without_evaluations_there_is_no_best(setting: str) -> None:
    key = setting.partition("=")[0]
    with pytest.raises(ConfigError, match=f"evaluation.{key} = .* needs evaluations"):
        train("run", "steps=4", f"evaluation.{setting}")


def test_other_settings_on_resume() -> None:
    """They are safe; a figure of other samples begins anew."""
    train("run", "steps=4", "evaluation.every=2")
    run, _ = train("run", "steps=8", "evaluation.every=4", "evaluation.patience=9")
    assert state(run)["evaluation"]["best"]["step"] in (2, 4, 8)
    train("run", "steps=9", "evaluation.every=4", "evaluation.seed=1")
    assert state(run)["evaluation"]["best"]["value"] is None


def test_the_best_step_outlives_a_start_without_evaluations(use) -> None:
    use(Told({2: 1.0, 4: 3.0, 8: 2.0}))
    run, _ = train("run", "steps=4", "evaluation.every=2", "evaluation.best=told")
    train("run", "steps=6")
    assert state(run, "best")["step"] == 2
    train("run", "steps=8", "evaluation.every=4", "evaluation.best=told")
    assert state(run)["evaluation"]["best"]["step"] == 2
    assert state(run, "best")["step"] == 2


@pytest.mark.parametrize("setting", ["resize=clean", "samples=50"])
def test_a_best_value_of_another_protocol_is_not_kept(setting: str, caplog) -> None:
    run, _ = train("run", "steps=4", "evaluation.every=2")
    assert state(run)["evaluation"]["best"]["value"] is not None
    train("run", "steps=5", "evaluation.every=4", f"evaluation.{setting}")
    assert state(run)["evaluation"]["best"]["value"] is None
    assert f"evaluation.{setting.replace('=', ' = ')}: was" in caplog.text
    assert "so the best checkpoint is chosen from here on" in caplog.text


def pictures(run: RunFolder) -> dict[str, list[int]]:
    """The steps of each picture that TensorBoard shows."""
    shown = EventAccumulator(str(run.path), size_guidance={"images": 0}).Reload()
    return {tag: [event.step for event in shown.Images(tag)] for tag in shown.Tags()["images"]}


@pytest.mark.slow
def test_pictures_of_a_resumed_step_between_points_of_the_curves_stay(monkeypatch) -> None:
    often = ("steps=40", "log_every=3", "sample_every=7", "checkpoint.every=5")
    overrides = (*often, "evaluation.every=35")
    advance = Trainer.advance

    def leave_a_copy(self: Trainer, measure: bool = False) -> None:
        advance(self, measure)
        if self.step == 36 and not Path("killed").exists():  # what a kill leaves
            shutil.copytree("straight", "killed")

    monkeypatch.setattr(Trainer, "advance", leave_a_copy)
    straight, _ = train("straight", *overrides)
    killed, _ = train("killed", *overrides)
    expected = pictures(straight)
    assert expected["samples/points"] == [0, 7, 14, 21, 28, 35, 40]
    assert expected["samples_evaluated/dot"] == [0, 35]
    assert pictures(killed) == expected
    assert points(killed) == points(straight)


def test_a_run_from_before_there_was_evaluation_goes_on() -> None:
    run, _ = train("run", "steps=4")
    assert "evaluation" not in state(run)
    train("run", "steps=8", "evaluation.every=4")
    assert list(curve(run, "mean")) == [4, 8]


HOSTILE = {
    "optimizers in lists": {"optimizers": {"generator": [1], "discriminator": [1]}},
    "optimizers of others": {"optimizers": {"discriminator": {"param_groups": [[1]], "state": {}}}},
    "a window of numbers": {"window": {"loss": 1}},
    "a window of text": {"window": {"loss": {"sum": "x", "count": "y"}}},
    "a window without names": {"window": {3: {"sum": 1.0, "count": 1}}},
    "no weights": {"model": {}},
    "no evaluation": {"evaluation": {}},
    "an evaluation of nothing": {"evaluation": {"settings": {}, "evaluated": 1, "figures": {}}},
}


def test_a_state_of_somebody_else_is_refused_in_one_line() -> None:
    run, _ = train("run", "steps=6", "evaluation.every=3")
    good = state(run)
    others = {
        **HOSTILE,
        "a best of others": {"evaluation": {**good["evaluation"], "best": {"value": "x"}}},
        "no stretch of curves": {"config": good["config"].replace("log_every: 4", "log_every: 0")},
        "no run": {"config": good["config"].replace("run:", "ran:", 1)},
    }
    for what, change in others.items():
        checkpoint.save(run.checkpoints, {**good, **change}, 3, keep_step=False, keep=3)
        with pytest.raises((CheckpointError, ConfigError)) as error:
            train("run", "steps=6", "evaluation.every=3")
        assert "\n" not in str(error.value), what
