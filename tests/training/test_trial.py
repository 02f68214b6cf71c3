"""Precision and threads on a CPU, chosen by a trial of the model's updates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from composing import SMALL, session_of
from playing import same

from gan_cli.commands.train import compose
from gan_cli.runs.folder import RunFolder
from gan_cli.training import runtime, trial

SECONDS = {"fp32": 2.0, "bf16": 1.0}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The precisions that were timed, on a CPU with bf16 that is twice as fast in it."""
    found: list[str] = []

    def timed(step: Callable[[], object]) -> float:
        step()
        found.append("bf16" if len(found) % 2 else "fp32")
        return SECONDS[found[-1]]

    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime, "cpu_reports", lambda _: True)
    monkeypatch.setattr(trial, "timed", timed)
    return found


AUTO = ["model=dcgan", "data.split=test", "runtime.precision=auto"]


def test_the_faster_one_is_taken_and_remembered_for_this_machine_and_model(
    taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "bf16: bf16 is 2.00 times as fast as fp32 for this model on this CPU"
    session = session_of(*AUTO)
    assert session.precision == session.settings.runtime.precision == "bf16"
    assert line in session.runtime.reasons
    again = session_of(*AUTO)
    assert (again.precision, again.runtime.reasons) == ("bf16", session.runtime.reasons)
    assert taken == ["fp32", "bf16"]
    session_of(*AUTO, "network.width=4")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    session_of(*AUTO)
    assert len(taken) == 6  # another model, another number of threads


def test_a_gain_within_noise_keeps_fp32(taken: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECONDS, "bf16", 1.9)
    session = session_of(*AUTO)
    assert session.precision == "fp32"
    assert "fp32: bf16 is 1.05 times as fast as fp32 for this model on this CPU" in (
        session.runtime.reasons
    )


def test_short_steps_are_timed_twice_as_other_programs_may_disturb_a_way(
    taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.04, 0.039, 0.041, 0.02])  # bf16 was disturbed in the first round
    monkeypatch.setattr(trial, "timed", lambda step: step() or next(times))
    session = session_of(*AUTO)
    assert session.precision == "bf16"
    assert "bf16: bf16 is 2.00 times as fast as fp32 for this model on this CPU" in (
        session.runtime.reasons
    )
    assert next(times, None) is None


def test_weights_random_numbers_and_curves_are_those_without_a_trial(taken: list[str]) -> None:
    with_trial = session_of(*AUTO)
    stream = torch.get_rng_state()
    without = session_of(*AUTO[:-1], "runtime.precision=bf16")
    assert taken
    assert torch.equal(torch.get_rng_state(), stream)
    assert same(with_trial.trainer.state_dict(), without.trainer.state_dict())
    for session in (with_trial, without):
        session.trainer.advance(measure=True)
    assert same(with_trial.trainer.state_dict(), without.trainer.state_dict())
    assert with_trial.trainer.read() == without.trainer.read()


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"a": {"fp32": 1}}'])
def test_a_damaged_cache_is_made_again(taken: list[str], text: str, tmp_path: Path) -> None:
    path = tmp_path / "cache" / trial.FILE
    path.parent.mkdir()
    path.write_text(text)
    assert session_of(*AUTO).precision == session_of(*AUTO).precision == "bf16"
    assert len(taken) == 2


def test_a_cache_that_cannot_be_written_is_no_fault(taken: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert session_of(*AUTO).precision == session_of(*AUTO).precision == "bf16"
    assert len(taken) == 4


def test_a_run_keeps_its_precision_on_any_machine(
    taken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [text for text in SMALL if "precision" not in text] + ["data.split=test"]
    folder = tmp_path / "run"
    line = [*small, f"run.dir={folder}", "checkpoint.every=1"]
    assert compose([*line, "steps=2"]) == 0
    config = RunFolder(folder).read_config() or ""
    assert "precision: bf16" in config
    monkeypatch.setattr(runtime, "cpu_reports", lambda _: False)
    assert compose([f"resume={folder}", "steps=3"]) == 0
    assert compose([*line, "steps=4"]) == 0
    assert "precision: bf16" in (RunFolder(folder).read_config() or "")
    assert taken == ["fp32", "bf16"]


def test_timing_leaves_the_first_step_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.125, 1.0, 1.0625])
    monkeypatch.setattr(trial.time, "perf_counter", lambda: next(clock))
    steps: list[int] = []
    assert trial.timed(lambda: steps.append(1)) == 0.0625
    assert len(steps) == 3


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"fp32/1": 1.0, "fp32/2": 0.6}, ("fp32", 2)),
        ({"fp32/1": 1.0, "fp32/2": 0.9}, ("fp32", 1)),  # the second core is left to others
        ({"fp32/1": 1.0, "fp32/2": 4.0}, ("fp32", 1)),
        ({"fp32/1": 1.0, "bf16/1": 0.5, "fp32/2": 0.6, "bf16/2": 0.45}, ("bf16", 1)),
        ({"fp32/1": 1.0, "bf16/1": 0.5, "fp32/2": 0.6, "bf16/2": 0.3}, ("bf16", 2)),
        ({"fp32/1": 1.0, "bf16/1": 0.5, "fp32/2": 0.2, "bf16/2": 0.3}, ("fp32", 2)),
    ],
)
def test_threads_must_be_worth_their_cores(
    seconds: dict[str, float],
    expected: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))
    ways: list[str] = []

    def step(precision: str) -> Callable[[], object]:
        return lambda: ways.append(f"{precision}/{torch.get_num_threads()}")

    monkeypatch.setattr(trial, "timed", lambda step: step() or seconds[ways[-1]])
    precisions = tuple(dict.fromkeys(way.split("/")[0] for way in seconds))
    before = torch.get_num_threads()
    for _ in range(2):  # the second time it is read
        assert trial.fastest(step, {"model": "m"}, precisions, (1, 2))[:2] == expected
    assert ways == list(seconds)
    assert torch.get_num_threads() == before


def test_what_the_user_has_set_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    wanted = session_of(*AUTO).settings.runtime.model_copy(update={"threads": None})
    chosen = runtime.decide(wanted)
    assert runtime.to_try(chosen, wanted)[1] == (8,)  # tests set OMP_NUM_THREADS
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert runtime.to_try(chosen, wanted)[1] == (1, 4, 8)
    for count in (1, 8):
        typed = wanted.model_copy(update={"threads": count})
        assert runtime.to_try(runtime.decide(typed), typed)[1] == (count,)


def test_a_run_keeps_the_threads_of_its_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(runtime, "cpu_reports", lambda _: False)
    monkeypatch.setattr(trial, "fastest", lambda *_: ("fp32", 1, ["2 threads are slower"]))
    monkeypatch.setattr(runtime, "choose_threads", lambda _: (2, ""))
    small = [text for text in SMALL if "threads" not in text]
    session = session_of(*small, "data.split=test", "runtime.threads=null")
    assert (session.runtime.threads, session.settings.runtime.threads) == (1, 1)
    assert torch.get_num_threads() == 1
    assert "2 threads are slower" in session.runtime.reasons
