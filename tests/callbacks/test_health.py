"""The watchdog."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from contexts import context
from inprocess import gan_train
from numpy import ndarray

from gan_cli.callbacks.callback import Callback
from gan_cli.callbacks.health import (
    CYCLE,
    PATIENCE,
    DivergenceError,
    Health,
    autocorrelation,
    periodic,
)
from gan_cli.errors import UserError
from gan_cli.runs import folder as runs
from gan_cli.runs.folder import RunFolder

FINE = {"loss/generator": 0.7, "gradient_norm/generator": 1.0, "accuracy/all": 0.8}


def started(folder: Path | None = None, step: int = 0) -> Health:
    health = Health() if folder is None else Health(context(folder))
    health.start(step)
    return health


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss/generator", "gradient_norm/critic", "weight_norm/critic"])
def test_what_is_not_finite_ends_the_run(name: str, value: float) -> None:
    with pytest.raises(DivergenceError, match=rf"^step 350: {name} is {value}; .*optimizer\.lr"):
        started().logged(350, FINE | {name: value}, {})
    assert issubclass(DivergenceError, UserError)


def test_other_scalars_may_be_anything() -> None:
    started().logged(50, FINE | {"output/real": math.nan, "speed/seconds_per_step": math.inf}, {})


def test_many_faults_make_one_readable_line() -> None:
    broken = {f"loss/{i}": math.nan for i in range(9)}
    with pytest.raises(DivergenceError, match="loss/2 is nan and 6 more; ") as caught:
        started().logged(50, broken, {})
    assert "loss/3" not in str(caught.value)


def test_it_names_the_last_checkpoint_from_before_the_fault(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for step in (100, 200, 240):
        (tmp_path / "checkpoints" / f"step_{step:08d}.pt").touch()
    health = started(tmp_path)
    health.logged(100, FINE, {})
    health.saved(100)
    health.logged(200, FINE, {})
    health.saved(200)
    health.saved(240)  # the weights may have broken between 200 and here
    with pytest.raises(DivergenceError, match=r"last good checkpoint is .*step_00000200\.pt$"):
        health.logged(250, FINE | {"loss/generator": math.nan}, {})


def test_it_names_no_file_that_is_gone(tmp_path: Path) -> None:
    health = started(tmp_path)
    health.logged(100, FINE, {})
    health.saved(100)
    with pytest.raises(DivergenceError, match=r"the last good state was saved at step 100$"):
        health.logged(150, {"loss/generator": math.nan}, {})


def test_a_resumed_run_has_its_checkpoint_to_go_back_to() -> None:
    with pytest.raises(DivergenceError, match=r"saved at step 40$"):
        started(step=40).logged(50, {"loss/generator": math.nan}, {})
    with pytest.raises(DivergenceError, match=r"there is no checkpoint from before it$"):
        started().logged(50, {"loss/generator": math.nan}, {})


LOST = {"loss/generator": 9.0, "accuracy/all": 1.0, "gradient_norm/generator": 1e-6}


def test_a_lost_game_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    health = started()
    health.logged(0, FINE, {})
    for step in range(1, PATIENCE):
        health.logged(step, LOST, {})
    assert caplog.records == []
    for step in range(PATIENCE, 3 * PATIENCE):
        health.logged(step, LOST, {})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        f"step {PATIENCE}: generator gradient vanished: the discriminator is always right"
    )


@pytest.mark.parametrize(
    "scalars",
    [
        LOST | {"gradient_norm/generator": 0.5},  # D wins, and G still learns from it
        LOST | {"accuracy/all": 0.9},
        {name: value for name, value in LOST.items() if name != "accuracy/all"},  # WGAN
    ],
)
def test_a_game_that_goes_on_is_not_called_lost(
    scalars: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    health = started()
    for step in range(3 * PATIENCE):
        health.logged(
            step, scalars | {"gradient_norm/generator": 1.0} if step == 0 else scalars, {}
        )
    assert caplog.records == []


def test_a_short_stretch_is_not_a_lost_game(caplog: pytest.LogCaptureFixture) -> None:
    health = started()
    for step in range(5 * PATIENCE):
        health.logged(step, FINE if step % PATIENCE == 0 else LOST, {})
    assert caplog.records == []


class Listener(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.alarms: list[tuple[int, str]] = []
        self.curves: list[Mapping[str, float]] = []

    def alarmed(self, step: int, name: str, words: str) -> None:
        self.alarms.append((step, name))

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        self.curves.append(values)


def told(folder: Path, **more: object) -> tuple[Health, Listener]:
    """Health in a run folder, and whoever it tells."""
    RunFolder(folder).write_status(runs.RUNNING, 0)
    listener = Listener()
    return Health(context(folder, **more), [listener]), listener  # type: ignore[arg-type]


def test_alarms_are_told_to_others_and_kept_in_the_status(tmp_path: Path) -> None:
    health, listener = told(tmp_path)
    for step in range(2 * PATIENCE):
        health.logged(step, {"probability/real": 0.9999, "probability/fake": 1e-5}, {})
    assert listener.alarms == [(PATIENCE - 1, "discriminator_saturated")]
    (alarm,) = RunFolder(tmp_path).read_status()["alarms"]
    assert (alarm["name"], alarm["step"]) == ("discriminator_saturated", PATIENCE - 1)
    assert "penalty=r1" in alarm["words"]


@pytest.mark.parametrize(
    ("name", "ill", "well"),
    [
        ("mode_collapse", {"health/diversity": 0.1}, {"health/diversity": 0.5}),
        (
            "critic_weights_at_limit",
            {"health/weights_at_limit": 0.98},
            {"health/weights_at_limit": 0.9},
        ),
        ("dead_units", {"health/dead_units": 0.98}, {"health/dead_units": 0.93}),
    ],
)
def test_what_pictures_show(
    name: str, ill: dict[str, float], well: dict[str, float], tmp_path: Path
) -> None:
    for figures, expected in ((ill, [(200, name)]), (well, [])):
        folder = tmp_path / str(len(expected))
        folder.mkdir()
        health, listener = told(folder, indicators=lambda figures=figures: figures)
        for step in (0, 100, 200, 300, 350):  # the last one is the end of a run
            health.drawn(step, {})
        assert listener.alarms == expected
        assert listener.curves == [figures] * 3  # not before training


def test_what_evaluations_show(tmp_path: Path) -> None:
    health, listener = told(tmp_path)
    for step, modes in ((100, 8), (200, 5), (300, 3)):
        health.evaluated(step, {"metrics/modes_captured": modes}, {})
    health.evaluated(400, {"metrics/near_copy_share": 0.02}, {})
    health.evaluated(500, {"metrics/near_copy_share": 0.3}, {})
    assert listener.alarms == [(300, "modes_lost"), (500, "memorisation")]


def test_a_generator_that_still_begins_has_not_collapsed(tmp_path: Path) -> None:
    looks = iter([0.003, 0.034, 0.106, 0.3, 0.05, 0.07])  # once collapsed, it hops about
    health, listener = told(tmp_path, indicators=lambda: {"health/diversity": next(looks)})
    for step in range(100, 700, 100):
        health.drawn(step, {})
    assert listener.alarms == [(600, "mode_collapse")]


LOOK = {"health/diversity": 0.1}


def test_a_resumed_run_has_the_alarms_that_it_would_have_had(tmp_path: Path) -> None:
    health, _ = told(tmp_path, indicators=lambda: LOOK)
    health.start(0)
    for step in range(1, PATIENCE):
        health.logged(step, {"probability/real": 0.9999, "probability/fake": 1e-5}, {})
    health.drawn(100, {})
    state = health.state_dict()
    health.logged(PATIENCE, {"probability/real": 0.9999, "probability/fake": 1e-5}, {})
    health.drawn(200, {})
    straight = RunFolder(tmp_path).read_status()["alarms"]
    assert [alarm["name"] for alarm in straight] == ["discriminator_saturated", "mode_collapse"]
    listener = Listener()  # killed now, and resumed from the checkpoint of that state
    again = Health(context(tmp_path, indicators=lambda: LOOK), [listener], state)
    again.start(100)
    assert RunFolder(tmp_path).read_status()["alarms"] == []
    again.drawn(100, {})  # a picture that was lost is no second one in a row
    again.logged(PATIENCE, {"probability/real": 0.9999, "probability/fake": 1e-5}, {})
    again.drawn(200, {})
    assert RunFolder(tmp_path).read_status()["alarms"] == straight
    assert listener.alarms == [(20, "discriminator_saturated"), (200, "mode_collapse")]


def test_without_a_record_the_alarms_up_to_the_resumed_step_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alarms = [{"name": name, "step": step, "words": "x"} for name, step in (("a", 5), ("b", 9))]
    for earlier, kept in ((None, alarms[:1]), ({"told": [{"name": "a"}]}, [])):
        RunFolder(tmp_path).write_status(runs.RUNNING, 5, alarms=alarms)
        Health(context(tmp_path), [], earlier).start(5)
        assert RunFolder(tmp_path).read_status()["alarms"] == kept
    assert "the checkpoint's record of alarms cannot be read" in caplog.text


def test_a_point_between_the_others_counts_for_no_alarm(tmp_path: Path) -> None:
    health, listener = told(tmp_path, settings={"log_every": 2})
    for step in range(1, 2 * PATIENCE):
        health.logged(step, {"speed/waiting_for_data": 0.5}, {})
    assert listener.alarms == []
    health.logged(2 * PATIENCE, {"speed/waiting_for_data": 0.5}, {})
    assert listener.alarms == [(2 * PATIENCE, "data_starvation")]


def test_a_critic_whose_slope_is_not_1(tmp_path: Path) -> None:
    penalty = {"penalty": {"weight": 10.0}}
    health, listener = told(tmp_path, settings=penalty)
    for step in range(PATIENCE):
        health.logged(step, {"penalty/gradient_penalty": 39.9}, {})  # 40 is a deviation of 2
    assert listener.alarms == []
    for step in range(PATIENCE):
        health.logged(step, {"penalty/gradient_penalty": 40.1}, {})
    assert listener.alarms == [(PATIENCE - 1, "critic_constraint_violated")]


def test_waiting_for_data(tmp_path: Path) -> None:
    health, listener = told(tmp_path)
    for step in range(PATIENCE):
        health.logged(step, {"speed/waiting_for_data": 0.5}, {})
    assert listener.alarms == [(PATIENCE - 1, "data_starvation")]


def test_a_period() -> None:
    places = np.arange(CYCLE)
    noise = np.random.default_rng(0).normal(size=CYCLE)
    wave = 1 + np.sin(2 * np.pi * places / 16)
    assert periodic(list(wave + 0.2 * noise)) == 16
    assert periodic(list(1 + 0.01 * np.sin(places))) is None  # hardly swings
    assert periodic(list(1 + noise)) is None
    assert periodic(list(5 * np.exp(-places / 20) + 0.1 * noise)) is None  # falls, no more


def test_autocorrelations_are_those_of_numpy() -> None:
    curve = np.random.default_rng(0).normal(size=50).cumsum()
    expected = [np.corrcoef(curve[:-k], curve[k:])[0, 1] for k in range(1, 17)]
    np.testing.assert_allclose(autocorrelation(curve, 17), expected, rtol=1e-9)
    assert not autocorrelation(np.zeros(50), 17).any()  # of what does not vary


@pytest.mark.slow
def test_a_collapsed_run_says_so(tmp_path: Path) -> None:
    """A generator that cannot move away from one point."""
    ring = ["model=gan", "data=ring", "network=mlp", "network.width=8", "batch_size=64"]
    ring += ["runtime.threads=1", "runtime.device=cpu", "callbacks=tensorboard", "steps=30"]
    ring += ["optimizer.generator.lr=1e-12", "sample_every=10", "log_every=10", "run.dir=run"]
    said = gan_train(*ring, cwd=tmp_path)
    assert "mode collapse: samples are" in said
    (alarm,) = RunFolder(tmp_path / "run").read_status()["alarms"]
    assert alarm["name"] == "mode_collapse"
