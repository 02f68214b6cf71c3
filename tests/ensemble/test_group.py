"""Which runs of a command line go together, and how they end."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from composing import SMALL, session_of
from stacking import assert_close
from torch import Tensor

from gan_cli.callbacks.metrics import MetricsFile
from gan_cli.config.command_line import Command, prepare
from gan_cli.config.settings import settings_of
from gan_cli.console import setup_logging
from gan_cli.ensemble.ensemble import Ensemble
from gan_cli.ensemble.group import RequestedRun, groups, train_all, unprofitable
from gan_cli.exits import DONE, FAILED, INTERRUPTED, WRONG_INPUT
from gan_cli.model import Batch, Loss
from gan_cli.models.gan import GAN
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder
from gan_cli.signals import StopRequest
from gan_cli.training.run import train_settings

pytestmark = pytest.mark.slow

POINTS = ("data=ring", "data.points=256", "network=mlp", "network.depth=1", "optimizer.eps=1e-3")
TOY = ("model=gan", *POINTS, "steps=6", "log_every=2", "checkpoint.every=3", "sample_every=6")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    setup_logging(None)
    root = logging.getLogger()
    for handler in [h for h in root.handlers if type(h).__module__.startswith("gan_cli")]:
        root.removeHandler(handler)


def line_of(*overrides: str) -> Command:
    return prepare(["-m", *SMALL, *overrides])


def job(*overrides: str, name: str | None = None, base: tuple[str, ...] = TOY) -> RequestedRun:
    named = [] if name is None else [f"run.name={name}"]
    every = [*SMALL, *base, *overrides, *named]
    return RequestedRun(settings_of(*every), line_of().text(every))


def seeds(*numbers: int, more: tuple[str, ...] = ()) -> list[RequestedRun]:
    return [job(f"seed={n}", *more, name=f"s{n}") for n in numbers]


def points(name: str) -> list[dict[str, Any]]:
    lines = (Path("runs") / name / "metrics.jsonl").read_text().splitlines()
    timed = ("time", "speed/", "memory/")
    return [
        {key: v for key, v in json.loads(line).items() if not key.startswith(timed)}
        for line in lines
    ]


def status(name: str) -> dict[str, Any]:
    return RunFolder(Path("runs") / name).read_status()


def state(name: str) -> dict[str, Any]:
    kept = checkpoint.load(Path("runs") / name / "checkpoints" / "last.pt")
    return {key: kept[key] for key in ("model", "averages", "optimizers", "window", "step")}


def test_those_that_differ_in_the_seed_alone_are_a_group() -> None:
    jobs = [
        job("seed=1"),
        job("prior.dim=3", "seed=1"),
        job("seed=2"),
        job("prior.dim=3", "seed=2"),
    ]
    assert groups(jobs, line_of()) == [jobs[::2], jobs[1::2]]
    apart = [
        job("seed=1"),
        job("seed=1"),  # the same run twice
        job("seed=2", "evaluation.seed=2"),
        job("seed=3", "dry_run=true"),
        job("seed=4", "runtime.together=false"),
        job("seed=5", "max_time=9s"),
        job("seed=6", "max_time=9s"),
        job("seed=7", "health.on_nan=rollback", "runtime.together=true"),
        job("seed=8", "health.on_nan=rollback", "runtime.together=true"),
    ]
    assert [len(group) for group in groups(apart, line_of())] == [1] * 9


def test_each_has_the_folder_that_it_would_have_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_all(seeds(1, 2), line_of()) == DONE
    said = capsys.readouterr().err
    assert "2 runs together, seed=1, seed=2: 6 steps on 256 samples of ring (2)" in said
    assert "seed=2: finished at step 6: runs/s2" in said
    single = job("seed=2", name="single")
    assert train_settings(single.settings, line_of()) == DONE
    together, alone = points("s2"), points("single")
    assert_close(alone, together, 1e-3)
    assert_close(state("single"), state("s2"))
    for name in ("s2", "single"):
        folder = Path("runs") / name
        assert status(name)["status"] == "finished"
        assert (folder / "checkpoints" / "step_00000003.pt").exists()
        assert (folder / "samples" / "points-00000006.png").exists()
        assert any(folder.glob("events.out.*"))
    # A member's file holds its own numbers alone.
    sizes = [
        (Path("runs") / n / "checkpoints" / "last.pt").stat().st_size for n in ("s2", "single")
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)
    log = Path("runs/s2/train.log").read_text()
    assert "this run alone: gan-train" in log
    assert "seed=2" in log
    assert "resume    gan-train resume=runs/s2 steps=12" in log
    assert "runs/s1: 6 steps" not in log


def test_the_command_of_a_member_is_one_that_can_be_typed() -> None:
    line = prepare(["-m", "--trust", "mine", "seed=1,2"])
    said = line.text(["++seed=1", "model=gan", "++data.root='a b'"])
    assert said == """gan-train --trust=mine seed=1 model=gan 'data.root='"'"'a b'"'"''"""


def test_a_member_is_resumed_alone_and_that_its_rounding_changes_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert train_all(seeds(1, 2), line_of()) == DONE
    assert status("s1")["together"] == [1, 2]
    assert "bit for bit" not in caplog.text
    for steps in (8, 9):
        more = settings_of(*SMALL, "resume=runs/s1", f"steps={steps}")
        assert train_settings(more, prepare(["resume=runs/s1", f"steps={steps}"])) == DONE
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "runs/s1: 2 seeds were trained together up to step 6; this one now trains alone, "
        "so the rest is equal up to rounding, not bit for bit (runtime.together=false trains "
        "each seed alone from the start)"
    ]
    assert status("s1")["together"] == []
    longer = job("seed=1", "steps=9", name="long")
    assert train_settings(longer.settings, line_of()) == DONE
    assert_close(state("long"), state("s1"))


def test_what_has_begun_goes_on_by_itself() -> None:
    assert train_all([job("seed=1", "run.dir=runs/a")], line_of()) == DONE
    again = [job("seed=1", "steps=8", "run.dir=runs/a"), job("seed=2", "steps=8", "run.dir=runs/b")]
    assert [len(group) for group in groups(again, line_of())] == [1, 1]
    assert train_all(again, line_of()) == DONE
    assert (status("a")["step"], status("b")["step"]) == (8, 8)


def test_one_that_diverges_ends_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advance = Ensemble.advance

    def spoil(self: Ensemble, measure: bool = False) -> None:
        advance(self, measure)
        for trainer in self.trainers:
            if trainer.seed == 2 and trainer.step == 3:
                next(trainer.model.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(Ensemble, "advance", spoil)
    assert train_all(seeds(1, 2, 3), line_of()) == FAILED
    assert [status(f"s{n}")["status"] for n in (1, 2, 3)] == ["finished", "failed", "finished"]
    assert "weights: NaN or infinite" in status("s2")["error"]
    assert "seed=2: step 3: weights: NaN or infinite" in capsys.readouterr().err
    single = job("seed=3", name="single")
    assert train_settings(single.settings, line_of()) == DONE
    assert_close(state("single"), state("s3"))


def test_one_whose_disk_is_full_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = MetricsFile.logged

    def full(self: MetricsFile, step: int, *told: Any) -> None:
        if "s1" in self.path.parts and step == 6:
            raise OSError(28, "No space left on device")
        logged(self, step, *told)

    monkeypatch.setattr(MetricsFile, "logged", full)
    assert train_all(seeds(1, 2), line_of()) == FAILED
    assert [status(f"s{n}")["status"] for n in (1, 2)] == ["failed", "finished"]
    assert "No space left" in Path("runs/s1/train.log").read_text()
    assert "No space left" not in Path("runs/s2/train.log").read_text()


def test_a_step_that_fails_ends_all_of_the_group_and_not_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    advance = Ensemble.advance

    def broken(self: Ensemble, measure: bool = False) -> None:
        if self.lead.step == 4:
            raise RuntimeError("out of luck")
        advance(self, measure)

    monkeypatch.setattr(Ensemble, "advance", broken)
    other = job("seed=1", "prior.dim=3", name="other")
    assert train_all([*seeds(1, 2), other], line_of()) == FAILED
    assert [status(n)["status"] for n in ("s1", "s2", "other")] == ["failed", "failed", "finished"]
    assert "out of luck" in status("s2")["error"]


def test_one_signal_saves_and_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Ensemble.advance

    def interrupt(self: Ensemble, measure: bool = False) -> None:
        advance(self, measure)
        if self.lead.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Ensemble, "advance", interrupt)
    other = job("seed=1", "prior.dim=3", name="other")
    assert train_all([*seeds(1, 2), other], line_of()) == INTERRUPTED
    assert [status(n)["status"] for n in ("s1", "s2")] == ["interrupted"] * 2
    assert [state(n)["step"] for n in ("s1", "s2")] == [4, 4]
    assert not Path("runs/other").exists()


def test_a_second_ctrl_c_in_a_step_ends_all_without_saving(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advance = Ensemble.advance

    def interrupt(self: Ensemble, measure: bool = False) -> None:
        advance(self, measure)
        if self.lead.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Ensemble, "advance", interrupt)
    assert train_all(seeds(1, 2), line_of()) == INTERRUPTED
    assert [status(n)["status"] for n in ("s1", "s2")] == ["interrupted"] * 2
    assert [state(n)["step"] for n in ("s1", "s2")] == [3, 3]
    said = capsys.readouterr().err
    assert said.count("ended without saving: 2 steps are lost") == 2
    assert said.count("interrupted\n") == 0


def test_a_second_ctrl_c_between_two_steps_ends_who_has_not_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The handler runs in the main thread, which waits while a member has its turn."""
    logged, handled = MetricsFile.logged, threading.Event()
    receive = StopRequest.receive

    def note(self: StopRequest, *told: Any) -> None:
        before = self.signal
        try:
            receive(self, *told)
        finally:
            if before is not None:
                handled.set()

    def interrupt(self: MetricsFile, step: int, *told: Any) -> None:
        logged(self, step, *told)
        if "s1" in self.path.parts and step == 4:
            while not handled.wait(0.1):
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(StopRequest, "receive", note)
    monkeypatch.setattr(MetricsFile, "logged", interrupt)
    assert train_all(seeds(1, 2), line_of()) == INTERRUPTED
    assert [status(n)["status"] for n in ("s1", "s2")] == ["interrupted"] * 2
    assert [state(n)["step"] for n in ("s1", "s2")] == [4, 3]


