"""Samples as files: a grid, numbered images, an interpolation, points, sentences."""

from __future__ import annotations

import argparse
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from numpy import ndarray
from torch import Tensor

from gan_cli import files
from gan_cli.config.instantiate import build
from gan_cli.console import progress_bar
from gan_cli.errors import ConfigError, DataError
from gan_cli.images import tile, to_uint8, write_gif, write_png
from gan_cli.model import DataSpec, HasSampleGradient, Scores
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import Loaded
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.samples import SampleRequest

log = logging.getLogger(__name__)
GRID = 64  # samples in a grid
LABELS = "labels.csv"  # of numbered images of several classes in one folder
MOST_IN_GRID = 10_000
LEGIBLE = 56  # pixels; smaller images are magnified in grids
POINTS = 2000  # in a plot
PAIRS, STEPS = 8, 10  # rows and columns of an interpolation
FRAMES, FRAME_SECONDS = 24, 0.06  # of its animation, one way
FILES = {".png", ".gif", ".csv", ".txt"}
OTHER_FILES = {".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy", ".npz", ".pt"}
OTHER_FILES |= {".mp4", ".webm", ".mov", ".avi", ".mkv", ".apng", ".svg", ".pdf", ".html", ".json"}
OTHER_FILES |= {".zip", ".tar", ".gz", ".h5", ".hdf5", ".parquet", ".pkl"}


