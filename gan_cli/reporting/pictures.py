"""Sample grids of several configurations, from the same noise, at the same steps."""

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
from gan_cli.reporting.findings import ConfigurationRow
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
    left_out: int = 0  # configurations beyond MOST_ROWS


def gallery(rows: Sequence[ConfigurationRow]) -> Gallery | None:
    """The pictures of the seed that most configurations share; None where there are none.

    Latents are a function of the seed, so pictures of one seed and prior are of the same noise.
    """
    kept = [(row, _by_seed(row)) for row in rows]
    seeds = Counter(seed for _, records in kept for seed in records)
    ended = Counter(o.record.seed for row in rows for o in row.counted)
    if not seeds:
        return None
    seed = max(sorted(seeds, key=str), key=lambda one: (seeds[one], ended[one]))
    found = [(row.label, pictures(some[seed])) for row, some in kept if seed in some]
    name = _name([some for _, some in found])
    if name is None:
        return None
    with_it = [(label, some[name]) for label, some in found if name in some]
    shown = with_it[:MOST_ROWS]
    steps = _steps([set(some) for _, some in shown])
    lines: list[tuple[str, list[Path | None]]] = []
    for label, some in shown:
        lines.append((label, [some.get(step) for step in steps]))
    return _fitted(Gallery(name, seed, steps, lines, len(with_it) - len(shown)))


def _by_seed(row: ConfigurationRow) -> dict[int | None, Record]:
    """The run of each seed that has pictures; those that count go before the others."""
    ordered = sorted(row.outcomes, key=lambda outcome: outcome.counts)
    return {o.record.seed: o.record for o in ordered if pictures(o.record)}


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


def _name(found: Sequence[Mapping[str, object]]) -> str | None:
    """The kind of picture that most have."""
    names = [name for some in found for name in some if name != "real"]
    ranked = [*(name for name in PREFERRED if name in names), *sorted(set(names))]
    return max(ranked, key=names.count, default=None)


def _steps(have: Sequence[set[int]]) -> list[int]:
    """Steps that all have, spread out evenly in number, the last among them."""
    common = sorted(set.intersection(*have)) or sorted(set.union(*have))
    after = [step for step in common if step > 0] or common
    if len(after) <= MOST_STEPS:
        return after
    last = len(after) - 1
    return [after[round((i + 1) * last / MOST_STEPS)] for i in range(MOST_STEPS)]


def _fitted(made: Gallery) -> Gallery:
    """The gallery with as many of its last steps as fit into a page."""
    first = 0
    while first < len(made.steps) - 1:
        paths = [path for _, some in made.rows for path in some[first:] if path]
        if sum(_size(path) or 0 for path in paths) <= MOST_BYTES:
            break
        first += 1
    lines = [(label, some[first:]) for label, some in made.rows]
    return Gallery(made.name, made.seed, made.steps[first:], lines, made.left_out)


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
