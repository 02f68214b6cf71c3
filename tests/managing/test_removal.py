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
    assert "not interactive: add --yes" in err
    _, err = call(capsys, "remove", status=2)
    assert "name runs, or say which with --where" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert "nothing was removed" in call(capsys, "remove", "runs/a", status=1)[0]
    with runs[1].lock():
        _, err = call(capsys, "remove", "runs/*", "--yes", status=2)
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
    assert "mine is not a run folder" in err
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
    assert f"remove runs/a/{inside}: is inside the run runs/a; name the run's folder" in err
    assert all(run.path.exists() for run in runs)


def test_a_glob_follows_no_link(runs, capsys) -> None:
    far = write_run(Path("elsewhere/far"), "model=gan")
    Path("runs/link").symlink_to(far.path.absolute())
    Path("runs/folder").symlink_to(far.path.parent.absolute())
    out, err = call(capsys, "remove", "runs/*", "--yes")
    assert "removed 3 runs" in out
    assert "runs/link: kept: is reached through a link" in err
    assert "runs/folder: kept: is reached through a link" in err
    assert far.config.exists()
    assert not any(run.path.exists() for run in runs)
    _, err = call(capsys, "remove", "runs/*", "--yes", status=2)
    assert "runs/*: matches no run that can be removed" in err


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        ("runs", "remove runs: is not a run but a folder of 3 runs; name the runs, as 'runs/*'"),
        (".", "remove .: is not a run but a folder of 3 runs; name the runs, as '*/*'"),
        ("runs/../runs", "is not a run but a folder of 3 runs"),
        ("*", "runs: kept: is not a run but a folder of 3 runs; name the runs, as 'runs/*'"),
    ],
)
def test_a_folder_of_runs_does_not_name_them(place, advice, runs, capsys) -> None:
    _, err = call(capsys, "remove", place, "--yes", status=2)
    assert advice in err
    assert all(run.path.exists() for run in runs)


def test_a_folder_may_be_searched_with_a_condition(runs, capsys) -> None:
    for place in ("runs", "."):
        call(capsys, "remove", place, "--where", "state=failed", "--yes")
    assert "removed 1 run" in call(capsys, "remove", ".", "--where", "seed=3", "--yes")[0]
    assert [run.path.exists() for run in runs] == [True, True, False]


@pytest.mark.parametrize("end", ["", "/*", "/**", "/*/*"])
@pytest.mark.parametrize("place", ["/", "..", "~", "{home}", "../.."])
def test_no_folder_is_searched_that_may_hold_all_of_the_users(
    place, end, runs, capsys, monkeypatch, tmp_path
) -> None:
    home = tmp_path / "home"
    write_run(home / "a/b", "model=gan")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(runs[0].path.parent)
    place = place.format(home=home)
    if place == "/" and end:  # the whole machine is not to be searched by a test, either
        monkeypatch.setattr("gan_cli.managing.removal.matches", lambda _: [])
    if place == "/":
        monkeypatch.setattr("gan_cli.runs.folder.below", lambda _: [home / "a/b"])
    where = [] if end else ["--where", "step>=0"]
    _, err = call(capsys, "remove", place + end, *where, "--yes", status=2)
    assert "error: remove " in err
    assert "home folder; name a folder in it" in err or "holds the current folder" in err
    assert (home / "a/b/config.yaml").exists()
    assert all((tmp_path / "runs" / name).exists() for name in "abc")


@pytest.mark.parametrize(
    ("place", "link"),
    [
        ("runs/folder/far", "runs/folder"),
        ("runs/folder/*", "runs/folder"),
        ("runs/folder/../elsewhere/far", "runs/folder"),
        ("disk", "disk"),
        ("disk/*", "disk"),
        ("{here}/disk/far", "disk"),
        ("{alias}/disk/far", "disk"),  # the current folder itself may have a link above it
    ],
)
def test_a_named_path_follows_no_link(place, link, runs, capsys, tmp_path, monkeypatch) -> None:
    far = write_run(Path("elsewhere/far"), "model=gan")
    for name in ("runs/folder", "disk"):
        Path(name).symlink_to(far.path.parent.absolute())
    alias = tmp_path.with_name(f"{tmp_path.name}-alias")
    alias.symlink_to(tmp_path)
    place = place.format(here=tmp_path, alias=alias)
    monkeypatch.chdir(alias)
    for more in ([], ["--where", "step>=0"]):
        _, err = call(capsys, "remove", place, *more, "--yes", status=2)
        assert f"{link} is a link; name its target, {tmp_path}/" in err
        assert far.config.exists()


def test_links_above_the_current_folder_do_not_matter(runs, capsys, tmp_path, monkeypatch) -> None:
    alias = tmp_path.with_name(f"{tmp_path.name}-alias")
    alias.symlink_to(tmp_path)
    monkeypatch.chdir(alias)
    call(capsys, "remove", "runs/a", "--yes")
    call(capsys, "remove", alias / "runs/b", "--yes")
    assert [run.path.exists() for run in runs] == [False, False, True]
    monkeypatch.chdir(tmp_path.parent)
    for place in (f"{alias.name}/runs/c", alias / "runs/c"):  # now it is below the current folder
        _, err = call(capsys, "remove", place, "--yes", status=2)
        assert f"alias is a link; name its target, {tmp_path}/runs/c" in err
    assert (tmp_path / "runs/c").exists()


def test_the_default_folder_of_runs_may_be_a_link(runs, capsys, tmp_path) -> None:
    Path("runs").rename("disk")
    Path("runs").symlink_to("disk")
    out, _ = call(capsys, "remove", "--where", "step>=0", "--yes")
    assert str(tmp_path / "disk/a") in out  # where it really is
    assert not any(run.path.exists() for run in runs)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"status.json": '{"ok": true}'}, "is not a run's status"),
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
    assert "runs/project: kept: " in err
    assert all((Path("runs/project") / name).exists() for name in files)


def test_a_run_inside_a_run_is_named_and_kept_while_it_trains(runs, capsys) -> None:
    deep = write_run(Path("runs/a/more/deep"), "model=gan", status="running")
    Path("runs/a/notes.txt").write_text("mine")
    Path("runs/a/metrics.csv").write_text("step\n")
    Path("runs/a/wandb").mkdir()
    with deep.lock():
        _, err = call(capsys, "remove", "runs/a", "--yes", status=2)
    assert "runs/a/more/deep: is in use; stop the run first" in err
    assert deep.config.exists()
    out, _ = call(capsys, "remove", "runs/a", "--yes")
    assert "with the runs inside it: more/deep\n" in out
    assert "with files that belong to no run: notes.txt\n" in out
    assert not runs[0].path.exists()


def test_a_run_that_is_being_evaluated_stays(runs, capsys) -> None:
    with RunFolder(runs[0].evaluations).lock():
        _, err = call(capsys, "remove", "runs/a", "--yes", status=2)
    assert "runs/a/evaluations: is in use" in err
    assert runs[0].config.exists()


def test_the_folder_that_one_is_in_stays(runs, capsys, monkeypatch) -> None:
    monkeypatch.chdir(runs[0].samples)
    _, err = call(capsys, "remove", "..", "--yes", status=2)
    assert "holds the current folder" in err
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
