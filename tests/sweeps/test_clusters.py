"""Jobs on a cluster, as far as one machine can test them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from waiting import wait_for

from gan_cli.errors import ConfigError
from gan_cli.runs.folder import RunFolder
from gan_cli.sweeps import clusters
from gan_cli.sweeps.clusters import ClusterJob, RayStarter, cluster_job, slurm_parameters
from gan_cli.sweeps.slots import cluster_slots

TESTS = Path(__file__).parents[1]
PATHS = {"PYTHONPATH": f"{TESTS.parent}:{TESTS}"}


def standin(run: Path, act: str) -> ClusterJob:
    return ClusterJob(["standin", f"run.dir={run}", f"act={act}"], run.parent / "log", PATHS)


def test_a_cluster_job_is_a_training_or_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAME", "x")
    work = cluster_job(["seed=1"], 1, tmp_path / "log", {"SAME": "x", "OMP_NUM_THREADS": "97"})
    assert work.words == ("gan_cli.commands.train", "seed=1")
    assert work.environment == {"OMP_NUM_THREADS": "97"}
    ranks = cluster_job(["seed=1"], 2, tmp_path / "log", {}).words
    assert ranks == (
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "gan_cli.commands.train",
        "seed=1",
    )


@pytest.mark.parametrize(("act", "status"), [("finish", 0), ("fail", 1), ("die", -9)])
def test_a_cluster_job_has_the_exit_status_of_its_process(
    tmp_path: Path, act: str, status: int
) -> None:
    assert standin(tmp_path / "run", act)() == status
    assert ("this never works" in (tmp_path / "log").read_text()) == (act == "fail")


def test_an_interrupted_cluster_job_saves(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    work = standin(run.path, "hang")

    def interrupt() -> None:
        try:
            wait_for(lambda: run.read_status()["status"] == "running")
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert work() == 130
    thread.join()
    assert run.read_status()["status"] == "interrupted"


def test_saving_leaves_the_exit_status_to_be_read(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    work, statuses = standin(run.path, "hang"), list[int]()
    thread = threading.Thread(target=lambda: statuses.append(work()))
    thread.start()
    wait_for(lambda: run.read_status()["status"] == "running")
    work.save()
    assert run.read_status()["status"] == "interrupted"
    thread.join()
    assert statuses == [130]


def test_parameters_of_slurm() -> None:
    given = slurm_parameters(60, 4, 1, None, "slurm", {"partition": "gpu", "signal_delay_s": 120})
    assert given["timeout_min"] == 60
    assert given["slurm_partition"] == "gpu"
    assert given["slurm_signal_delay_s"] == 120
    assert "mem_gb" not in given
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.minutes = 0: must be 1 or more"):
        slurm_parameters(0, 4, 1, None, "slurm", {})


def test_places_cluster_slots() -> None:
    slots = cluster_slots(5, None, 4)
    assert (slots.count, slots.threads) == (5, 4)
    assert cluster_slots(5, 2, 0).threads == 1
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.n_jobs = 0: must be 1 or more"):
        cluster_slots(5, 0, 4)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'; run: pip install "gan-cli\[slurm\]"'):
        clusters.SlurmStarter("slurm", {}, 1, 1)
    with pytest.raises(ConfigError, match=r'; run: pip install "gan-cli\[ray\]"'):
        RayStarter(None, 1, 0, 1)


@pytest.mark.parametrize("module", ["submitit", "ray"])
def test_a_folder_of_its_name_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    package = f"{module}_of_nobody"  # which is installed nowhere
    (tmp_path / package).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package, raising=False)
    asked = clusters.import_module
    monkeypatch.setattr(clusters, "import_module", lambda name: asked(f"{name}_of_nobody"))
    with pytest.raises(ConfigError, match=rf'needs {module}; run: pip install "gan-cli'):
        RayStarter(None, 1, 0, 1) if module == "ray" else clusters.SlurmStarter("slurm", {}, 1, 1)
