"""Jobs of a sweep that begin at a checkpoint of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan_cli.config.schema import Settings
from gan_cli.config.settings import settings_of
from gan_cli.errors import ConfigError
from gan_cli.runs.folder import RunFolder
from gan_cli.sweeps.index import JobEntry
from gan_cli.sweeps.plan import SweepJob, job_state, plan
from hydra_plugins.gan_train._sweeping import MANY, compose_once

RATES = ("optimizer.lr=0.001", "optimizer.lr=0.002")
STEP = "resume=e1/checkpoints/step_00000003.pt"


def jobs(*common: str) -> list[SweepJob]:
    def composed(overrides: object) -> Settings:
        return settings_of("model=gan", "data=ring", *overrides)  # type: ignore[misc]

    return plan(composed, [[*common, rate] for rate in RATES], ["optimizer.lr"], Path("sb"))


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("place", "folders"),
    [
        ([], None),
        (["run.name='b-${optimizer.lr}'"], ["runs/b-0.001", "runs/b-0.002"]),
        (["run.dir='x/${optimizer.lr}'"], ["x/0.001", "x/0.002"]),
    ],
)
def test_each_job_branches_off_a_checkpoint_into_its_own_folder(
    place: list[str], folders: list[str] | None
) -> None:
    found = jobs(STEP, "steps=7", *place)
    assert [str(job.run) for job in found] == (folders or [f"sb/{job.name}" for job in found])
    for job, rate in zip(found, RATES, strict=True):
        assert job.arguments == [
            STEP,
            "steps=7",
            rate,
            f"run.dir={job.run}",
            "sweep.keys=[optimizer.lr]",
        ]


def test_a_branch_that_was_interrupted_is_resumed_by_the_same_sweep() -> None:
    job = jobs(STEP, "run.root=all")[0]
    entry = JobEntry(job.name, job.overrides, str(job.run))
    assert job_state(job, entry) == "waiting"
    run = RunFolder(job.run)
    run.path.mkdir(parents=True)
    run.write_status("interrupted", 5)
    again = jobs(STEP, "run.root=all")[0]
    assert again.arguments == [RATES[0], f"resume={job.run}", "sweep.keys=[optimizer.lr]"]
    assert job_state(again, entry) == "interrupted"
    run.write_status("finished", 7)
    assert job_state(again, entry) == "finished"


@pytest.mark.parametrize("resume", ["resume=e1", "resume=e1/checkpoints/last.pt"])
def test_several_jobs_cannot_resume_one_run(resume: str) -> None:
    with pytest.raises(ConfigError) as error:
        jobs(resume)
    message = str(error.value)
    assert (
        f"{resume.replace('=', ' = ')}: several jobs cannot resume one run; name one of" in message
    )
    assert "run.name" not in message


def test_settings_are_composed_once_and_many_are_announced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    composed: list[list[str]] = []

    class Loader:
        def load_sweep_config(self, config: object, overrides: list[str]) -> str:
            composed.append(overrides)
            return overrides[0]

    loader: Any = Loader()
    compose_once(loader)
    texts = [f"seed={i}" for i in range(MANY + 5)]
    for _ in range(2):  # first the sweeper, as a check, then the launcher
        assert [loader.load_sweep_config(None, [text]) for text in texts] == texts
    assert len(composed) == MANY + 5
    assert caplog.messages == ["checking the settings of all jobs first ..."]
