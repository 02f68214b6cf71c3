"""samples/: the pictures of a run as PNG files, and sentences as text files."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy import ndarray

from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.console import FILE_ONLY
from gan_cli.errors import CheckpointError
from gan_cli.files import cannot_write, write
from gan_cli.formatting import counted
from gan_cli.images import read_png, write_gif, write_png

log = logging.getLogger(__name__)


class Samples(Callback):
    """Writes `<name>-<step, 8 digits>.png`, or `.txt`, into the run's samples/.

    When a run resumes, damaged pictures of its step are drawn again.

    Raises:
        UserError: (from any hook) a file cannot be written. `Callbacks` warns of it, and training
            continues.
    """

    def __init__(self, run: RunContext) -> None:
        self.run, self.folder = run, run.folder.samples

    def start(self, step: int) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise cannot_write(self.folder, cause) from cause
        if step:
            self._redraw(step)

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        for name, picture in pictures.items():
            path = self._path(name, step)
            if isinstance(picture, str):
                write(path.with_suffix(".txt"), picture + "\n")
            else:
                write_png(path, picture)

    def _redraw(self, step: int) -> None:
        """Write the pictures of `step` that are damaged again; the state still is that step's."""
        damaged = [path for path in self.folder.glob(f"*-{step:08d}.png") if not _whole(path)]
        pictures = self.run.draw(step) if damaged else {}
        for name, picture in pictures.items():
            path = self._path(name, step)
            if path in damaged and not isinstance(picture, str):
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
ANIMATED = {"auto": "points|theory-.*", True: "points|theory-.*|fixed|classes", False: ""}
PICTURE = re.compile(r"(?P<name>.+)-(?P<step>\d{8})\.png")


class Animation(Callback):
    """Makes an animation <name>.gif of the pictures <name>-<step>.png when a run ends.

    The setting `film` chooses the names. The pictures are read back, so a run that was interrupted
    and resumed has one animation of its whole course, and the memory of a run does not grow.
    """

    def __init__(self, run: RunContext) -> None:
        self.folder, self.names = run.folder.samples, ANIMATED[run.settings.film]

    def end(self, step: int, status: str) -> None:
        """An animation of each name, unless the run failed or hardly began."""
        if not self.names or status == "failed" or not self.folder.is_dir():
            return
        pictures: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob("*.png")):
            found = PICTURE.fullmatch(path.name)
            if found and int(found["step"]) <= step and re.fullmatch(self.names, found["name"]):
                pictures.setdefault(found["name"], []).append(path)
        for name, paths in pictures.items():
            if len(paths) >= FEWEST:
                self._write(self.folder / f"{name}.gif", paths)

    def _write(self, path: Path, paths: list[Path]) -> None:
        places = np.linspace(0, len(paths) - 1, min(FRAMES, len(paths))).round().astype(int)
        frames = []
        for place in dict.fromkeys(places.tolist()):
            try:
                frames.append(read_png(paths[place]))
            except CheckpointError as error:
                log.warning(f"{error}, so the animation skips it")
        if len(frames) < FEWEST:
            return
        same = [frame for frame in frames if frame.shape == frames[-1].shape]
        write_gif(path, same + [same[-1]] * LAST, SECONDS)
        log.info(f"{path}: animation of {counted(len(same), 'frame')}", extra=FILE_ONLY)
