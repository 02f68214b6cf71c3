"""Samples as files: a grid, an archive of many, points, sentences; and where files are written."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from numpy import ndarray
from torch import Tensor

from gan_cli import files
from gan_cli.config.instantiate import build
from gan_cli.errors import ConfigError, DataError
from gan_cli.formatting import user_path
from gan_cli.images import check_animation, tile, write_png
from gan_cli.model import HasSampleGradient, Model, Scores
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import Loaded, open_for
from gan_cli.sampling import latents
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.archive import ARCHIVES, Archive, warn_unless_finite
from gan_cli.sampling.latents import make_folder
from gan_cli.sampling.samples import SampleRequest

GRID = 64  # samples in a grid
MOST_IN_GRID = 10_000
LEGIBLE = 56  # pixels; smaller images are magnified in grids
POINTS = 2000  # in a plot
SAMPLES = {
    ".png": "pictures",
    ".csv": "points",
    ".txt": "sentences",
    ".npz": "arrays",
    ".zip": "numbered PNGs",
}
MOVING = {".png": "pictures", ".gif": "animations", ".webp": "animations", ".mp4": "videos"}
OTHER_FILES = {".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".npy", ".pt", ".svg", ".pdf", ".html"}
OTHER_FILES |= {".webm", ".mov", ".avi", ".mkv", ".apng", ".json"}
OTHER_FILES |= {".tar", ".gz", ".h5", ".hdf5", ".parquet", ".pkl"}
OTHER_FILES |= {*SAMPLES, *MOVING}


@dataclass(frozen=True)
class Output:
    """Where to write: a file or a folder, or neither for the run's own."""

    file: Path | None = None
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str | None, kinds: Mapping[str, str]) -> Self:
        """Distinguish a file from a folder, which need not exist, by the ending.

        Args:
            text: of --out.
            kinds: what a command writes, by the ending.

        Raises:
            ConfigError: a file of a kind that is not supported.
        """
        if text is None:
            return cls()
        path = user_path(text)
        suffix = "" if path.is_dir() else path.suffix.lower()
        if suffix in OTHER_FILES and suffix not in kinds:
            *most, last = (f"{ending} ({what})" for ending, what in kinds.items())
            listed = f"{', '.join(most)} or {last}" if most else last
            raise ConfigError(f"--out {path}: a file must end in {listed}; or name a folder")
        return cls(file=path) if suffix in kinds else cls(folder=path)

    @property
    def suffix(self) -> str:
        """The ending of the file, in lower case; empty where there is none."""
        return self.file.suffix.lower() if self.file else ""

    def path(self, run: RunFolder, stem: str, suffix: str) -> Path:
        """Where to write one file; makes its folder.

        Args:
            run: whose own folder of samples is taken where nothing is named.
            stem: of the file's name in a folder.
            suffix: of its name.

        Raises:
            ConfigError: a file of another kind is named.
            UserError: the folder cannot be made.
        """
        if self.file:
            if self.suffix != suffix:
                raise ConfigError(
                    f"--out {self.file}: a file that ends in {suffix} is required here"
                )
            make_folder(self.file.parent)
            return self.file
        if self.folder is None:
            run.refuse_links()
        folder = self.folder or run.samples
        make_folder(folder)
        return folder / f"{stem[:200]}{suffix}"


def opened(options: argparse.Namespace, command: str) -> tuple[Output, RunFolder, Loaded]:
    """Where pictures or animations go, and the run whose latents become images.

    Raises:
        UserError: they cannot be written, there is no such run, or it decodes no images.
    """
    output = Output.parse(options.out, MOVING)
    if output.file:
        check_animation(output.file)
    run, loaded = open_for(options)
    latents.prior_of(loaded.model, command)
    require_images(loaded.model, command)
    return output, run, loaded


def stem(kind: str, loaded: Loaded, request: SampleRequest, codes: Collection[str] = ()) -> str:
    """The name, without ending, of a file of samples in a folder."""
    parts = [kind, f"{loaded.step:08d}", f"seed{request.seed}"]
    if request.classes:
        names = dict(enumerate(loaded.model.data.class_names))
        parts.append("class" + "+".join(str(names.get(one, one)) for one in request.classes))
    parts += codes
    parts += [] if request.truncation is None else [f"truncation{request.truncation:g}"]
    parts += ["raw"] if loaded.weights == "raw" and loaded.model.averaged() else []
    return "-".join(re.sub(r"[^\w.=+-]+", "_", part) for part in parts)


def require_images(model: Model, command: str) -> None:
    """Refuse models of points and sentences.

    Raises:
        ConfigError: the model is one.
    """
    if not model.data.is_image:
        raise ConfigError(f"{command}: this model makes {model.data.kind}, not images")