def test_early_stopping_is_each_one_s_own() -> None:
    judged = ("evaluation.every=2", "evaluation.samples=64", "evaluation.patience=1", "steps=12")
    more = (*judged, "evaluation.metrics=[modes]", "log_every=1")
    assert train_all(seeds(1, 2, more=more), line_of()) == DONE
    for number in (1, 2):
        single = job(f"seed={number}", *more, name=f"single{number}")
        assert train_settings(single.settings, line_of()) == DONE
        assert status(f"single{number}")["step"] == status(f"s{number}")["step"]
        assert_close(points(f"single{number}"), points(f"s{number}"), 1e-3)


def test_what_cannot_be_stacked_is_trained_in_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = GAN.generator_loss

    def loss(self: GAN, batch: Batch) -> Loss:
        found = plain(self, batch)
        assert isinstance(found.total, Tensor)
        found.total.item()  # a device read, which no stack can give
        return found

    monkeypatch.setattr(GAN, "generator_loss", loss)
    assert train_all(seeds(1, 2), line_of()) == DONE
    said = capsys.readouterr().err
    assert "2 seeds one after the other: generator: RuntimeError: vmap: It looks like" in said
    assert [status(f"s{n}")["status"] for n in (1, 2)] == ["finished", "finished"]


@pytest.mark.parametrize(("together", "pays"), [("auto", False), ("true", True)])
def test_recorded_updates_go_in_turn_unless_asked_for(together: str, pays: bool) -> None:
    lead = session_of("model=gan", "data=ring", f"runtime.together={together}")
    assert unprofitable(lead) == ""
    lead.runtime = replace(lead.runtime, graphs=True)
    assert (unprofitable(lead) == "") is pays


def test_images_on_the_cpu_go_in_turn_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("model=gan", "network.depth=1", "data.split=test", "steps=1")
    plain = [job(f"seed={n}", name=f"s{n}", base=base) for n in (1, 2)]
    assert train_all(plain, line_of()) == DONE
    assert "2 seeds one after the other: images keep a device busy" in capsys.readouterr().err
    base = (*base, "runtime.together=true")
    assert train_all([job(f"seed={n}", name=f"t{n}", base=base) for n in (1, 2)], line_of()) == DONE
    assert "2 runs together" in capsys.readouterr().err
    assert_close(points("s1"), points("t1"), 1e-3)


def test_a_configuration_that_cannot_be_fails_once(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = seeds(1, 2, more=("model.packing=3",))
    assert train_all([*wrong, job(name="right")], line_of()) == WRONG_INPUT
    assert capsys.readouterr().err.count("batch_size = 8: must be a multiple") == 1
    assert status("right")["status"] == "finished"
