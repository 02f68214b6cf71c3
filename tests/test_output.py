"""What commands write: to a stream of any encoding, and to one that nobody reads any more."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import write_run

from gan_cli.commands import (
    edit,
    evaluate,
    interpolate,
    neighbors,
    report,
    runs,
    sample,
    train,
    traverse,
    tune,
)
from gan_cli.exits import program

MAINS: dict[str, Callable[[], None]] = {
    "gan-train": train.main,
    "gan-sample": sample.main,
    "gan-interpolate": interpolate.main,
    "gan-traverse": traverse.main,
    "gan-edit": edit.main,
    "gan-neighbors": neighbors.main,
    "gan-eval": evaluate.main,
    "gan-report": report.main,
    "gan-watch": report.watch,
    "gan-runs": runs.main,
    "gan-tune": tune.main,
}
ODD = "d\u00fc \u2192 \u6570 \udcff"  # of which ASCII has little, and no encoding the last sign


def call(
    monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], *words: str, encoding: str
) -> tuple[int, str]:
    """The exit status of a command, and what it writes, in an encoding."""
    screens = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in "oe"]
    monkeypatch.setattr(sys, "argv", ["gan", *words])
    monkeypatch.setattr(sys, "stdout", screens[0])
    monkeypatch.setattr(sys, "stderr", screens[1])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    written = [screen.detach().getvalue().decode(encoding) for screen in screens]  # type: ignore[attr-defined]
    return end.value.code, "".join(written)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("command", MAINS)
def test_faults_can_be_told_in_any_encoding(monkeypatch, tmp_path, command: str, encoding) -> None:
    monkeypatch.chdir(tmp_path)
    words = {"gan-train": [f"data.root={ODD}"], "gan-tune": [f"data.root={ODD}"]}
    status, said = call(monkeypatch, MAINS[command], *words.get(command, [ODD]), encoding=encoding)
    assert status == 2, said
    assert "Unicode" not in said
    assert "error: " in said


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("command", ["gan-report", "gan-watch", "gan-runs"])
def test_tables_can_be_shown_in_any_encoding(monkeypatch, tmp_path, command: str, encoding) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        error = f"no room for {ODD}"
        write_run(Path(f"runs/{ODD}{seed}"), "model=gan", seed=seed, status="failed", error=error)
        write_run(Path(f"runs/{seed}"), "model=gan", seed=seed)
    status, said = call(monkeypatch, MAINS[command], encoding=encoding)
    assert status == 0, said
    assert "error" not in said
    assert ("finished" if command == "gan-runs" else "2 + 2 failed") in said


def test_json_is_the_same_in_every_encoding(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/d\u00fc"), "model=gan", error="\u6570")
    told = [
        call(monkeypatch, report.main, "--json", encoding=encoding)
        for encoding in ("ascii", "cp1252", "utf-8")
    ]
    assert told[0] == told[1] == told[2]
    run = json.loads(told[0][1])[0]["configurations"][0]["runs"][0]
    assert (run["run"], run["error"]) == ("runs/d\u00fc", "\u6570")


def unread() -> io.TextIOWrapper:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", encoding="utf-8")


@pytest.mark.parametrize("command", MAINS)
def test_help_that_nobody_reads_to_its_end_is_no_fault(monkeypatch, capsys, command: str) -> None:
    with unread() as pipe:
        monkeypatch.setattr(sys, "argv", [command, "--help"])
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit):
            MAINS[command]()
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["--cfg job", "dry_run=true -m"])
def test_settings_that_nobody_reads_to_their_end_are_no_fault(
    monkeypatch, capsys, tmp_path, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["gan-train", *command.split(), "model=gan", "data=ring", "seed=1"]
    with unread() as pipe:
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as end:
            train.main()
        monkeypatch.undo()
    assert end.value.code == 1
    assert capsys.readouterr().err == ""


def test_files_are_written_whoever_reads_the_screen(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path(f"runs/{ODD}"), "model=gan")
    names = ["a.html", "a.csv", "a.tex", "a.json"]
    words = ["--out", names[0], "--csv", names[1], "--latex", names[2], "--json", names[3]]
    with unread() as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as end:
            report.main(words)
    assert end.value.code == 1
    assert all(Path(name).stat().st_size for name in names)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (["-u"], ["--help"]),
        ([], ["--help"]),
        pytest.param([], ["--info", "defaults", "model=gan"], marks=pytest.mark.slow),
    ],
    ids=["at once", "at the end", "by Hydra"],
)
def test_a_process_whose_reader_has_gone_ends_without_a_word(first: list, words: list) -> None:
    with unread() as pipe:
        done = subprocess.run(
            [sys.executable, *first, "-m", "gan_cli.commands.train", *words],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode in (0, 1)  # Hydra's logging does not tell


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full")
def test_output_that_cannot_be_written_is_told(monkeypatch, capsys) -> None:
    def work() -> int:
        print("figures")
        return 0

    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as end:
            program(work)
        monkeypatch.undo()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said == "error: the output cannot be written: No space left on device\n"


def test_a_command_whose_output_is_closed_does_its_work(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gan-train", "--help"])
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as end:
        train.main()
    sys.stdout.close()
    assert end.value.code == 0
