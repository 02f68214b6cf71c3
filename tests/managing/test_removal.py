"""gan-runs remove: what is deleted is what was named, and surely a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from run_folders import write_run
from test_manage import call

from gan_cli.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runs() -> list[RunFolder]:
    """Two finished runs and one that was killed."""
    return [
        write_run(Path("runs/a"), "model=gan", seed=1, values={20: 3.0, 40: 1.0}),
        write_run(Path("runs/b"), "model=wgan", seed=2, values={40: 2.0}),
        write_run(Path("runs/c"), "model=wgan", seed=3, values={20: 9.0}, status="running"),
    ]


def test_removing_asks_and_spares_runs_in_use(runs, capsys, monkeypatch) -> None:
    _, err = call(capsys, "remove", "runs/a", status=2)
    assert "there is nobody to ask here; add --yes" in err
    _, err = call(capsys, "remove", status=2)
    assert "name runs, or say which with --where" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert "nothing was removed" in call(capsys, "remove", "runs/a", status=1)[0]
    with runs[1].lock():
        _, err = call(capsys, "remove", "runs", "--yes", status=2)
    assert "runs/b: is in use; stop the run first" in err
    assert all(run.path.exists() for run in runs)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    call(capsys, "remove", "runs/a")
    call(capsys, "remove", "--where", "state=killed", "--yes")
    assert [run.path.exists() for run in runs] == [False, True, False]


def test_only_runs_are_removed(runs, capsys) -> None:
    Path("mine").mkdir()
    Path("mine/precious").write_text("x")
    _, err = call(capsys, "remove", "mine", "--yes", status=2)
    assert "mine: is no run folder" in err
    Path("runs/link").symlink_to(runs[0].path.absolute())
    _, err = call(capsys, "remove", "runs/link", "--yes", status=2)
    assert "is a link" in err
    assert Path("mine/precious").exists()
    assert runs[0].path.exists()


@pytest.mark.parametrize(
    "inside",
    ["config.yaml", "status.json", "samples", "checkpoints", "checkpoints/step_00000005.pt"],
)
def test_a_file_or_folder_of_a_run_is_not_the_run(inside, runs, capsys) -> None:
    (runs[0].checkpoints / "step_00000005.pt").write_bytes(b"x")
    _, err = call(capsys, "remove", f"runs/a/{inside}", "--yes", status=2)
    assert f"remove runs/a/{inside}: lies in the run runs/a; name the run's folder" in err
    assert all(run.path.exists() for run in runs)


def test_a_glob_follows_no_link(runs, capsys) -> None:
    far = write_run(Path("elsewhere/far"), "model=gan")
    Path("runs/link").symlink_to(far.path.absolute())
    Path("runs/folder").symlink_to(far.path.parent.absolute())
    out, err = call(capsys, "remove", "runs/*", "--yes")
    assert "removed 3 runs" in out
    assert "runs/link: left alone: is reached through a link" in err
    assert "runs/folder/far: left alone: is reached through a link" in err
    assert far.config.exists()
    assert not any(run.path.exists() for run in runs)
    _, err = call(capsys, "remove", "runs/*", "--yes", status=2)
    assert "runs/*: matches no run that can be removed" in err


def test_a_folder_of_runs_may_itself_be_a_link(runs, capsys) -> None:
    Path("disk").symlink_to("runs")
    out, _ = call(capsys, "remove", "disk", "--yes")
    assert str(runs[0].path.absolute()) in out  # where it really is
    assert not any(run.path.exists() for run in runs)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"status.json": '{"ok": true}'}, "is no run's status"),
        ({"status.json": '{"status": "finished", "step": 1}'}, "holds no config.yaml of a run"),
        (
            {"status.json": '{"status": "finished", "step": 1}', "config.yaml": "name: app\n"},
            "holds no config.yaml of a run",
        ),
        ({"checkpoints/model.pt": "", "config.yaml": "name: app\n"}, "holds no status.json"),
        ({"status.json": '{"status": "finished", "step": 1}', "config.yaml": "["}, "is not YAML"),
    ],
)
def test_a_project_that_only_looks_like_a_run_stays(files, reason, runs, capsys) -> None:
    for name, text in files.items():
        path = Path("runs/project") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _, err = call(capsys, "remove", "runs/project", "--yes", status=2)
    assert err.startswith("error: remove runs/project: ")
    assert reason in err
    out, err = call(capsys, "remove", "--where", "state=unknown or step>0", "--yes")
    assert "removed 3 runs" in out
    assert "runs/project: left alone: " in err
    assert all((Path("runs/project") / name).exists() for name in files)


def test_a_run_inside_a_run_is_told_and_kept_while_it_trains(runs, capsys) -> None:
    deep = write_run(Path("runs/a/more/deep"), "model=gan", status="running")
    Path("runs/a/notes.txt").write_text("mine")
    with deep.lock():
        _, err = call(capsys, "remove", "runs/a", "--yes", status=2)
    assert "runs/a/more/deep: is in use; stop the run first" in err
    assert deep.config.exists()
    out, _ = call(capsys, "remove", "runs/a", "--yes")
    assert "with the runs inside it: more/deep\n" in out
    assert "with what no run wrote: notes.txt\n" in out
    assert not runs[0].path.exists()


def test_a_run_that_is_being_evaluated_stays(runs, capsys) -> None:
    with RunFolder(runs[0].evaluations).lock():
        _, err = call(capsys, "remove", "runs/a", "--yes", status=2)
    assert "runs/a/evaluations: is in use" in err
    assert runs[0].config.exists()


def test_the_folder_that_one_is_in_stays(runs, capsys, monkeypatch) -> None:
    monkeypatch.chdir(runs[0].samples)
    _, err = call(capsys, "remove", "..", "--yes", status=2)
    assert "holds the folder that you are in" in err
    assert Path("../config.yaml").exists()


def test_a_run_that_cannot_be_written_is_not_in_use(runs, capsys, monkeypatch) -> None:
    with runs[0].lock():
        pass
    real = os.open

    def read_only(path, flags, *rest, **more):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest, **more)

    status = json.loads(runs[0].status.read_text())
    runs[0].status.write_text(json.dumps(status | {"status": "running"}))
    monkeypatch.setattr(os, "open", read_only)
    assert not runs[0].in_use()
    assert runs[0].read_status()["status"] == "killed"


def test_removing_a_run_deletes_nothing_through_its_links(runs, capsys) -> None:
    runs[0].checkpoints.rename("outside")
    Path("outside/.mine.tmp").write_text("x")
    runs[0].checkpoints.symlink_to(Path("outside").absolute())
    call(capsys, "remove", "runs/a", "--yes")
    assert not runs[0].path.exists()
    assert Path("outside/.mine.tmp").exists()