def picture(images: Tensor, columns: int, zoom: int | None = None) -> ndarray:
    """A table of images, magnified where they are small."""
    return tile(images, columns, zoom=zoom or magnification(images))


def magnification(images: Tensor) -> int:
    """The factor that makes images [n, C, H, W] large enough to be seen."""
    return max(1, LEGIBLE // max(images.shape[2:]))


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
        saved = [self._save_latents(self.options.save_z)] if self.options.save_z else []
        return [*self._written(), *saved]

    def _save_latents(self, path: str) -> Path:
        """Write the latents of all samples to one file."""
        latents.prior_of(self.loaded.model, f"--save-z {path}")
        number = self._number()
        chunks = range(-(-number // latents.CHUNK))
        z = [sampling.latents(self.loaded.model, self.request, chunk) for chunk in chunks]
        return latents.write(path, torch.cat(z)[:number])

    def _written(self) -> list[Path]:
        data = self.loaded.model.data
        if data.is_text:
            return self.text()
        if self._archived and self.output.file:
            return self.archive(self.output.file)
        if not data.is_image:
            return self.points()
        if self.options.number and self.output.folder and not self.options.grid:
            return self.archive(self.output.folder)
        return self.grid()

    @property
    def _archived(self) -> bool:
        return self.output.suffix in ARCHIVES

    def _columns(self) -> int:
        """The columns of a grid that stand for something, classes or values of a code; else 1."""
        model, codes = self.loaded.model, self.request.codes
        classes = len(self.request.classes or range(model.data.classes))
        by_class = model.conditional and 2 <= classes <= 20 and codes.count == 1
        return classes if by_class else codes.columns

    def _default(self) -> int:
        """How many samples there are where neither -n nor a file of latents says."""
        data = self.loaded.model.data
        if data.is_text or self._archived:
            return GRID
        if not data.is_image:
            return POINTS
        columns = self._columns()
        return max(8 * columns, self.request.codes.count) if columns > 1 else GRID

    def _number(self) -> int:
        """How many samples there are to be: -n, all of a file of latents, or the default.

        Raises:
            ConfigError: the file holds fewer latents.
        """
        if self.request.z is None:
            return self.options.number or self._default()
        most = len(self.request.z) * self.request.codes.count
        if (self.options.number or 0) > most:
            raise ConfigError(
                f"-n {self.options.number}: {self.options.z} is enough for {most} samples"
            )
        return self.options.number or most

    def grid(self) -> list[Path]:
        """One picture with all samples."""
        columns, n = self._columns(), self._number()
        if n > MOST_IN_GRID:
            raise ConfigError(
                f"-n {n}: too many for one picture; --out DIR writes each to a file of its own"
            )
        columns = self.options.columns or (columns if columns > 1 else math.ceil(math.sqrt(n)))
        path = self._path("grid", ".png")
        write_png(path, picture(self._all(n), min(columns, n), self.options.zoom))
        return [path]

    def archive(self, place: Path) -> list[Path]:
        """Each sample by itself: numbered PNGs, of several classes in folders, or an NPZ file."""
        archive = Archive(
            self.loaded,
            self.request,
            self._number(),
            self.options.batch_size,
            self.options.flat,
        )
        return [archive.write(place)]

    def text(self) -> list[Path]:
        """Sentences, one in each line."""
        path = self._path("text", ".txt")
        lines = self.loaded.model.data.sentences(self._all(self._number()))
        files.write(path, "\n".join(lines) + "\n")
        return [path]

    def points(self) -> list[Path]:
        """A plot of points, or a table where a number or a .csv is asked for."""
        samples = self._all(self._number())
        suffix = self.output.suffix
        if suffix == ".csv" or (self.options.number and not self.options.grid and suffix != ".png"):
            path = self._path("points", ".csv")
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
        plot = points.draw(
            real,
            samples.to(model.device),
            model.score if isinstance(model, Scores) else None,
            data.log_density,
            sample_gradient=(
                model.sample_gradient if isinstance(model, HasSampleGradient) else None
            ),
            name=getattr(model, "score_name", "D"),
        )
        path = self._path("points", ".png")
        write_png(path, plot)
        return [path]

    def _all(self, n: int) -> Tensor:
        model, batch, finite, found = self.loaded.model, self.options.batch_size, True, []
        for values in sampling.draw(model, n, self.request, batch):
            finite = warn_unless_finite(values, self.loaded, finite)
            found.append(values)
        return torch.cat(found)

    def _path(self, kind: str, suffix: str) -> Path:
        fixed = [*self.options.code, *([self.options.refine] if self.options.refine else [])]
        name = stem(kind, self.loaded, self.request, fixed)
        return self.output.path(self.folder, name, suffix)
