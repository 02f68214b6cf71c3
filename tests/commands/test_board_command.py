"""`gan-board`: TensorBoard on runs."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from gan_cli.commands import board
from gan_cli.event_file import EventFile, scalar
from gan_cli.runs import folder


def call(*words: str) -> object:
    with pytest.raises(SystemExit) as end:
        board.main(words)
    return end.value.code


Served = list[tuple[dict[str, Path], list[str]]]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The links that TensorBoard is started on, and its other options."""
    found: Served = []
    monkeypatch.chdir(tmp_path)

    def serve(place: Path, words: Sequence[str]) -> int:
        links = [path for path in place.rglob("*") if path.is_symlink()]
        found.append(({str(one.relative_to(place)): one.readlink() for one in links}, [*words]))
        return 0

    monkeypatch.setattr("gan_cli.commands.board.serve", serve)
    return found


def test_runs_are_served_under_short_names(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call() == 2
    assert "error: runs/: no such folder here; gan train makes" in capsys.readouterr().err
    when = datetime(2026, 11, 28, 1, 55, 48)
    dated = [
        folder.create(f"seed: {seed}\n", model="gan", data="ring", now=when).path.absolute()
        for seed in (1, 2)
    ]
    first = folder.create("seed: 0\n", model="m", data="d", name="first").path.absolute()
    real = first.parent / folder.REAL / "mnist-0123"
    real.mkdir(parents=True)
    assert call() == 0
    links, options = served.pop()
    assert links.pop("first") == first
    assert links.pop("real/mnist-0123") == real
    assert set(links) == {"gan-ring/1128-0155", "gan-ring/1128-015548"}
    assert set(links.values()) == set(dated)
    kept = ["--samples_per_plugin", board.KEPT]
    assert options == [*kept, "--port", "6006", "--host", "localhost"]

    assert call(str(dated[0]), "--port", "7", "--host", "0.0.0.0") == 0
    assert served.pop() == (
        {"gan-ring/1128-0155": dated[0]},
        [*kept, "--port", "7", "--host", "0.0.0.0"],
    )
    assert call("zzz") == 2
    assert "zzz is not a run folder" in capsys.readouterr().err


def test_new_runs_are_linked_and_removed_ones_unlinked(tmp_path: Path) -> None:
    root, place = tmp_path / "runs", tmp_path / "links"
    place.mkdir()
    first = folder.create("seed: 0\n", model="m", data="d", root=root, name="first").path
    links = board.Links(root, place)
    links.refresh()
    assert [path.name for path in place.iterdir()] == ["first"]
    shutil.rmtree(first)
    folder.create("seed: 0\n", model="m", data="d", root=root, name="second")
    links.refresh()
    assert [path.name for path in place.iterdir()] == ["second"]


def test_a_short_name_is_no_other_folder_s(tmp_path: Path) -> None:
    when, dated = datetime(2026, 11, 28, 1, 55, 48), tmp_path / "runs" / "gan-ring"
    for seed in (1, 2):
        folder.create(f"seed: {seed}\n", model="gan", data="ring", root=dated.parent, now=when)
    own = folder.create("seed: 3\n", model="", data="", folder=dated / "1128-0155").path
    group = folder.create("seed: 4\n", model="", data="", folder=dated / "1128-015548" / "x").path
    place = tmp_path / "links"
    place.mkdir()
    links = board.Links(dated.parent, place)
    links.refresh()
    found = {
        str(one.relative_to(place)): one.readlink()
        for one in place.glob("*/**/*")
        if one.is_symlink()
    }
    assert len(set(found.values())) == len(found) == 4
    assert {own.absolute(), group.absolute()} <= set(found.values())
    assert not [one for run in found.values() for one in run.rglob("*") if one.is_symlink()]


def test_a_system_without_links_shows_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.create("seed: 0\n", model="m", data="d", name="first")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held by the client")

    places: list[Path] = []
    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    monkeypatch.setattr(board, "serve", lambda place, words: places.append(place) or 0)
    assert call() == 0
    assert places == [Path("runs")]


@pytest.mark.slow
def test_tensorboard_shows_short_names(tmp_path: Path) -> None:
    when = datetime(2026, 11, 28, 1, 55, 48)
    run = folder.create("seed: 0\n", model="m", data="d", root=tmp_path, now=when)
    events = EventFile(run.path, first_step=0)
    events.add(1, scalar("loss/generator", 0.5))
    events.close()
    command = [sys.executable, "-W", "ignore", "-m", "gan_cli", "board", str(tmp_path)]
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = next(
            found[0] for line in process.stderr if (found := re.search(r"http://\S+:\d+", line))
        )
        shown, deadline = [], time.monotonic() + 60
        opener = build_opener(ProxyHandler({}))
        while not shown and time.monotonic() < deadline:
            shown = json.load(opener.open(f"{address}/data/runs", timeout=60))
            time.sleep(0.2)
        assert shown == ["m-d/1128-0155"]
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.slow
def test_a_port_in_use_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("localhost", 0)) as taken:
        words = [str(tmp_path), "--port", str(taken.getsockname()[1])]
        module = [sys.executable, "-m", "gan_cli.commands.board"]
        done = subprocess.run([*module, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "already in use" in done.stderr
    assert call(str(tmp_path), "--port", "65536") == 2
    assert "65536: a whole number from 0 to 65535 is required" in capsys.readouterr().err
