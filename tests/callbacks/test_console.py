"""Messages and log files, run after run in one process."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gan_cli.console import (
    FILE_ONLY,
    FileHandler,
    ScreenHandler,
    clean,
    clean_console,
    estimated,
    ignore,
    setup_logging,
)
from gan_cli.errors import UserError
from gan_cli.exits import say

log = logging.getLogger("gan_cli.tests.console")


def ours() -> list[logging.Handler]:
    handlers = logging.getLogger().handlers
    return [h for h in handlers if isinstance(h, ScreenHandler | FileHandler)]


def test_each_run_has_its_own_file_and_each_message_is_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        setup_logging(tmp_path / name)
        log.info("run %s", name)
    setup_logging(None)
    log.info("between runs")
    for name in "abc":
        (line,) = (tmp_path / name).read_text().splitlines()
        assert line.endswith(f"INFO    run {name}")
    assert capsys.readouterr().err.splitlines() == ["run a", "run b", "run c", "between runs"]
    assert len(ours()) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_no_file_stays_open(tmp_path: Path) -> None:
    def still_open() -> list[str]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return [name for name in map(os.readlink, links) if name.startswith(str(tmp_path))]

    for number in range(5):
        setup_logging(tmp_path / str(number))
        assert still_open() == [str(tmp_path / str(number))]
    setup_logging(None)
    assert still_open() == []


def test_a_resumed_run_goes_on_in_its_file(tmp_path: Path) -> None:
    for part in ("first", "second"):
        setup_logging(tmp_path / "train.log")
        log.info(part)
    setup_logging(None)
    assert len((tmp_path / "train.log").read_text().splitlines()) == 2


def test_the_screen_gets_one_line_and_the_file_the_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logging(tmp_path / "train.log")
    try:
        raise ValueError("deep inside")
    except ValueError:
        log.exception("it failed: %s", "why")
    log.warning("odd")
    log.info("for later", extra=FILE_ONLY)
    log.debug("never")
    setup_logging(None)
    assert capsys.readouterr().err.splitlines() == ["error: it failed: why", "warning: odd"]
    written = (tmp_path / "train.log").read_text()
    assert "Traceback (most recent call last)" in written
    assert "ValueError: deep inside" in written
    assert "for later" in written
    assert "never" not in written


def test_hydra_setting_up_its_own_logging_between_runs_does_no_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from logging.config import dictConfig

    before = [h for h in logging.getLogger().handlers if h not in ours()]
    for name in "ab":
        setup_logging(tmp_path / name)
        dictConfig({"version": 1, "disable_existing_loggers": False})  # closes all handlers
        log.info("run %s", name)
    setup_logging(None)
    assert [h for h in before if h not in logging.getLogger().handlers] == []
    assert capsys.readouterr().err.splitlines() == ["run a", "run b"]
    assert (tmp_path / "a").read_text().count("run") == 1


def test_a_log_that_cannot_be_opened_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no/train\.log: cannot be written"):
        setup_logging(tmp_path / "no" / "train.log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told_once_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(Path("/dev/full"))
    log.info("one")
    log.info("two")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:1] == ["one"]
    assert lines[1].startswith("warning: /dev/full: cannot be written: No space left")
    assert lines[2:] == ["two"]
    setup_logging(None)


HOSTILE = "\x1b]0;owned\x07\x1b[2Jx\rerror: \x9b31m\u202egnp\ud800"
SHOWN = r"\x1b]0;owned\x07\x1b[2Jx\rerror: \x9b31m\u202egnp\ud800"


def test_text_of_others_cannot_command_a_terminal() -> None:
    assert clean(HOSTILE) == SHOWN
    assert clean("tab\tnew\nline, ünïcödé 漢字 🙂") == "tab\tnew\nline, ünïcödé 漢字 🙂"


def test_messages_are_clean_on_the_screen_and_in_the_log(tmp_path: Path, capsys) -> None:
    record = log.makeRecord(log.name, logging.WARNING, "", 0, HOSTILE, (), None)
    for handler in (ScreenHandler(), FileHandler(tmp_path / "train.log")):
        handler.handle(record)  # not by logging it: pytest would keep what it cannot send
        handler.close()
    say(f"error: {HOSTILE}")
    assert capsys.readouterr().err == f"warning: {SHOWN}\nerror: {SHOWN}\n"
    assert (tmp_path / "train.log").read_text(encoding="utf-8").endswith(f"{SHOWN}\n")


def test_tables_and_live_displays_keep_their_colours_and_nobody_else_s() -> None:
    file = io.StringIO()
    made = clean_console(file=file, force_terminal=True, width=200)
    table = Table("a")
    table.add_row(Text(HOSTILE, style="red"))
    made.print(table)
    made.print(HOSTILE, markup=False)
    with Live(Text(HOSTILE), console=made, auto_refresh=False) as live:
        live.update(Text(f"{HOSTILE}!"), refresh=True)
    out = file.getvalue()
    told = SHOWN.replace(r"\x07", "").replace(r"\r", "")  # which rich leaves out itself
    assert out.count(told) >= 3
    assert "\x1b[31m" in out  # the table's red
    for part in ("\x1b]0", "\x1b[2J", "\x9b", "\u202e", "\ud800", "\x07"):
        assert part not in out


def test_nothing_heavy_is_imported_for_it() -> None:
    import subprocess

    code = "import sys, gan_cli.console as c; c.setup_logging(None); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_long_job_says_once_how_long_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]

    def work(total: int | None, seconds: float, advance=ignore, advice: str = "") -> list[str]:
        caplog.clear()
        step = estimated("job", total, advance, advice, lambda: now[0])
        for _ in range(20):
            now[0] += seconds
            step(1)
        return caplog.messages

    caplog.set_level(logging.INFO)
    assert work(100, 1.0) == ["job: about 1 min 37 s left"]
    assert work(100, 1.0, advice="take fewer") == ["job: about 1 min 37 s left; take fewer"]
    assert work(20, 0.9, advice="take fewer") == ["job: about 14 s left"]
    assert work(20, 0.1) == [], "it is soon done"
    assert work(None, 5.0) == [], "nobody knows"
    assert work(1000, 1.0, advance=lambda count: None) == [], "a bar says it"
    now[0] += 30  # between the construction and the first unit, as for loading

    def slow_start(work: Callable[[int], None]) -> None:
        for seconds in (40.0, 1.0, 1.0):
            now[0] += seconds
            work(1)

    caplog.clear()
    slow_start(estimated("job", 103, ignore, clock=lambda: now[0]))
    assert caplog.messages == ["job: about 1 min 41 s left"], "the first unit is no measure"
    some = work(100, 1.0, advance=lambda count: None, advice="take fewer")
    assert some == ["job: about 1 min 37 s left; take fewer"]
