"""Runs as processes: done once, never half a result, none left behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from test_tables import TABLE, made

from benchmarks.published.jobs import TableJob, jobs
from benchmarks.published.running import Machine, Outcome, run_all, run_job
from benchmarks.published.tables import load
from gan_cli.jobs.processes import StoppedError, Supervisor
from gan_cli.runs.folder import RunFolder


class FakeSupervisor(Supervisor):
    """Does what gan-train and gan-eval would leave behind.

    Args:
        value: of every figure; None lets gan-eval fail.
        status: of the training.
    """

    def __init__(self, value: float | None = 1.0, status: str = "finished") -> None:
        super().__init__()
        self.value, self.status = value, status
        self.calls: list[list[str]] = []

    def run(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        watch: Callable[[], bool] = lambda: False,
    ) -> int:
        self.calls.append(list(arguments))
        if arguments[0] == "gan_cli.commands.train":
            folder = RunFolder(arguments[-1].removeprefix("run.dir="))
            folder.path.mkdir(exist_ok=True)
            folder.write_status(self.status, 2)
            return 0
        if self.value is None:
            log.write_text("first\nerror: no such thing\n", encoding="utf-8")
            return 1
        figures = [{"name": name, "value": self.value, "floor": None} for name in "ab"]
        report = {"figures": figures, "unfit": {}, "failed": {}}
        Path(arguments[-1]).write_text(json.dumps(report), encoding="utf-8")
        return 0


@pytest.fixture
def job(tmp_path: Path) -> TableJob:
    return jobs(load("t", made(tmp_path)), "cpu")[0]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "runs", "CPU", {"ring": ["data.root=there"]}, ["--inception", "w"])


def test_a_run_is_trained_evaluated_and_recorded(job: TableJob, machine: Machine) -> None:
    supervisor = FakeSupervisor()
    outcome = run_job(job, machine, supervisor)
    assert outcome.record is not None
    assert outcome.record["values"] == {"a": 1.0, "b": 1.0}
    train, evaluate = supervisor.calls
    assert train[0] == "gan_cli.commands.train"
    assert train[1:-1] == list(job.train)
    assert evaluate[2:-2] == [*job.evaluations[0], "--inception", "w"]


def test_a_finished_run_is_not_run_again(job: TableJob, machine: Machine) -> None:
    first = run_job(job, machine, FakeSupervisor())
    supervisor = FakeSupervisor(9.0)
    assert run_job(job, machine, supervisor).record == first.record
    assert supervisor.calls == []


def test_a_trained_run_is_only_evaluated(job: TableJob, machine: Machine) -> None:
    failed = run_job(job, machine, FakeSupervisor(None))
    assert failed.record is None
    assert failed.reason.startswith("error: no such thing (see ")
    supervisor = FakeSupervisor()
    assert run_job(job, machine, supervisor).record is not None
    assert [call[0] for call in supervisor.calls] == ["gan_cli.commands.evaluate"]


def test_the_time_of_training_is_that_of_all_tries(
    job: TableJob, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an evaluation failed after it; none is 0, and one that is lost is none."""
    clock = iter(float(second) for second in range(0, 1000, 10))
    monkeypatch.setattr("benchmarks.published.running.time.monotonic", lambda: next(clock))
    assert run_job(job, machine, FakeSupervisor(status="interrupted")).record is None
    assert run_job(job, machine, FakeSupervisor(None)).record is None
    record = run_job(job, machine, FakeSupervisor()).record
    assert record is not None
    assert record["seconds"]["train"] == 20.0
    kept = machine.root / f"{job.table}-{job.form}" / f"{job.key}.json"
    lost = {"train": json.loads(kept.read_text(encoding="utf-8"))["train"]}
    kept.write_text(json.dumps(lost), encoding="utf-8")
    record = run_job(job, machine, FakeSupervisor()).record
    assert record is not None
    assert record["seconds"]["train"] is None


def test_a_training_that_did_not_finish_is_no_result(job: TableJob, machine: Machine) -> None:
    outcome = run_job(job, machine, FakeSupervisor(status="failed"))
    assert (outcome.record, outcome.reason) == (None, "the training is failed")


def test_a_figure_that_is_no_number_is_no_result(job: TableJob, machine: Machine) -> None:
    assert run_job(job, machine, FakeSupervisor(float("nan"))).record is None


def test_a_run_of_another_command_is_refused(
    job: TableJob, machine: Machine, tmp_path: Path
) -> None:
    run_job(job, machine, FakeSupervisor())
    text = TABLE.replace("two: [steps=3]", "two: [steps=4]")
    other = jobs(load("t", made(tmp_path, text)), "cpu")[0]
    outcome = run_job(other, machine, FakeSupervisor())
    assert outcome.record is None
    assert "was made by another command; remove it" in outcome.reason


def test_data_lies_where_the_machine_says(tmp_path: Path, machine: Machine) -> None:
    job = jobs(load("t", made(tmp_path)), "full")[0]
    supervisor = FakeSupervisor()
    run_job(job, machine, supervisor)
    assert "data.root=there" in supervisor.calls[0]


def test_one_failure_leaves_the_other_runs(tmp_path: Path, machine: Machine) -> None:
    first, *others = jobs(load("t", made(tmp_path)), "full")
    (machine.root / "t-full" / first.key).mkdir(parents=True)  # what somebody left there
    outcomes: list[Outcome] = []
    for job in (first, *others):
        outcomes.append(run_job(job, machine, FakeSupervisor()))
    assert [outcome.record is None for outcome in outcomes] == [True] + [False] * len(others)


def test_the_time_limit_ends_all(
    job: TableJob, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()

    def train(self: Supervisor, *_: object) -> int:
        waiting.wait(50)
        raise StoppedError

    monkeypatch.setattr(Supervisor, "run", train)
    monkeypatch.setattr(Supervisor, "stop", lambda self: waiting.set())
    with pytest.raises(TimeoutError):
        list(run_all([job], machine, 1, 0.01))
    assert waiting.is_set()
