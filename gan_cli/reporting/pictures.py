"""Sample grids of runs, at the same steps, and real images beside them."""

from __future__ import annotations

import base64
import io
import re
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_cli import foreign
from gan_cli.errors import CheckpointError
from gan_cli.reporting.configurations import Configuration, RunOutcome
from gan_cli.runs.folder import FINISHED
from gan_cli.runs.record import Record

NAME = re.compile(r"(?P<name>.+)-(?P<step>\d{8})\.png")
PREFERRED = ("fixed", "points")  # of fixed latents; of points, samples beside the truth
REAL = "real"  # real images, drawn before training
MOST_RUNS, MOST_STEPS, MOST_ROWS = 4, 3, 12
MOST_BYTES = 6_000_000  # of the pictures of a gallery; then fewer are shown

Pictures = dict[str, dict[int, Path]]  # by name and step


@dataclass(frozen=True)
class Tile:
    """A picture, None where there is none, with what is below it."""

    path: Path | None
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other, a row for each configuration."""

    name: str
    rows: list[tuple[str, list[Tile]]]  # by label
    left_out: int  # configurations beyond MOST_ROWS
    step: int | None = None  # of all that have it
    real: Path | None = None
    seed: int | None = None  # of all, where they are of one

    @property
    def columns(self) -> int:
        """Pictures in the longest row."""
        return max(len(tiles) for _, tiles in self.rows)


def last_grids(found: Sequence[Configuration]) -> Gallery | None:
    """The last pictures of each run, at the same step where the finished runs share one.

    None where there are no pictures. Runs that have none at this step show their own last.
    """
    every = {one.label: _of_runs(one) for one in found}
    name = _most_common([some for runs in every.values() for _, some in runs])
    if name is None:
        return None
    shared = _shared(found, every, name)
    step = max(shared, default=None)
    rows, real = [], None
    for label, runs in every.items():
        tiles = []
        for run, some in runs:
            real = real or next(iter(some.get(REAL, {}).values()), None)
            if steps := some.get(name):
                at = step if step in steps else max(steps)
                tiles.append(Tile(steps[at], _caption(run, at, step)))
        if tiles:
            rows.append((label, tiles[:MOST_RUNS]))
    shown = _within(rows[:MOST_ROWS])
    return Gallery(name, shown, len(rows) - len(shown), step, real)


def earlier_grids(found: Sequence[Configuration], last: Gallery) -> Gallery | None:
    """Pictures before those of `last`, of the seed that most configurations share.

    Latents are a function of the seed, so pictures of one seed and prior are of the same noise.
    """
    seeds = Counter(seed for one in found for seed in {record.seed for record in one.records})
    counted = Counter(run.record.seed for one in found for run in one.counted)
    seed = max(sorted(seeds, key=str), key=lambda one: (seeds[one], counted[one]))
    have = {
        one.label: some[last.name]
        for one in found
        for run, some in reversed(_of_runs(one))
        if run.record.seed == seed and last.name in some
    }
    shown = {label: have[label] for label, _ in last.rows if label in have}
    steps = _steps([{s for s in some if s < (last.step or max(some))} for some in shown.values()])
    rows = [
        (label, [Tile(some.get(step), f"step {step:,}") for step in steps])
        for label, some in shown.items()
    ]
    return Gallery(last.name, _within(rows), 0, seed=seed) if steps else None


def _of_runs(one: Configuration) -> list[tuple[RunOutcome, Pictures]]:
    """The pictures of each run, of those that count first."""
    ordered = sorted(one.outcomes, key=lambda run: not run.counts)
    return [(run, some) for run in ordered if (some := pictures(run.record))]


def _most_common(have: Sequence[Pictures]) -> str | None:
    names = [name for some in have for name in some if name != REAL]
    ranked = [*(name for name in PREFERRED if name in names), *sorted(set(names))]
    return max(ranked, key=names.count, default=None)


def _shared(
    found: Sequence[Configuration],
    every: Mapping[str, Sequence[tuple[RunOutcome, Pictures]]],
    name: str,
) -> set[int]:
    """Steps after 0 that all finished runs have; all runs where none has finished."""
    runs = [
        (run.record.state == FINISHED, {step for step in some[name] if step > 0})
        for one in found
        for run, some in every[one.label]
        if name in some
    ]
    finished = [steps for done, steps in runs if done]
    return set.intersection(*(finished or [steps for _, steps in runs]))


def _caption(run: RunOutcome, step: int, shared: int | None) -> str:
    seed = "" if run.record.seed is None else f"seed {run.record.seed}"
    return ", ".join(filter(None, [seed, f"step {step:,}" if step != shared else ""]))


def _within(rows: list[tuple[str, list[Tile]]]) -> list[tuple[str, list[Tile]]]:
    """Rows of `MOST_BYTES`: fewer pictures in each, then fewer rows."""
    columns = max(len(tiles) for _, tiles in rows)
    while _bytes(rows) > MOST_BYTES and columns + len(rows) > 2:
        columns = max(1, columns - 1)
        rows = [(label, tiles[:columns]) for label, tiles in rows[: None if columns > 1 else -1]]
    return rows


def _bytes(rows: Sequence[tuple[str, Sequence[Tile]]]) -> int:
    return sum(_size(tile.path) or 0 for _, tiles in rows for tile in tiles if tile.path)


def pictures(record: Record) -> Pictures:
    """A run's pictures by name and step; never through a link, which may lead out of the run."""
    found: Pictures = {}
    folder = record.folder.samples
    if folder.is_symlink():
        return found
    for path in sorted(folder.glob("*.png")):
        match = NAME.fullmatch(path.name)
        if match and _size(path) is not None:
            found.setdefault(match["name"], {})[int(match["step"])] = path
    return found


def _steps(have: Sequence[set[int]]) -> list[int]:
    """Steps that all have, spread out evenly in number, without step 0 where there are others."""
    common = sorted(set.intersection(*have)) if have else []
    after = [step for step in common if step > 0] or common
    if len(after) <= MOST_STEPS:
        return after
    last = len(after) - 1
    return [after[round((i + 1) * last / MOST_STEPS)] for i in range(MOST_STEPS)]


def _size(path: Path) -> int | None:
    """Bytes of a regular file; None of a link, a pipe, or what was removed just now."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def data_uri(path: Path) -> str:
    """A PNG file as text that a page can hold; "" where it is no regular file or no such image."""
    from PIL import Image

    try:
        content = foreign.read_bytes(path, MOST_BYTES)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.verify()
    except (CheckpointError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
