"""Runs that diverge: where it began, and the way back."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from inprocess import gan_train
from torch import nn

from gan_cli.model import Loss
from gan_cli.runs.folder import RunFolder
from gan_cli.training import divergence
from gan_cli.training.divergence import Examiner, Fault, FoundError
from gan_cli.training.optimizers import PlayerOptimizer, with_rates_times

RING = ["model=gan", "data=ring", "data.points=512", "network=mlp", "network.width=8"]
RING += ["batch_size=16", "runtime.threads=1", "runtime.device=cpu", "callbacks=none"]
RING += ["log_every=5", "checkpoint.every=10", "evaluation.every=null", "run.dir=run"]


def points(run: Path) -> list[dict[str, float]]:
    """The curves, without the clock's."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [row for line in lines if "loss/generator" in (row := json.loads(line))]
    timed = ("time", "speed/", "memory/")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


@pytest.fixture
def falls_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator's last weight is NaN from step 23 on, where the rate is above 1e-4."""
    set_rate = PlayerOptimizer.set_rate

    def ill(self: PlayerOptimizer, step: int) -> None:
        set_rate(self, step)
        if step == 22 and self.optimizer.param_groups[0]["lr"] > 1e-4:
            with torch.no_grad():
                self.parameters[-1].fill_(torch.nan)

    monkeypatch.setattr(PlayerOptimizer, "set_rate", ill)


def test_the_first_fault_is_found_and_kept(tmp_path: Path, falls_ill: None) -> None:
    said = gan_train(*RING, "steps=60", cwd=tmp_path, expect=1)
    assert "step 25: loss/discriminator is nan" in said
    assert "replaying steps 21 to 25" in said  # from the checkpoint of step 20
    assert "step 23, phase discriminator: the loss (" in said
    folder = tmp_path / "run" / "divergence"
    fault = Fault(**json.loads((folder / "fault.json").read_text()))
    assert (fault.step, fault.phase, fault.kind) == (23, "discriminator", "loss")
    assert fault.layer.startswith(("generator", "discriminator"))
    with np.load(folder / "batch.npz") as file:
        batch = dict(file)
    assert batch["samples"].shape == (16, 2)
    assert batch["index"].shape == (16,)
    assert np.isfinite(batch["samples"]).all()
    assert RunFolder(tmp_path / "run").read_status()["status"] == "failed"


def test_an_overflow_of_an_optimizer_s_state_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rate = PlayerOptimizer.set_rate

    def overflow(self: PlayerOptimizer, step: int) -> None:
        set_rate(self, step)
        if step == 22:
            for state in self.optimizer.state.values():
                state["exp_avg_sq"].fill_(torch.inf)

    monkeypatch.setattr(PlayerOptimizer, "set_rate", overflow)
    said = gan_train(*RING, "steps=60", cwd=tmp_path, expect=1)
    assert "step 30: optimizer state: NaN or infinite, so the state is not saved" in said
    assert "step 23, phase discriminator: the optimizer state after the update" in said


@pytest.mark.parametrize("what", ["weight", "gradient"])
def test_an_overflow_of_a_norm_alone_is_found(what: str) -> None:
    model = nn.ModuleDict({"critic": nn.Linear(2, 1, bias=False)})
    weight = next(model.parameters())
    weight.grad = torch.full_like(weight, 3e38 if what == "gradient" else 1.0)
    with torch.no_grad():
        weight.fill_(3e38 if what == "weight" else 1.0)
    trainer = SimpleNamespace(model=model, step=4, not_finite=str)
    phase = SimpleNamespace(name="critic", trains=[model["critic"]])
    examiner = Examiner(trainer)  # pyright: ignore[reportArgumentType]
    loss = Loss(torch.tensor(0.0), {})
    if what == "weight":
        examiner.computed(phase, None, loss)  # pyright: ignore[reportArgumentType]
    look: Any = {"gradient": partial(examiner.computed, loss=loss), "weight": examiner.moved}
    with pytest.raises(FoundError, match=f"step 5, phase critic: {what}_norm/critic, while"):
        look[what](phase, None)


