"""Sample grids of several configurations, from the same noise, at the same steps."""

from __future__ import annotations

import base64
import io
import re
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_cli import foreign
from gan_cli.errors import CheckpointError
from gan_cli.reporting.configurations import Configuration
from gan_cli.runs.record import Record

NAME = re.compile(r"(?P<name>.+)-(?P<step>\d{8})\.png")
PREFERRED = ("fixed", "points")  # of fixed latents; of points, samples beside the truth
MOST_STEPS, MOST_ROWS = 4, 12
MOST_BYTES = 12_000_000  # of all pictures; then fewer steps are shown


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other."""

    name: str
    seed: int | None
    steps: list[int]
    rows: list[tuple[str, list[Path | None]]]  # label, one picture a step
    left_out: int  # configurations beyond MOST_ROWS


def gallery(found: Sequence[Configuration]) -> Gallery | None:
    """The pictures of the seed that most configurations share; None where there are none.

    Latents are a function of the seed, so pictures of one seed and prior are of the same noise.
    """
    by_seed = {one.label: _by_seed(one) for one in found}
    seeds = Counter(seed for some in by_seed.values() for seed in some)
    counted = Counter(run.record.seed for one in found for run in one.counted)
    if not seeds:
        return None
    seed = max(sorted(seeds, key=str), key=lambda one: (seeds[one], counted[one]))
    have = {label: some[seed] for label, some in by_seed.items() if seed in some}
    names = [name for some in have.values() for name in some if name != "real"]
    ranked = [*(name for name in PREFERRED if name in names), *sorted(set(names))]
    name = max(ranked, key=names.count, default=None)
    if name is None:
        return None
    with_it = [(label, some[name]) for label, some in have.items() if name in some]
    shown = with_it[:MOST_ROWS]
    steps = _steps([set(some) for _, some in shown])
    while (
        len(steps) > 1
        and sum(_size(some[step]) or 0 for _, some in shown for step in steps if step in some)
        > MOST_BYTES
    ):
        steps = steps[1:]
    rows = [(label, [some.get(step) for step in steps]) for label, some in shown]
    return Gallery(name, seed, steps, rows, len(with_it) - len(shown))


def _by_seed(one: Configuration) -> dict[int | None, dict[str, dict[int, Path]]]:
    """The pictures of each seed, of a run that counts where there is one."""
    ordered = sorted(one.outcomes, key=lambda outcome: outcome.counts)
    return {outcome.record.seed: some for outcome in ordered if (some := pictures(outcome.record))}


def pictures(record: Record) -> dict[str, dict[int, Path]]:
    """A run's pictures by name and step; never through a link, which may lead out of the run."""
    found: dict[str, dict[int, Path]] = {}
    folder = record.folder.samples
    if folder.is_symlink():
        return found
    for path in sorted(folder.glob("*.png")):
        match = NAME.fullmatch(path.name)
        if match and _size(path) is not None:
            found.setdefault(match["name"], {})[int(match["step"])] = path
    return found


def _steps(have: Sequence[set[int]]) -> list[int]:
    """Steps that all have, spread out evenly in number, the last among them."""
    common = sorted(set.intersection(*have)) or sorted(set.union(*have))
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
