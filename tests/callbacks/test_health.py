"""The watchdog."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from gan_cli.callbacks.health import PATIENCE, DivergenceError, Health
from gan_cli.errors import UserError

FINE = {"loss/generator": 0.7, "gradient_norm/generator": 1.0, "accuracy/all": 0.8}


def started(folder: Path | None = None, step: int = 0) -> Health:
    health = Health(folder)
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
    for step in (100, 200, 240):
        (tmp_path / f"step_{step:08d}.pt").touch()
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
    assert record.getMessage().startswith(f"step {PATIENCE}: the discriminator is always right")


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