@dataclass(frozen=True)
class Output:
    """Where to write: a file or a folder, or neither for the run's own."""

    file: Path | None = None
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Distinguish a file from a folder, which need not exist, by the ending.

        Raises:
            ConfigError: a file of a kind that is not supported.
        """
        if text is None:
            return cls()
        path = Path(text)
        suffix = "" if path.is_dir() else path.suffix.lower()
        if suffix in OTHER_FILES:
            raise ConfigError(
                f"--out {path}: a file must end in .png (pictures), .gif (animations), .csv "
                "(points) or .txt (sentences); or name a folder"
            )
        return cls(file=path) if suffix in FILES else cls(folder=path)


@dataclass(frozen=True)
class SampleWriter:
    """Writes samples of one model; each method returns the files, or the folder of numbered ones.

    Attributes:
        options: of `gan-sample`.
        output: its --out.
        folder: the run.
        loaded: its model.
        request: the samples.
    """

    options: argparse.Namespace
    output: Output
    folder: RunFolder
    loaded: Loaded
    request: SampleRequest

    def write(self) -> list[Path]:
        """Write what the options ask for.

        Raises:
            UserError: the model cannot draw it, or a file cannot be written.
        """
        if self.options.interpolate:
            return self.interpolation()
        if self.loaded.model.data.is_text:
            return self.text()
        if not self.loaded.model.data.is_image:
            return self.points()
        if self.options.number and self.output.folder and not self.options.grid:
            return self.numbered(self.output.folder)
        return self.grid()

    def grid(self) -> list[Path]:
        """One picture with all samples."""
        model = self.loaded.model
        by_class = (
            model.conditional and 2 <= model.data.classes <= 20 and self.request.label is None
        )
        n = self.options.number or (8 * model.data.classes if by_class else GRID)
        if n > MOST_IN_GRID:
            raise ConfigError(
                f"-n {n}: too many for one picture; --out DIR writes each to a file of its own"
            )
        columns = self.options.columns or (
            model.data.classes if by_class else math.ceil(math.sqrt(n))
        )
        path = self._file("grid", ".png")
        write_png(path, self._table(self._all(n), min(columns, n)))
        return [path]

    def numbered(self, folder: Path) -> list[Path]:
        """Each sample as a file of its own, of several classes in folders by their names.

        With --flat they are in one folder, beside a table of their classes.
        """
        n, model = self.options.number, self.loaded.model
        labels = sampling.labels(model, self.request, 0, n)
        names = class_folders(model.data)
        classes = labels is not None and self.request.label is None and model.data.classes > 1
        places = [folder, *(folder / name for name in names if classes)]
        homes = [] if self.options.flat else places[1:]
        for home in homes or [folder]:
            _make(home)
        digits = max(6, len(str(n - 1)))
        there = [path for home in places for path in home.glob("*.png")]
        old = [path for path in there if re.fullmatch("[0-9]+", path.stem)]
        elsewhere = any((path.parent == folder) == bool(homes) for path in old)
        if elsewhere or any(int(path.stem) >= n or len(path.stem) != digits for path in old):
            raise ConfigError(
                f"--out {folder}: holds other numbered images, which would stay among the new; "
                "remove them or choose another folder"
            )
        number = 0
        with progress_bar("images", n) as advance:
            for images in self._batches(n):
                for picture in to_uint8(images):
                    home = homes[labels[number]] if homes and labels is not None else folder
                    write_png(home / f"{number:0{digits}}.png", picture, durable=False)
                    number += 1
                    advance(1)
        if classes and labels is not None and not homes:
            rows = (f"{i:0{digits}}.png,{names[y]}" for i, y in enumerate(labels.tolist()))
            files.write(folder / LABELS, "\n".join(["path,class", *rows]) + "\n")
        return [folder]

    def interpolation(self) -> list[Path]:
        """Rows from latent to latent, and all rows at once as an animation there and back."""
        model, pairs, path = (
            self.loaded.model,
            self.options.number or PAIRS,
            self.options.interpolate,
        )
        if not model.data.is_image:
            raise ConfigError("--interpolate: this model makes points, not images")
        columns = max(self.options.columns or STEPS, 2)
        rows = sampling.interpolate(model, pairs, columns, path, self.request)
        self._look(rows)
        still, animation = self._file(path, ".png"), self._file(path, ".gif")
        write_png(still, self._table(rows.flatten(0, 1), columns))
        moments = sampling.interpolate(model, pairs, FRAMES, path, self.request)
        across = math.ceil(math.sqrt(pairs))
        frames = [self._table(moments[:, k], across) for k in range(FRAMES)]
        write_gif(animation, frames + frames[-2:0:-1], FRAME_SECONDS)
        return [still, animation]

    def text(self) -> list[Path]:
        """Sentences, one in each line."""
        path = self._file("text", ".txt")
        lines = self.loaded.model.data.sentences(self._all(self.options.number or GRID))
        files.write(path, "\n".join(lines) + "\n")
        return [path]

    def points(self) -> list[Path]:
        """A plot of points, or a table where a number or a .csv is asked for."""
        samples = self._all(self.options.number or POINTS)
        suffix = self.output.file.suffix.lower() if self.output.file else ""
        if suffix == ".csv" or (self.options.number and not self.options.grid and suffix != ".png"):
            path = self._file("points", ".csv")
            head = ",".join(f"x{i + 1}" for i in range(samples.shape[1]))
            lines = (",".join(f"{x:.9g}" for x in row) for row in samples.tolist())
            files.write(path, "\n".join([head, *lines]) + "\n")
            return [path]
        from gan_cli.plots import points

        try:  # the truth beside the samples; toy data are made, not read
            data = build(self.loaded.settings.data, path="data", trust=self.loaded.trust)
        except DataError as error:
            raise DataError(f"{error}; a plot needs the data, --out points.csv not") from error
        real = data.real(torch.arange(min(POINTS, data.spec.size)))
        model = self.loaded.model
        picture = points.draw(
            real,
            samples.to(model.device),
            model.score if isinstance(model, Scores) else None,
            data.log_density,
            sample_gradient=(
                model.sample_gradient if isinstance(model, HasSampleGradient) else None
            ),
            name=getattr(model, "score_name", "D"),
        )
        path = self._file("points", ".png")
        write_png(path, picture)
        return [path]

    def _batches(self, n: int) -> Iterator[Tensor]:
        finite = True
        for images in sampling.draw(self.loaded.model, n, self.request, self.options.batch_size):
            finite = finite and self._look(images)
            yield images

    def _all(self, n: int) -> Tensor:
        return torch.cat(list(self._batches(n)))

    def _look(self, samples: Tensor) -> bool:
        finite = bool(samples.isfinite().all())
        if not finite:
            log.warning(f"the model's samples are not all finite at step {self.loaded.step}")
        return finite

    def _table(self, images: Tensor, columns: int) -> ndarray:
        zoom = self.options.zoom or max(1, LEGIBLE // max(images.shape[2:]))
        return tile(images, columns, zoom=zoom)

    def _file(self, kind: str, suffix: str) -> Path:
        """Where to write one file of that kind; makes its folder."""
        if file := self.output.file:
            fits = {".gif", ".png"} if self.options.interpolate else {suffix}
            if file.suffix.lower() not in fits:
                raise ConfigError(f"--out {file}: a file that ends in {suffix} is required")
            _make(file.parent)
            return file if file.suffix.lower() == suffix else file.with_suffix(suffix)
        if self.output.folder is None:
            self.folder.refuse_links()
        folder = self.output.folder or self.folder.samples
        _make(folder)
        parts = [kind, f"{self.loaded.step:08d}", f"seed{self.request.seed}"]
        if self.request.label is not None:
            named = dict(enumerate(self.loaded.model.data.class_names))
            called = str(named.get(self.request.label, self.request.label))
            parts.append("class" + re.sub(r"[^\w.=+-]+", "_", called))
        parts += [re.sub(r"[^\w.=+-]+", "_", self.options.code)] if self.options.code else []
        parts += ["raw"] if self.options.weights == "raw" else []
        return folder / f"{'-'.join(parts)[:200]}{suffix}"


def class_folders(data: DataSpec) -> list[str]:
    """A folder's name for each class: its own name without what a path cannot hold."""
    names = data.class_names or tuple(map(str, range(data.classes)))
    plain = [re.sub(r"[^\w.=+ -]+", "_", name).strip(" .") for name in names]
    unique = all(plain) and len({name.lower() for name in plain}) == len(plain)
    return plain if unique else [f"{i}_{name}" for i, name in enumerate(plain)]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise files.cannot_write(folder, cause) from cause
