"""samples/: the pictures of a run as PNG files."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray

from gan_cli.callbacks.callback import Callback
from gan_cli.errors import CheckpointError
from gan_cli.files import cannot_write
from gan_cli.formatting import counted
from gan_cli.images import read_png, write_gif, write_png

Draw = Callable[[int], Mapping[str, ndarray]]
log = logging.getLogger(__name__)


class Samples(Callback):
    """Writes `<name>-<step, 8 digits>.png` into `folder`, which it makes.

    Args:
        folder: where to.
        draw: makes the pictures of the step that a run goes on from, where some are damaged.

    Raises:
        UserError: (from any hook) a file cannot be written. `Callbacks` warns of it, and training
            continues.
    """

    def __init__(self, folder: Path, draw: Draw | None = None) -> None:
        self.folder, self.draw = folder, draw

    def start(self, step: int) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise cannot_write(self.folder, cause) from cause
        if step and self.draw is not None:
            self._redraw(step, self.draw)

    def drawn(self, step: int, pictures: Mapping[str, ndarray]) -> None:
        for name, picture in pictures.items():
            write_png(self._path(name, step), picture)

    def _redraw(self, step: int, draw: Draw) -> None:
        """Write the pictures of `step` that are damaged again; the state still is that step's."""
        damaged = [path for path in self.folder.glob(f"*-{step:08d}.png") if not _whole(path)]
        pictures = draw(step) if damaged else {}
        for name, picture in pictures.items():
            if (path := self._path(name, step)) in damaged:
                write_png(path, picture)
                log.info(f"{path}: was damaged, so it is drawn again")

    def _path(self, name: str, step: int) -> Path:
        # "samples/fixed" is TensorBoard's way of grouping; the folder says it already.
        flat = name.removeprefix("samples/").replace("/", "-")
        return self.folder / f"{flat}-{step:08d}.png"


def _whole(path: Path) -> bool:
    try:
        read_png(path)
    except CheckpointError:
        return False
    return True


FRAMES, FEWEST = 80, 3
SECONDS, LAST = 0.1, 12  # of a frame; how many times as long the last one is shown
PICTURE = re.compile(r"(?P<name>.+)-(?P<step>\d{8})\.png")


class Film(Callback):
    """Makes <name>.gif of the pictures <name>-<step>.png in a folder when a run ends.

    It reads them back, so a run that was interrupted and resumed has one film of its whole course,
    and the memory of a run does not grow.

    Args:
        folder: where the pictures lie and the films go.
        names: patterns of the pictures' names, such as "theory-.*".
    """

    def __init__(self, folder: Path, names: str) -> None:
        self.folder, self.names = folder, re.compile(names)

    def end(self, step: int, status: str) -> None:
        """A film of each name, unless the run failed or hardly began."""
        if status == "failed" or not self.folder.is_dir():
            return
        reels: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob("*.png")):
            found = PICTURE.fullmatch(path.name)
            if found and int(found["step"]) <= step and self.names.fullmatch(found["name"]):
                reels.setdefault(found["name"], []).append(path)
        for name, paths in reels.items():
            if len(paths) >= FEWEST:
                self._write(self.folder / f"{name}.gif", paths)

    def _write(self, film: Path, paths: list[Path]) -> None:
        places = np.linspace(0, len(paths) - 1, min(FRAMES, len(paths))).round().astype(int)
        frames = []
        for place in dict.fromkeys(places.tolist()):
            try:
                frames.append(read_png(paths[place]))
            except CheckpointError as error:
                log.warning(f"{error}, so the animation leaves it out")
        if len(frames) < FEWEST:
            return
        same = [frame for frame in frames if frame.shape == frames[-1].shape]
        write_gif(film, same + [same[-1]] * LAST, SECONDS)
        log.info(f"{film}: animation of {counted(len(same), 'frame')}")
