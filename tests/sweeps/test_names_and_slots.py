"""Names of sweeps and jobs; slots with GPUs and threads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gan_cli.errors import CheckpointError
from gan_cli.sweeps.index import Index, locked
from gan_cli.sweeps.plan import job_name, sweep_name
from gan_cli.sweeps.slots import Slots, at_once, visible_gpus


def test_a_sweep_keeps_its_name_when_values_are_added_and_what_is_no_part_of_it_changes() -> None:
    fixed = ["model=gan", "steps=20"]
    name = sweep_name(fixed, ["seed", "prior"])
    assert name.startswith("prior-seed-")
    assert name == sweep_name(fixed[::-1], ["prior", "seed"])
    apart = ["hydra.launcher.n_jobs=2", "sweep.retry_failed=true", "dry_run=true", "run.root=x"]
    assert name == sweep_name([*fixed, *apart, "runtime.threads=2"], ["prior", "seed"])
    assert name != sweep_name(["model=gan", "steps=21"], ["prior", "seed"])
    assert name != sweep_name(fixed, ["seed"])
    assert name != sweep_name([*fixed, "seed=1"], ["prior"])


@pytest.mark.parametrize(
    ("overrides", "starts"),
    [
        (["model=wgan", "++seed=1", "++steps=3"], "wgan-seed1-"),
        (["model=gan", "++seed=1", "++data.root='/a/b c'"], "gan-seed1-a-b-c-"),
        (["model=gan", "++seed=1", f"++data.root={'x/' * 300}"], "gan-seed1-x-x-x-"),
        (["model=gan", "++seed=1", "++data.size=[64,96]"], "gan-seed1-64-96-"),
    ],
)
def test_a_job_s_name_is_short_and_a_single_folder(overrides: list[str], starts: str) -> None:
    name = job_name(overrides, ["model", "seed", "data.root", "data.size"])
    assert name.startswith(starts)
    assert len(name) <= 70
    assert not set(name) & set("/\\' ,[]")


def test_names_of_jobs_differ_with_their_overrides() -> None:
    names = {
        job_name(["seed=1", f"data.root={'x/' * 300}{end}"], ["data.root"]) for end in ("a", "b")
    }
    assert len(names) == 2


def test_jobs_have_names_of_their_own_whatever_sets_them_apart() -> None:
    names = {job_name(["seed=1", f"run.root={root}"], ["run.root"]) for root in ("d", "'dü'")}
    assert len(names) == 2


def test_jobs_on_several_devices_have_the_names_that_older_versions_gave_them() -> None:
    overrides = ["data=ring", "model=gan", "runtime.device=cuda:0", "runtime.threads=2"]
    swept = ["runtime.device", "runtime.threads"]
    shared = hashlib.sha256(b"data=ring\0model=gan").hexdigest()[:8]
    assert job_name(overrides, swept) == f"cuda-0-threads2-{shared}"
    long = [f"data.root={'x' * 80}", "runtime.threads=2"]
    other = [long[0], "runtime.threads=3"]
    keys = ["data.root", "runtime.threads"]
    assert job_name(long, keys) != job_name(other, keys)


def test_how_many_at_once() -> None:
    assert at_once(None, 10, ["0", "1"], 1) == 2
    assert at_once(None, 10, ["0", "1"], 2) == 1
    assert at_once(None, 1, ["0", "1"], 1) == 1
    assert at_once(5, 10, ["0", "1"], 1) == 5
    assert at_once(50, 10, [], 1) == 10
    assert at_once(None, 1000, [], 1) >= 1


def test_gpus_are_those_that_are_visible() -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-8f"}) == ["2", "GPU-8f"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []


def test_each_job_has_the_gpu_that_is_used_least_and_its_share_of_threads() -> None:
    slots = Slots(3, ["4", "7"], 1, 16)
    taken = [slots.take() for _ in range(4)]
    assert taken == [("4",), ("7",), ("4",), None]
    assert taken[1] is not None
    slots.release(taken[1])
    again = slots.take()
    assert again is not None
    assert again == ("7",)
    found = slots.environment(again, {"A": "b", "CUDA_VISIBLE_DEVICES": "4,7"}, own=False)
    assert found == {"A": "b", "CUDA_VISIBLE_DEVICES": "7", "OMP_NUM_THREADS": "5"}


def test_threads_that_were_chosen_stay() -> None:
    slots = Slots(2, [], 1, 8)
    slot = slots.take()
    assert slot is not None
    assert slots.environment(slot, {"OMP_NUM_THREADS": "3"}, own=False)["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in slots.environment(slot, {}, own=True)


def test_several_gpus_for_one_job() -> None:
    slots = Slots(2, ["0", "1", "2", "3"], 2, 8)
    taken = [slots.take(), slots.take()]
    assert taken == [("0", "1"), ("2", "3")]


@pytest.mark.parametrize("name", ["logs", ".lock", "sweep.json"])
def test_a_sweep_s_files_do_not_lead_out_of_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(CheckpointError, match="is a link"), locked(tmp_path / "sweep"):
        Index(tmp_path / "sweep")
    assert not list((tmp_path / "outside").iterdir())


JOB = {"name": "a", "overrides": ["seed=1"], "run": "a"}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"version": "x", "jobs": []},
        {"version": 1, "jobs": {"a": 1}},
        {"version": 1, "jobs": [1]},
        {"version": 1, "jobs": [JOB | {"name": 1}]},
        {"version": 1, "jobs": [JOB | {"overrides": "seed=1"}]},
        {"version": 1, "jobs": [JOB | {"overrides": None}]},
        {"version": 1, "jobs": [JOB | {"state": "[red]"}]},
        {"version": 1, "jobs": [JOB | {"exit_status": "x"}]},
        {"version": 1, "jobs": [JOB | {"error": [1]}]},
        {"version": 1, "jobs": [JOB | {"other": 1}]},
    ],
)
def test_an_index_of_somebody_else_is_refused_in_one_line(content: object, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError) as error:
        Index(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'sweep.json'}: ")
    assert "\n" not in str(error.value)


def test_what_a_killed_sweep_left_half_written_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".sweep.json.ab.tmp"
    left.touch()
    with locked(tmp_path):
        assert not left.exists()
