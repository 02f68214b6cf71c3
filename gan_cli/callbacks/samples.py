"""samples/: the pictures of a run as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from numpy import ndarray

from gan_cli.atomic import cannot_write
from gan_cli.callbacks.callback import Callback
from gan_cli.imaging import write_png


class Samples(Callback):
    """Writes `<name>-<step, 8 digits>.png` into `folder`, which it makes.

    Raises:
        UserError: a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, step: int) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise cannot_write(self.folder, cause) from cause

    def drawn(self, step: int, pictures: Mapping[str, ndarray]) -> None:
        for name, picture in pictures.items():
            # "samples/fixed" is TensorBoard's way of grouping; the folder says it already.
            flat = name.removeprefix("samples/").replace("/", "-")
            write_png(self.folder / f"{flat}-{step:08d}.png", picture)