def test_a_replay_that_fails_leaves_the_run_s_own_error(
    tmp_path: Path, falls_ill: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no second model")

    monkeypatch.setattr(divergence, "replay", fail)
    said = gan_train(*RING, "steps=60", cwd=tmp_path, expect=1)
    assert "the first fault was not found: RuntimeError: no second model" in said
    assert "step 25: loss/discriminator is nan" in said
    assert RunFolder(tmp_path / "run").read_status()["status"] == "failed"


def test_rates_are_lowered_where_there_are_some() -> None:
    node = {"lr": 1e-3, "betas": [0.5, 0.9], "critic": {"lr": None}, "generator": {"lr": 2}}
    lowered = with_rates_times(node, 0.5)
    assert lowered == {
        "lr": 5e-4,
        "betas": [0.5, 0.9],
        "critic": {"lr": None},
        "generator": {"lr": 1.0},
    }


def test_no_replay_where_none_is_wanted(tmp_path: Path, falls_ill: None) -> None:
    said = gan_train(*RING, "steps=60", "health.diagnose=false", cwd=tmp_path, expect=1)
    assert "replaying" not in said
    assert not (tmp_path / "run" / "divergence").exists()


@pytest.mark.slow
def test_a_rollback_goes_on_from_the_last_good_state(tmp_path: Path, falls_ill: None) -> None:
    again = ["health.on_nan=rollback", "optimizer.lr=1.5e-4", "health.factor=0.5"]
    said = gan_train(*RING, *again, "steps=60", cwd=tmp_path)
    assert "rollback 1 of 3: from step 25 to step 20" in said
    assert "finished at step 60 of 60" in said
    run = RunFolder(tmp_path / "run")
    status = run.read_status()
    assert status["rollbacks"] == [{"from": 25, "to": 20, "factor": 0.5}]
    assert status["error"] is None
    assert yaml.safe_load(run.config.read_text())["optimizer"]["lr"] == 7.5e-5
    curves = points(run.path)
    assert [point["step"] for point in curves] == list(range(5, 61, 5))  # each once
    rates = {point["learning_rate/generator"] for point in curves if point["step"] > 20}
    assert rates == {7.5e-5}
    saved = {path.stem for path in run.checkpoints.glob("step_*.pt")}
    assert saved == {"step_00000040", "step_00000050", "step_00000060"}
    # The same command resumes, as a job that is queued again does.
    said = gan_train(*RING, *again, "steps=60", cwd=tmp_path)
    assert "run has done its 60 steps" in said
    # Another rate than that of the first command is refused, as in any run.
    other_rate = [*RING, "health.on_nan=rollback", "optimizer.lr=2e-4", "steps=60"]
    said = gan_train(*other_rate, cwd=tmp_path, expect=2)
    assert "optimizer.lr: 7.5e-05 in the run, 0.0002 now" in said
    # Bit for bit what a branch off step 20 with that rate gives.
    other = [word for word in RING if not word.startswith("run.dir")]
    gan_train(*other, "run.dir=plain", "optimizer.lr=1.5e-4", "steps=20", cwd=tmp_path)
    gan_train("resume=plain", "optimizer.lr=7.5e-5", "steps=60", "force=true", cwd=tmp_path)
    assert points(tmp_path / "plain") == curves


@pytest.mark.slow
def test_a_run_that_never_was_finite_starts_over(tmp_path: Path) -> None:
    wild = ["optimizer=sgd", "optimizer.lr=1e30", "health.on_nan=rollback", "health.factor=1e-32"]
    said = gan_train(*RING, *wild, "steps=20", cwd=tmp_path)
    assert "to step 0, with learning rates times 1e-32" in said
    assert [point["step"] for point in points(tmp_path / "run")] == [5, 10, 15, 20]


@pytest.mark.slow
def test_rollbacks_end(tmp_path: Path) -> None:
    wild = ["optimizer=sgd", "optimizer.lr=1e30", "health.on_nan=rollback", "health.retries=2"]
    said = gan_train(*RING, *wild, "steps=20", cwd=tmp_path, expect=1)
    assert "rollback 2 of 2" in said
    assert "2 rollbacks did not help" in said
    assert RunFolder(tmp_path / "run").read_status()["status"] == "failed"


def test_a_fault_in_words() -> None:
    loss = Fault(1234, "critic", "loss", ["penalty/gradient"], "critic.layers.0 (Conv2d)")
    assert str(loss) == (
        "step 1,234, phase critic: the loss (penalty/gradient) was the first to be NaN or "
        "infinite; the first layer with such an output was critic.layers.0 (Conv2d)"
    )
    names = [f"critic.{i}.weight" for i in range(5)]
    assert "critic.2.weight and 2 more, while the loss was finite," in str(
        Fault(2, "critic", "gradient", names, "")
    )
