"""samples/: the pictures of a run as PNG files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from numpy import ndarray

from gan_cli.atomic import cannot_write
from gan_cli.callbacks.callback import Callback
from gan_cli.errors import CheckpointError
from gan_cli.imaging import read_png, write_png

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
