"""When the loop logs, draws, saves and stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gan_cli.callbacks.callback import Callback
from gan_cli.distributed.ranks import Ranks
from gan_cli.ema import Average
from gan_cli.errors import CheckpointError
from gan_cli.model import Batch, Loss, Model, Phase
from gan_cli.signals import STOPS
from gan_cli.training.loop import Intervals, Loop
from gan_cli.training.optimizers import build_players
from gan_cli.training.trainer import Trainer


class Line(Model):
    """Fits one number; may call something at a step of the user's choice."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1)
        self.hook = lambda step: None
        self.count = 0

    def phases(self) -> list[Phase]:
        return [Phase("fit", self.loss, (self.net,))]

    def loss(self, batch: Batch) -> Loss:
        self.count += 1
        self.hook(self.count)
        return Loss(self.net(torch.ones(1, 1)).square().sum(), {})

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 1)


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple] = []

    def start(self, step: int) -> None:
        self.events.append(("start", step))

    def logged(self, step: int, scalars: Mapping[str, float], outputs: Mapping) -> None:
        self.events.append(("log", step))
        self.last = scalars

    def drawn(self, step: int, pictures: Mapping) -> None:
        self.events.append(("draw", step))

    def saved(self, step: int) -> None:
        self.events.append(("saved", step))

    def end(self, step: int, status: str) -> None:
        self.events.append(("end", step, status))


def build(total: int = 10, seconds: float | None = None, log: int = 4):
    torch.manual_seed(0)
    model = Line()
    players = build_players(
        model, {"fit": {"lr": 0.1}}, lambda node, p: torch.optim.SGD(p, **node), total
    )
    empty = torch.zeros(2, dtype=torch.int64)
    trainer = Trainer(
        model, players, lambda k: Batch(empty, lambda i: i, lambda i: None), 0, Average(model, 0)
    )
    diary = Diary()
    kept: list[tuple[int, bool]] = []
    plan = Intervals(total, log, sample_every=5, save_every=6, batch_size=2, max_seconds=seconds)
    loop = Loop(
        trainer,
        plan,
        [diary],
        draw=lambda step: {"picture": np.zeros((1, 1, 1), np.uint8)},
        save=lambda keep: kept.append((trainer.step, keep)),
    )
    return model, loop, diary, kept


def test_a_whole_run() -> None:
    _, loop, diary, kept = build()
    outcome = loop.run()
    assert (outcome.state, outcome.step) == ("finished", 10)
    assert diary.events == [
        ("start", 0),
        ("draw", 0),
        ("log", 4),
        ("draw", 5),
        ("saved", 6),
        ("log", 8),
        ("draw", 10),
        ("log", 10),
        ("saved", 10),
        ("end", 10, "finished"),
    ]
    assert kept == [(6, True), (10, False)]
    assert diary.last["speed/seconds_per_step"] > 0


def test_the_last_point_is_only_a_look() -> None:
    """So that a resumed run's next point is what it would have been."""
    _, loop, diary, _ = build(total=10)
    loop.run()
    assert loop.trainer.window.means()["loss/fit"] == pytest.approx(diary.last["loss/fit"])


def test_pictures_and_kept_states_can_be_switched_off() -> None:
    _, loop, diary, kept = build()
    loop.plan = replace(loop.plan, sample_every=None, save_every=None)
    assert loop.run().step == 10
    assert [event[0] for event in diary.events] == ["start", "log", "log", "log", "saved", "end"]
    assert kept == [(10, False)]


class Halving(Ranks):
    """Ranks whose mean is never what this one has."""

    def average(self, values) -> None:
        for value in values:
            value.div_(2)


