"""Many samples as files: numbered PNGs in a folder, a ZIP file of them, or arrays in an NPZ file.

Samples are written as they are drawn. Beside them lies what they are (`samples.json`), so the same
command continues after an interruption, and samples of another request are never mixed with them.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from numpy.lib import format as npy
from torch import Tensor

from gan_cli import files, foreign
from gan_cli.console import progress_bar
from gan_cli.data.folder_cache import on_threads
from gan_cli.device import cores
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import counted
from gan_cli.images import to_uint8, write_png
from gan_cli.model import DataSpec
from gan_cli.runs.load import Loaded
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.latents import CHUNK, make_folder
from gan_cli.sampling.samples import SampleRequest

log = logging.getLogger(__name__)
LABELS = "labels.csv"  # of numbered images of several classes in one folder
ABOUT = "samples.json"
ARCHIVES = (".npz", ".zip")
OTHERS = "which would stay among the new; remove them or choose another folder"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of members of a ZIP file, so that its bytes repeat


@dataclass(frozen=True)
class Archive:
    """Writes samples 0 ... n-1 of a request.

    Attributes:
        loaded: the model.
        request: the samples.
        number: how many.
        batch: how many are computed at once.
        flat: no folders by class, but a table of the classes.
    """

    loaded: Loaded
    request: SampleRequest
    number: int
    batch: int = CHUNK
    flat: bool = False

    def write(self, path: Path) -> Path:
        """Write to a .zip or .npz file, or else into a folder; returns the path.

        Raises:
            ConfigError: other samples are there.
            UserError: it cannot be written, or a part of it is a link.
        """
        suffix = path.suffix.lower()
        if suffix not in ARCHIVES or path.is_dir():
            self._numbered(path)
            return path
        make_folder(path.parent)
        partial = path.with_name(f"{path.name}.partial")
        if suffix == ".zip":
            files.refuse_links(partial)
            self._numbered(partial)
            self._zip(path, partial)
        else:
            self._npz(path, partial)
        shutil.rmtree(partial, ignore_errors=True)
        return path

    @property
    def _data(self) -> DataSpec:
        return self.loaded.model.data

    def _labels(self) -> Tensor | None:
        """The classes [number]; None where there are none to tell apart."""
        labels = sampling.labels(self.loaded.model, self.request, 0, self.number)
        one = len(set(self.request.classes)) == 1 or self._data.classes < 2
        return None if one else labels

    def _names(self) -> list[str]:
        """Each image's path below the folder."""
        digits, labels = max(6, len(str(self.number - 1))), self._labels()
        homes = [""] * self.number
        if labels is not None and not self.flat:
            homes = [f"{class_folders(self._data)[y]}/" for y in labels.tolist()]
        return [f"{home}{i:0{digits}}.png" for i, home in enumerate(homes)]

    def _numbered(self, folder: Path) -> None:
        names, there = self._names(), self._there(folder)
        if strange := there - set(names):
            more = f" such as {min(strange)}"
            raise ConfigError(f"--out {folder}: holds other numbered images{more}, {OTHERS}")
        self._check_request(folder, bool(there))
        homes = {(folder / name).parent for name in names} | {folder}
        files.refuse_links(*sorted(homes - {folder}))
        for home in homes:
            make_folder(home)
        files.write(folder / ABOUT, json.dumps(self.about(), indent=2) + "\n")
        first = next((i for i, name in enumerate(names) if name not in there), self.number)

        def encode(item: tuple[int, ndarray]) -> None:
            write_png(folder / names[item[0]], item[1], durable=False)

        with self._drawing(first // CHUNK * CHUNK) as (pictures, advance):
            for _ in on_threads(encode, pictures, cores()):
                advance(1)
        if self.flat and (labels := self._labels()) is not None:
            classes = class_folders(self._data)
            rows = (f"{n},{classes[y]}" for n, y in zip(names, labels.tolist(), strict=True))
            files.write(folder / LABELS, "\n".join(["path,class", *rows]) + "\n")

    def _there(self, folder: Path) -> set[str]:
        """The numbered images that lie in the folder, and in those of the classes."""
        homes = [folder, *(folder / name for name in class_folders(self._data))]
        found = [path for home in homes for path in home.glob("*.png")]
        return {
            path.relative_to(folder).as_posix()
            for path in found
            if re.fullmatch("[0-9]+", path.stem)
        }

    def _check_request(self, folder: Path, started: bool) -> None:
        """Refuse a folder with samples of another request.

        Raises:
            ConfigError: they differ; the message says where.
        """
        try:
            kept = foreign.read_json(folder / ABOUT)
        except FileNotFoundError:
            kept = None
        except CheckpointError as cause:
            raise ConfigError(f"--out {folder}: {cause}; remove it to start again") from cause
        if not started:
            return
        kept = kept if isinstance(kept, dict) else {}
        asked = json.loads(json.dumps(self.about()))
        unlike = [key for key, value in asked.items() if kept.get(key) != value]
        if unlike:
            key = unlike[0]
            was = f"{key} {_short(kept.get(key))} instead of {_short(asked[key])}"
            raise ConfigError(
                f"--out {folder}: holds samples of another request "
                f"({was if kept else f'without {ABOUT}'}), {OTHERS}"
            )

    def about(self) -> dict[str, Any]:
        """All that the samples depend on but their number, as plain values."""
        request = self.request
        return {
            "step": self.loaded.step,
            "weights": self.loaded.weights,
            "seed": request.seed,
            "classes": list(request.classes),
            "shares": list(request.shares),
            "codes": [[start, values.tolist()] for start, values in request.codes.values],
            "truncation": request.truncation,
            "z_sha256": None if request.z is None else _hash([("z", request.z)]),
            "weights_sha256": _hash(sorted(self.loaded.model.state_dict().items())),
        }

    @contextmanager
    def _drawing(self, first: int) -> Iterator[tuple[Iterator[tuple[int, ndarray]], Any]]:
        """The samples from `first` on, each with its number, as pictures or rows of numbers."""
        n, done = self.number, first
        if first:
            log.info(f"{first:,} of {counted(n, 'sample')} are there already")

        def drawn() -> Iterator[tuple[int, ndarray]]:
            finite, number = True, first
            batches = sampling.draw(self.loaded.model, n, self.request, self.batch, first)
            for values in batches:
                finite = warn_unless_finite(values, self.loaded, finite)
                made = to_uint8(values) if self._data.is_image else values.numpy()
                for one in made:
                    yield number, one
                    number += 1

        with progress_bar("samples", n) as advance:

            def advanced(count: int) -> None:
                nonlocal done
                done += count
                advance(count)

            advance(first)
            try:
                yield drawn(), advanced
            except KeyboardInterrupt:
                log.info(f"{done:,} of {n:,} samples are written; the same command continues")
                raise

    def _zip(self, path: Path, folder: Path) -> None:
        """Pack a folder's files, images in the order of their numbers."""
        names = [ABOUT, *([LABELS] if (folder / LABELS).exists() else []), *self._names()]
        with files.replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name, EPOCH), (folder / name).read_bytes())

    def _npz(self, path: Path, partial: Path) -> None:
        """arr_0: uint8 [n, H, W, C] of images, float32 of points; arr_1: int64 [n] of classes."""
        data = self._data
        shape = (*data.shape[1:], data.shape[0]) if data.is_image else data.shape
        kind = np.dtype(np.uint8 if data.is_image else np.float32)
        size, raw = int(np.prod(shape)) * kind.itemsize, partial / "arr_0.raw"
        files.refuse_links(partial, raw)
        self._check_request(partial, raw.exists())
        make_folder(partial)
        files.write(partial / ABOUT, json.dumps(self.about(), indent=2) + "\n")
        whole = raw.stat().st_size // size if raw.exists() else 0
        first = min(whole, self.number)
        first = first if first == self.number else first // CHUNK * CHUNK
        try:
            with self._drawing(first) as (rows, advance), raw.open("ab") as file:
                file.truncate(first * size)
                for _, row in rows:
                    file.write(np.ascontiguousarray(row, kind).tobytes())
                    advance(1)
            with files.replacing(path) as target, zipfile.ZipFile(target, "w") as archive:
                info = zipfile.ZipInfo("arr_0.npy", EPOCH)
                info.file_size = self.number * size  # large files need a field of their own
                with archive.open(info, "w") as member, raw.open("rb") as values:
                    about = {"descr": kind.str, "fortran_order": False}
                    npy.write_array_header_1_0(member, {**about, "shape": (self.number, *shape)})
                    shutil.copyfileobj(values, member)
                labels = sampling.labels(self.loaded.model, self.request, 0, self.number)
                if labels is not None:
                    with archive.open(zipfile.ZipInfo("arr_1.npy", EPOCH), "w") as member:
                        npy.write_array(member, labels.numpy(), allow_pickle=False)
        except OSError as cause:
            raise files.cannot_write(path, cause) from cause


def warn_unless_finite(values: Tensor, loaded: Loaded, finite: bool = True) -> bool:
    """Whether all values are finite; warns of the first that are not, while `finite`."""
    if not finite or bool(values.isfinite().all()):
        return finite
    log.warning(f"the model's samples are not all finite at step {loaded.step}")
    return False


def class_folders(data: DataSpec) -> list[str]:
    """A folder's name for each class: its own name without what a path cannot hold."""
    names = data.class_names or tuple(map(str, range(data.classes)))
    plain = [re.sub(r"[^\w.=+ -]+", "_", name).strip(" .") for name in names]
    unique = all(plain) and len({name.lower() for name in plain}) == len(plain)
    return plain if unique else [f"{i}_{name}" for i, name in enumerate(plain)]


def _hash(tensors: list[tuple[str, Tensor]]) -> str:
    digest = sha256()
    for name, values in tensors:
        digest.update(f"{name} {list(values.shape)}".encode())
        flat = values.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else f"{text[:20]}..."
