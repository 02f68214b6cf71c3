"""What is shown without a terminal, by a clock of our own, and on a real (pseudo-)terminal."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from contexts import context

from gan_cli.callbacks.progress import Progress, fit


class Clock:
    """Seconds as the test wants them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def drive(
    progress: Progress, clock: Clock, steps: range, seconds: float, log_every: int = 10
) -> None:
    for step in steps:
        clock.now += seconds
        progress.stepped(step)
        if step % log_every == 0:
            losses = {"loss/discriminator": 1.25, "loss/generator_penalty": -0.5, "output/real": 3}
            progress.logged(step, {**losses, "speed/images_per_second": 1234.5}, {})


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("gan_cli.callbacks.progress.on_terminal", lambda: False)
    return caplog.messages


@pytest.fixture
def clock() -> Clock:
    return Clock()


def steps_of(lines: list[str]) -> list[int]:
    found = [re.match(r"step ([\d,]+)/", line) for line in lines]
    return [int(match[1].replace(",", "")) for match in found if match]


def test_a_line_says_step_losses_speed_and_time_left(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(total=2000), clock)
    progress.start(0)
    drive(progress, clock, range(1, 1001), 0.001, log_every=1000)
    assert caplog.messages == [
        "step 1,000/2,000  D 1.250  G penalty -0.5000  1,234 samples/s  1 s left"
    ]


def test_lines_come_at_once_at_first_and_then_at_a_pace_one_can_read(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(total=100_000), clock)
    progress.start(0)
    drive(progress, clock, range(1, 100_001), 0.1)  # a point each second, 2 h 47 min in all
    progress.end(100_000, "finished")
    steps = steps_of(caplog.messages)
    assert steps[:3] == [10, 20, 30]
    gaps = [(b - a) / 10 for a, b in pairwise(steps[2:-1])]  # in seconds
    assert min(gaps) >= 10
    assert gaps == sorted(gaps), "ever more seldom"
    assert len(steps) < 250
    assert caplog.messages[-1].startswith("step 100,000/100,000  ")
    assert caplog.messages[-1].endswith("  2 h 47 min in all")


def test_a_run_without_points_ends_without_a_line(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(total=5), clock)
    progress.start(0)
    drive(progress, clock, range(1, 5), 0.1)
    progress.end(4, "interrupted")
    assert caplog.messages == []


def test_end_without_start_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    Progress(context(total=5)).end(0, "failed")
    assert caplog.messages == []


def announced(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith(("about", "max_time"))]


def test_the_forecast_leaves_the_slow_first_step_out(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(settings={"max_time": 600.0}, total=20_000, device="cuda"), clock)
    progress.start(0)
    drive(progress, clock, range(1, 2), 2.5)
    drive(progress, clock, range(2, 5000), 0.05)
    assert announced(caplog) == [
        "about 17 min for 20,000 steps (20 steps/s)",
        "max_time = 10 min stops it near step 12,000",
    ]


@pytest.mark.parametrize(
    ("seconds", "at"),
    [
        (0.001, 3.0),  # fast: three seconds
        (0.5, 10.0),  # slow: not all twenty steps, but ten seconds
        (20.0, 40.0),  # slower still: the second step
    ],
)
def test_the_forecast_comes_early(
    seconds: float,
    at: float,
    caplog: pytest.LogCaptureFixture,
    lines: list[str],
    clock: Clock,
) -> None:
    progress = Progress(context(total=10**6), clock)
    progress.start(0)
    for step in range(1, 10**5):
        drive(progress, clock, range(step, step + 1), seconds, log_every=10**6)
        if announced(caplog):
            break
    assert clock.now - 1000 == pytest.approx(at, abs=0.5)


def test_a_run_that_is_over_sooner_has_no_forecast(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(total=20), clock)
    progress.start(0)
    drive(progress, clock, range(1, 21), 0.2)
    assert announced(caplog) == []


