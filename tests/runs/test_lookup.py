"""What RUN may be: a folder, part of a name, `latest`, or a folder of runs."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from gan_cli.commands.train import resumed_run
from gan_cli.config.command_line import prepare
from gan_cli.errors import CheckpointError
from gan_cli.runs import folder as runs
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.lookup import find

NOON = datetime(2025, 6, 1, 12, 0, 0)  # local time, as in folder names


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(started: str = "2025-06-01T12:00:00+00:00", **more) -> RunFolder:
    run = runs.create("seed: 0\n", **{"model": "dcgan", "data": "mnist", "now": NOON, **more})
    status = json.loads(run.status.read_text())
    run.status.write_text(json.dumps({**status, "started": started}))
    return run


def at(hour: int) -> str:
    return f"2025-06-01T{hour:02}:00:00+00:00"


def test_found_by_folder_checkpoints_or_file_inside():
    run = make()
    (run.checkpoints / "last.pt").write_bytes(b"")
    inside = (run.path, run.checkpoints, run.checkpoints / "last.pt", run.config)
    for path in inside:
        assert find(path).path.samefile(run.path)
        assert find(path.absolute()).path.samefile(run.path)
        assert find(str(path)).path.samefile(run.path)


def test_found_from_within(monkeypatch):
    run = make()
    home = run.path.absolute()
    monkeypatch.chdir(run.checkpoints)
    assert find(".").path.samefile(home)


def test_no_run_there_names_the_nearest():
    run = make()
    with pytest.raises(CheckpointError, match=rf"no such folder \(did you mean {run.path}\?\)"):
        find(str(run.path).replace("dcgan", "dcgn"))
    with pytest.raises(
        CheckpointError, match=rf"; there are runs/dcgan-mnist \(1 run\); the newest is {run.path}"
    ):
        find("zzz")
    Path("empty").mkdir()
    with pytest.raises(CheckpointError, match=r"a run folder holds config\.yaml, status\.json and"):
        find("empty")


@pytest.mark.parametrize("place", ["", " "])
def test_an_empty_name_is_refused(place):
    make()
    with pytest.raises(CheckpointError, match="what was given is empty"):
        find(place)


def test_latest_goes_by_start_whatever_the_name_or_depth(capsys):
    with pytest.raises(CheckpointError, match="latest is not a run folder: no such folder"):
        find("latest")
    made = [make(at(0), name="z"), make(at(1)), make(at(2), name="multirun/today/a")]
    assert find("latest").path == made[-1].path
    assert capsys.readouterr().err == "latest: runs/multirun/today/a\n"
    made[1].status.write_text(json.dumps({"status": "finished", "step": 1, "started": "2026"}))
    assert find("latest", newest=False).path == made[1].path


def test_a_folder_of_runs_means_its_newest_and_says_so(capsys):
    make(at(1), name="wgan-mnist/a")
    newest = make(at(3), name="wgan-mnist/b")
    make(at(2), name="wgan-mnist/c")
    make(at(4), name="gan-mnist/d")
    for place in ("runs/wgan-mnist", "wgan-mnist", Path("runs/wgan-mnist")):
        assert find(place).path == newest.path
        assert capsys.readouterr().err == f"{place}: the newest run in it is {newest.path}\n"
        with pytest.raises(
            CheckpointError, match=r"matches 3 runs; name one:\n  .*a\n  .*c\n  .*b$"
        ):
            find(place, newest=False)
    assert find("runs/gan-mnist", newest=False).path == Path("runs/gan-mnist/d")
    assert capsys.readouterr().err == "runs/gan-mnist: runs/gan-mnist/d\n"


def test_a_part_of_a_name_must_fit_one_run(capsys):
    first, second = make(at(1)), make(at(2), name="first")
    assert find(first.path.name[:15]).path == first.path
    assert find("fir").path == second.path == find("first").path
    capsys.readouterr()
    assert find(first.path).path == first.path
    assert capsys.readouterr().err == ""
    with pytest.raises(CheckpointError, match=r"^r: matches 2 runs; name one:\n"):
        find("r")
    for number in range(9):
        make(at(3), name=f"many/{number}")
    with pytest.raises(CheckpointError, match="matches 9 runs; name one, the newest 8 of") as e:
        find("any")
    assert "many/0" not in str(e.value)


def test_resume_names_the_run_that_was_found(capsys):
    run = make(at(2))
    make(at(1), name="first")
    for place in ("latest", run.path.name[:15], f"runs/{run.path.parent.name}"):
        line, found = resumed_run(prepare([f"resume={place}", "steps=9"]))
        assert found is not None
        assert found.path == run.path
        assert line.overrides == [f"resume={run.path}", "steps=9"]
        assert line.for_hydra == [f"++resume={run.path}", "++steps=9"]
    same = prepare([f"resume={run.path}/status.json"])
    assert resumed_run(same)[0] is same
    twin = make(at(2), name="twin")
    line, found = resumed_run(prepare(["resume=latest"]))
    assert found is None
    assert line.overrides == ["resume=latest"]
    with pytest.raises(
        CheckpointError, match=rf"^latest: matches 2 runs; name one:\n.*\n  {twin.path}$"
    ):
        find("latest", newest=False)
    assert find("latest").path == twin.path