def test_the_state_is_saved_between_after_some_time_without_a_trace(monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("gan_cli.training.loop.time.monotonic", lambda: clock[0])
    points: list[list[dict[str, float]]] = []
    for seconds in (None, 150.0):
        model, loop, diary, kept = build(log=5)
        loop.plan = replace(loop.plan, save_seconds=seconds, save_every=4)
        loop._ranks = Halving()
        found: list[dict[str, float]] = []
        diary.logged = lambda step, scalars, outputs, found=found: found.append(dict(scalars))
        model.hook = lambda step: clock.__setitem__(0, clock[0] + 100)
        loop.run()
        points.append([{k: v for k, v in one.items() if "loss" in k} for one in found])
        if seconds is None:
            assert kept == [(4, True), (8, True), (10, False)]
        else:
            assert kept == [(2, False), (4, True), (6, False), (8, True), (10, False)]
    assert points[0] == points[1] != []


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_ends_the_step_saves_and_stops(number: signal.Signals) -> None:
    model, loop, diary, kept = build(total=1000)
    before = signal.getsignal(number)
    model.hook = lambda step: os.kill(os.getpid(), number) if step == 3 else None
    outcome = loop.run()
    assert (outcome.state, outcome.step) == ("interrupted", 3)
    assert number.name in outcome.reason
    assert kept == [(3, False)]
    assert diary.events[-1] == ("end", 3, "interrupted")
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_wait() -> None:
    model, loop, diary, kept = build(total=1000)

    def impatient(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    model.hook = impatient
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert kept == []
    assert diary.events[-1] == ("end", 2, "interrupted")


def test_an_error_reaches_the_callbacks_and_the_caller() -> None:
    model, loop, diary, _ = build()

    def fail(step: int) -> None:
        if step == 3:
            raise FloatingPointError("nan")

    model.hook = fail
    with pytest.raises(FloatingPointError):
        loop.run()
    assert diary.events[-1] == ("end", 2, "failed")


class Broken(Diary):
    """Fails whenever it is told something."""

    def __getattribute__(self, name: str):
        if name in ("start", "stepped", "logged", "drawn", "saved", "end"):
            return lambda *told: 1 / 0
        return super().__getattribute__(name)


class Fragile(Broken):
    """What it does is needed."""

    fatal = (ZeroDivisionError,)


def test_what_only_watches_warns_once_and_the_run_goes_on(caplog) -> None:
    _, loop, diary, kept = build()
    _, other, expected, _ = build()
    loop.callbacks.callbacks.insert(0, Broken())
    assert loop.run().state == other.run().state == "finished"
    assert diary.events == expected.events
    assert kept[-1] == (10, False)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["Broken: ZeroDivisionError: division by zero; training continues"]
    assert caplog.records[0].exc_info is not None, "the log file has the traceback"


def test_what_a_run_needs_ends_it() -> None:
    _, loop, diary, _ = build()
    loop.callbacks.callbacks.append(Fragile())
    with pytest.raises(ZeroDivisionError):
        loop.run()
    assert diary.events[-1] == ("end", 0, "failed"), "told all the same"


def test_a_checkpoint_that_cannot_be_written_ends_the_run() -> None:
    _, loop, diary, _ = build()

    def full(keep: bool) -> None:
        raise CheckpointError("last.pt: cannot be written: No space left on device")

    loop._save_to = full
    with pytest.raises(CheckpointError):
        loop.run()
    assert diary.events[-1] == ("end", 6, "failed")


def test_pictures_that_cannot_be_drawn_are_left_out(caplog) -> None:
    _, loop, diary, _ = build()
    drawn: list[dict] = []

    def fail(step: int) -> dict[str, np.ndarray]:
        if step == 5:
            raise ValueError("math domain error")
        return {}

    diary.drawn = lambda step, pictures: drawn.append({step: pictures})
    loop._draw = fail
    assert loop.run().state == "finished"
    assert drawn == [{0: {}}, {5: {}}, {10: {}}]
    assert "pictures: ValueError: math domain error; training continues" in caplog.text


def test_max_time_ends_the_run_as_finished() -> None:
    _, loop, diary, kept = build(total=10**9, seconds=0.2)
    outcome = loop.run()
    assert outcome.state == "finished"
    assert "max_time" in outcome.reason
    assert 0 < outcome.step < 10**9
    assert kept[-1] == (outcome.step, outcome.step % 6 == 0)
    assert ("log", outcome.step) in diary.events


def test_a_run_that_is_already_done_does_not_train() -> None:
    model, loop, _, _ = build(total=0)
    assert loop.run().step == 0
    assert model.count == 0
