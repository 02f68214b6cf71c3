"""How far the run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.console import FILE_ONLY, console, on_terminal
from gan_cli.formatting import show_duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


def remaining(steps: int, steps_per_second: float, seconds: float | None = None) -> float:
    """Seconds until `steps` are done or `seconds` have passed, whichever comes first."""
    needed = steps / steps_per_second if steps_per_second > 0 else math.inf
    return needed if seconds is None else max(min(needed, seconds), 0)


def announce(
    step: int,
    total: int,
    paces: Sequence[tuple[int, float]],
    seconds_left: float | None = None,
    max_seconds: float | None = None,
    resumed: bool = False,
) -> list[str]:
    """The estimate after a short measurement, and a line for a `max_time` that ends it sooner.

    Args:
        step: where the run is.
        total: where it ends.
        paces: steps per second as measured, and the step until which each holds; the last of these
            steps is the end, or one from which on other updates are made.
        seconds_left: until `max_seconds`, the longest that this command may take, are over.
        max_seconds: None where there is no such limit.
        resumed: whether the run went on from an earlier one.
    """
    first, end = step if resumed else 0, paces[-1][0]
    needed = sum(remaining(steps, pace) for steps, pace in _lengths(first, paces))
    what = f"for {'the remaining ' if resumed else ''}{end - first:,} steps"
    if end < total:
        what = f"to step {end:,}, where other updates begin"
    pace = paces[0][1] if len(paces) == 1 else (end - first) / needed
    lines = [f"about {show_duration(_round(needed))} {what} ({_rate(pace)})"]
    if seconds_left is not None and max_seconds is not None:
        reached = _reached(step, paces, max(seconds_left, 0))
        if reached < end:
            near = f"{_leading(round(reached)):,}"
            lines.append(f"max_time = {show_duration(max_seconds)} stops it near step {near}")
    return lines


def stretches(paces: Sequence[tuple[int, float]]) -> list[str]:
    """The time of each stretch of a run in words; `paces` as in `announce`, from step 0."""
    lines, begin = [], 0
    for until, pace in paces:
        duration = show_duration(_round(remaining(until - begin, pace)))
        lines.append(f"steps {begin:,} to {until:,}: about {duration} ({_rate(pace)})")
        begin = until
    return lines


def _lengths(step: int, paces: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """The number of steps of each stretch after `step`, with its pace."""
    for until, pace in paces:
        yield until - step, pace
        step = until


def _reached(step: int, paces: Sequence[tuple[int, float]], seconds: float) -> float:
    """The step after so many seconds from `step`, at most the end of the last stretch."""
    for length, pace in _lengths(step, paces):
        if seconds * pace < length:
            return step + seconds * pace
        step += length
        seconds -= remaining(length, pace)
    return step


def _rate(steps_per_second: float) -> str:
    if 0 < steps_per_second < 1:
        return f"{show_duration(1 / steps_per_second)} per step"
    return f"{_leading(steps_per_second):,} steps/s"


def _leading(number: float) -> int | float:
    """`number` to its two leading digits; a fraction below ten with one decimal."""
    if number < 9.95:
        return round(number, 1)
    unit = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return round(number / unit) * unit


def _round(seconds: float) -> float:
    """As exact as the measurement: to about a twentieth, in units that people use."""
    for above, unit in ((86400, 3600), (7200, 600), (1800, 300), (600, 60), (120, 30), (30, 5)):
        if seconds >= above:
            return round(seconds / unit) * unit
    return max(round(seconds), 1)


log = logging.getLogger(__name__)

SHORT = {"discriminator": "D", "generator": "G"}
REDRAW = 0.5  # seconds between looks of the bar; more often would cost the training
BAR = 10  # columns that are left to the bar itself on a narrow terminal
FIRST_LINES = 3  # written as they come
LINE_EVERY = 10.0  # seconds between lines after those; a sixtieth of the run's time if longer
SKIPPED = 1  # first steps, which make and compile what the others use
WARM_UP = 3.0  # seconds, and ...
WARM_UP_STEPS = 20  # ... steps to measure before the forecast, but ...
WARM_UP_MOST = 10.0  # ... not longer than these seconds


class Progress(Callback):
    """Shows step, losses, samples per second and time left, and says early how long it will take.

    Where a run changes its updates, the time to there is told, and the rest when it is known.

    Args:
        run: which it shows.
        clock: seconds, from anywhere.
    """

    def __init__(self, run: RunContext, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.max_seconds = run.total, run.settings.max_time
        self.clock, self._early, self._changes = clock, run.losses, run.changes
        self._bar: Bar | None = None
        self._losses, self._speed = "", ""

    def start(self, step: int) -> None:
        self._begun = self._redrawn = self.clock()
        self._step = step
        self._measure(self._begun, step)
        self._lines, self._lined_at = 0, self._begun
        if on_terminal():
            self._bar = _bar()
            self._bar.add_task("", total=self.total, right="")
            self._redraw(self._begun)
            self._bar.start()

    def _measure(self, now: float, step: int) -> None:
        """Begin to measure the pace of the updates from `step` on."""
        self._first, self._since, self._announced = step, now, False
        self._marks = deque([(now, step)], maxlen=60)  # a minute, second by second
        self._until = min((at for at in self._changes if at > step), default=self.total)

    def stepped(self, step: int) -> None:
        now = self.clock()
        self._step = step
        if self._until <= step < self.total:
            self._measure(now, step)
        elif step - self._first <= SKIPPED:
            self._marks[0] = (now, step)
        elif now - self._marks[-1][0] >= 1:
            self._marks.append((now, step))
        if not self._announced and step > self._marks[0][1]:
            self._announce(now)
        if self._bar is not None and now - self._redrawn >= REDRAW:
            self._redraw(now)

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        self._losses, self._early = _losses(scalars), None
        speed = scalars.get("speed/images_per_second")
        self._speed = "" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f} samples/s"
        now = self.clock()
        pause = max(LINE_EVERY, (now - self._begun) / 60)
        if step < self.total and (self._lines < FIRST_LINES or now - self._lined_at >= pause):
            self._line(now, self._left(now))

    def end(self, step: int, status: str) -> None:
        """Take the bar away; how the last point was is always written."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._losses:
            self._line(now := self.clock(), f"{show_duration(now - self._begun)} in all")

    def _announce(self, now: float) -> None:
        passed = now - self._since
        steps = self._step - self._marks[0][1]
        enough = passed >= WARM_UP and steps >= WARM_UP_STEPS
        if self._step >= self.total or not (enough or passed >= WARM_UP_MOST):
            return
        self._announced = True
        limit = self.max_seconds
        for line in announce(
            self._step,
            self.total,
            [(self._until, steps / (now - self._marks[0][0]))],
            seconds_left=None if limit is None else self._begun + limit - now,
            max_seconds=limit,
            resumed=self._first > 0,
        ):
            log.info(line)

    def _left(self, now: float) -> str:
        time_before, step_before = self._marks[0]
        if self._step <= step_before or now <= time_before:
            return ""
        limit = None if self.max_seconds is None else self._begun + self.max_seconds - now
        rate = (self._step - step_before) / (now - time_before)
        needed = remaining(self._until - self._step, rate)
        left = remaining(self._until - self._step, rate, limit)
        end = f"to step {self._until:,}" if left == needed and self._until < self.total else "left"
        return f"{show_duration(left)} {end}"

    def _where(self) -> str:
        return f"step {self._step:,}/{self.total:,}"

    def _line(self, now: float, ending: str) -> None:
        self._lines, self._lined_at = self._lines + 1, now
        parts = (self._where(), self._losses, self._speed, ending)
        # Where there is a bar, the screen says it all the time; the log file is for later.
        log.info("  ".join(p for p in parts if p), extra=FILE_ONLY if self._bar else None)

    def _redraw(self, now: float) -> None:
        assert self._bar is not None
        self._redrawn = now
        if self._early is not None:  # before the first point of the curves
            self._losses = _losses(self._early())
        where = f"{100 * self._step // max(self.total, 1)}% {self._where()}"
        room = console().width - len(where) - BAR - 2
        right = fit([self._losses, self._speed, self._left(now)], room)
        task = self._bar.task_ids[0]
        self._bar.update(task, description=where, completed=self._step, right=right, refresh=True)


def fit(parts: list[str], room: int) -> str:
    """What of losses, speed and time left fits into `room` columns; time left stays longest."""
    for kept in (parts, [parts[0], parts[2]], parts[2:]):
        text = "  ".join(part for part in kept if part)
        if len(text) <= room:
            return text
    return ""


def _losses(scalars: Mapping[str, float]) -> str:
    return "  ".join(
        f"{_short(name)} {value:#.4g}".rstrip(".")  # always as wide, or the bar would twitch
        for name, value in scalars.items()
        if name.startswith("loss/")
    )


def _short(tag: str) -> str:
    """The loss of "loss/discriminator_penalty" is called "D penalty"."""
    first, *rest = tag.removeprefix("loss/").split("_")
    return " ".join([SHORT.get(first, first), *rest])


def _bar() -> Bar:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    # Drawn by the training's own thread: another one would fight it for the interpreter.
    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[right]}", markup=False),
        console=console(),
        transient=True,
        auto_refresh=False,
        expand=True,
    )