def test_a_resumed_run_measures_its_own_steps(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(total=20_000), clock)
    progress.start(10_000)
    drive(progress, clock, range(10_001, 10_100), 0.1)
    (line,) = announced(caplog)
    assert re.fullmatch(r"about 17 min for the remaining 9,9\d\d steps \(10 steps/s\)", line)
    assert "16 min 39 s left" in caplog.messages[0]


def test_time_left_follows_a_change_of_pace(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(total=100_000), clock)
    progress.start(0)
    drive(progress, clock, range(1, 10_001), 0.01)
    drive(progress, clock, range(10_001, 10_501), 1.0)  # now a second per step
    left = caplog.messages[-1].rpartition("samples/s  ")[2]
    assert left == "1 d 1 h left"  # 89,500 seconds


def test_the_time_is_told_to_where_the_updates_change(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    """Steps of a tenth of a second, then of two: neither says how long the other takes."""
    progress = Progress(context(total=400, changes=[300]), clock)
    progress.start(0)
    drive(progress, clock, range(1, 301), 0.1, log_every=100)
    assert caplog.messages[0] == "about 30 s to step 300, where other updates begin (10 steps/s)"
    assert caplog.messages[1].endswith("  20 s to step 300")
    drive(progress, clock, range(301, 351), 2.0, log_every=50)
    assert announced(caplog)[1:] == ["about 3 min for the remaining 95 steps (2 s per step)"]
    assert caplog.messages[-1].endswith("  1 min 40 s left")


def test_a_limit_comes_before_the_updates_change(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    run = context(settings={"max_time": 25.0}, total=400, changes=[300])
    progress = Progress(run, clock)
    progress.start(0)
    drive(progress, clock, range(1, 101), 0.1, log_every=100)
    assert caplog.messages[-1].endswith("  15 s left")


def test_time_left_knows_the_limit(
    caplog: pytest.LogCaptureFixture, lines: list[str], clock: Clock
) -> None:
    progress = Progress(context(settings={"max_time": 60.0}, total=100_000), clock)
    progress.start(0)
    drive(progress, clock, range(1, 101), 0.1, log_every=100)
    assert caplog.messages[-1].endswith("50 s left")


def test_a_narrow_terminal_gets_the_most_important() -> None:
    parts = ["D 1.25  G 0.70", "1,234 samples/s", "5 min left"]
    assert fit(parts, 60) == "D 1.25  G 0.70  1,234 samples/s  5 min left"
    assert fit(parts, 41) == "D 1.25  G 0.70  5 min left"
    assert fit(parts, 25) == "5 min left"
    assert fit(parts, 9) == ""
    assert fit(["", "", "5 min left"], 60) == "5 min left"


def test_the_bar_has_a_percentage_and_losses_before_the_first_point(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    drawn: list[tuple[str, str]] = []

    class Bar:
        task_ids = (0,)

        def update(self, task: int, description: str, right: str, **more: object) -> None:
            drawn.append((description, right))

        add_task = start = stop = lambda *_, **__: None

    monkeypatch.setattr("gan_cli.callbacks.progress.on_terminal", lambda: True)
    monkeypatch.setattr("gan_cli.callbacks.progress._bar", Bar)
    early = {"loss/discriminator": 1.5, "output/real": 3.0}
    progress = Progress(context(total=200, losses=lambda: early), clock)
    progress.start(0)
    drive(progress, clock, range(1, 4), 0.6, log_every=3)
    assert drawn[1] == ("0% step 1/200", "D 1.500")
    assert drawn[2][0] == "1% step 2/200"
    drive(progress, clock, range(4, 5), 0.6)
    assert drawn[-1][0] == "2% step 4/200"
    assert drawn[-1][1].startswith("D 1.250  G penalty -0.5000"), "the point's, once there is one"


DRIVER = f"import sys; sys.path.append({str(Path(__file__).parent)!r})"
DRIVER += """
import logging, sys, time
from pathlib import Path
from contexts import context
from gan_cli.callbacks.progress import Progress
from gan_cli.console import setup_logging

setup_logging(Path(sys.argv[1]))
log = logging.getLogger("gan_cli.test")
progress = Progress(context())
progress.start(0)
for step in range(1, 31):
    time.sleep(0.06)
    progress.stepped(step)
    if step % 5 == 0:
        progress.logged(step, {"loss/generator": 0.5, "speed/images_per_second": 12.0}, {})
    if step == 20:
        log.info("a [message] " + "x" * 150)
        time.sleep(float(sys.argv[2]))
progress.end(30, "interrupted")
log.info("after the bar")
"""


def arguments(log: Path, pause: float = 0.0) -> list[str]:
    return [sys.executable, "-c", DRIVER, str(log), str(pause)]


@pytest.mark.slow
def test_without_a_terminal_there_are_plain_lines_only(tmp_path: Path) -> None:
    done = subprocess.run(
        arguments(tmp_path / "log"), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert steps_of(lines) == [5, 10, 15, 30]
    assert "a [message] " + "x" * 150 in lines, "neither wrapped nor taken for markup"
    assert lines[-1] == "after the bar"
    assert "\x1b" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
@pytest.mark.slow
def test_on_a_terminal_there_is_one_bar_and_the_lines_are_in_the_log(tmp_path: Path) -> None:
    import pty

    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24"}
    process = subprocess.Popen(
        arguments(tmp_path / "log"), stdout=side, stderr=side, stdin=side, env=environment
    )
    os.close(side)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # how Linux says that nobody holds the other side any more
            break
        if not part:
            break
        seen += part
    os.close(main)
    assert process.wait(timeout=60) == 0
    raw = seen.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
    assert re.search(r"step \d+/100 ━+.* G 0\.5000  12 samples/s  \d", text)
    assert "x" * 150 in text.replace("\r\n", "\n"), "long lines are left to the terminal"
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l"), "the cursor is there again"
    # Only how it ended stays; the bar was wiped before that, and never drawn afterwards.
    tail = text[text.rindex("step 30/100") :]
    assert re.fullmatch(
        r"step 30/100  G 0\.5000  12 samples/s  [\d.]+ s in all\r\nafter the bar\r\n", tail
    )
    written = (tmp_path / "log").read_text()
    assert steps_of(re.findall(r"INFO +(step .*)", written)) == [5, 10, 15, 30]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_in_tmux_the_bar_stays_below_the_messages_and_goes_in_the_end(tmp_path: Path) -> None:
    def tmux(*words: str) -> str:
        command = ["tmux", "-S", "socket", "-f", "/dev/null", *words]
        # A short relative name: sockets may not have long ones.
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout

    def screen_with(pattern: str) -> list[str]:
        shown, deadline = [], time.monotonic() + 60
        while time.monotonic() < deadline:
            shown = [line for line in tmux("capture-pane", "-p").splitlines() if line]
            if re.search(pattern, "\n".join(shown)):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{pattern} was never shown:\n" + "\n".join(shown))

    script = tmp_path / "run.sh"
    python, _, code, log, _ = arguments(tmp_path / "log")
    (tmp_path / "driver.py").write_text(code)
    script.write_text(f"{python} {tmp_path / 'driver.py'} {log} 4; exec sleep 100\n")
    tmux("new-session", "-d", "-x", "80", "-y", "20", f"sh {script}")
    try:
        shown = screen_with(r"a \[message\](.|\n)*step \d+/100 ━")
        assert re.match(r"(1|2)\d% step (1|2)\d/100 ━.*left$", shown[-1]), shown
        assert sum("━" in line for line in shown) == 1, "one bar"
        shown = screen_with("after the bar")
        assert not any("━" in line for line in shown), "it is gone"
        assert shown[0].startswith("a [message] xxx"), "nothing was left behind"
    finally:
        tmux("kill-server")
