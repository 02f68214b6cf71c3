"""A film of a run's pictures: what was learned, from the first step to the last."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np

from gan_cli.callbacks.callback import Callback
from gan_cli.errors import CheckpointError
from gan_cli.imaging import read_png, write_gif

log = logging.getLogger(__name__)
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
        log.info(f"{film}: a film of {len(same)} pictures")
