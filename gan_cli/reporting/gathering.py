"""Which run folders are meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gan_cli.errors import CheckpointError
from gan_cli.runs import finding
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.record import Record, read

MAGIC = "*?["


class Gatherer:
    """Finds runs and reads them; a run whose files are as they were is not read again."""

    def __init__(self, places: Sequence[str]) -> None:
        self.places = places or [str(finding.DEFAULT_ROOT)]
        self._read: dict[Path, tuple[object, Record]] = {}

    def __call__(self) -> list[Record]:
        """All runs at the places, in the order of their starts within each.

        Raises:
            CheckpointError: a place holds none.
        """
        folders = dict.fromkeys(path for place in self.places for path in runs_at(place))
        return [self._record(path) for path in folders]

    def _record(self, path: Path) -> Record:
        folder = RunFolder(path)
        stamp = _stamp(folder)
        if path not in self._read or self._read[path][0] != stamp:
            self._read[path] = stamp, read(folder)
        return self._read[path][1]


def _stamp(folder: RunFolder) -> object:
    stamps = []
    for path in (folder.config, folder.status, folder.metrics, folder.evaluations):
        try:
            found = path.stat()
            stamps.append((found.st_mtime_ns, found.st_size))
        except OSError:
            stamps.append(None)
    return (*stamps, folder.in_use())


def runs_at(place: str) -> list[Path]:
    """The runs that a run folder, a folder of runs or a glob means.

    Raises:
        CheckpointError: there are none; the message names the nearest.
    """
    path = Path(place).expanduser()
    if not path.exists() and any(sign in place for sign in MAGIC):
        found = [run for match in sorted(matches(path)) for run in _inside(Path(match))]
        if not found:
            raise CheckpointError(f"{place}: matches no run folder")
        return found
    return _inside(path) or [finding.locate(path)]


def _inside(path: Path) -> list[Path]:
    return [path] if finding.is_run(path) else finding.below(path)


def matches(pattern: Path) -> Iterable[Path]:
    """What a glob finds."""
    root = Path(pattern.anchor)
    return root.glob(str(pattern.relative_to(root)))
