"""The Python interface: `gan_cli.train`, `gan_cli.open_run`, and what they return.

    import gan_cli

    run = gan_cli.open_run("latest")
    run.sample(16, y=3)

Errors of the user are `UserError`, with the message that a command would print. A run folder alone
never decides which code is run.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor, nn

from gan_cli import foreign
from gan_cli.config.trust import Trust, open_path
from gan_cli.errors import CheckpointError, ConfigError, UserError
from gan_cli.formatting import user_path
from gan_cli.images import tile, to_uint8, write_png
from gan_cli.model import DataSpec, Model
from gan_cli.runs import load
from gan_cli.runs.curves import by_step
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import Loaded, wanted
from gan_cli.runs.weights import model_of
from gan_cli.sampling import latents
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.codes import class_of
from gan_cli.sampling.samples import SampleRequest

LEGIBLE = 56  # pixels; smaller images are magnified in grids


@dataclass(frozen=True)
class Samples:
    """Samples of a model; images show themselves as a grid in Jupyter.

    Attributes:
        values: [n, *shape], float32 on the CPU; images are [n, C, H, W] in [-1, 1].
        labels: int64 [n], the classes that were asked for; None without.
        data: the description of the data that the model was trained on.
    """

    values: Tensor
    labels: Tensor | None
    data: DataSpec

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.values)

    def __getitem__(self, index: SupportsIndex | slice | Tensor) -> Samples:
        some = index
        if isinstance(index, SupportsIndex) and getattr(index, "ndim", 0) == 0:
            place = range(len(self))[index]
            some = slice(place, place + 1)
        labels = None if self.labels is None else self.labels[some]
        return Samples(self.values[some], labels, self.data)

    def numpy(self) -> np.ndarray:
        """Images as uint8 [n, H, W, C]; points and sentences as they are."""
        return to_uint8(self.values) if self.data.is_image else self.values.numpy()

    def text(self) -> list[str]:
        """Sentences as text.

        Raises:
            ConfigError: these are none.
        """
        if not self.data.is_text:
            raise ConfigError(f"these samples are {self.data.kind}, not sentences")
        return self.data.sentences(self.values)

    def grid(self, columns: int | None = None) -> np.ndarray:
        """All images in one picture, uint8 [height, width, C].

        Raises:
            ConfigError: these are no images.
        """
        if not self.data.is_image or not len(self):
            raise ConfigError(f"{len(self)} samples that are {self.data.kind}: images are needed")
        zoom = max(1, LEGIBLE // max(self.values.shape[2:]))
        return tile(self.values, columns or math.ceil(math.sqrt(len(self))), zoom=zoom)

    def save(self, path: str | Path, columns: int | None = None) -> None:
        """Write the grid as a PNG file.

        Raises:
            UserError: these are no images, or it cannot be written.
        """
        write_png(user_path(path), self.grid(columns))

    def _repr_png_(self) -> bytes | None:
        """The grid as Jupyter shows it; None where these are no images."""
        if not self.data.is_image or not len(self):
            return None
        from PIL.Image import fromarray

        picture, content = self.grid(), io.BytesIO()
        fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(content, "PNG")
        return content.getvalue()

    def __repr__(self) -> str:
        return f"{len(self)} samples of {self.data.name}, each {list(self.values.shape[1:])}"


class Run:
    """A run folder; its model is loaded when it is first needed. Made by `open_run` and `train`."""

    def __init__(
        self,
        folder: RunFolder,
        checkpoint: str | int | Path = "last",
        weights: str = "ema",
        device: str = "auto",
        trust: Sequence[str] = (),
    ) -> None:
        self._folder, self._checkpoint = folder, checkpoint
        self._weights, self._device, self._trust = weights, device, tuple(trust)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    @property
    def status(self) -> dict[str, Any]:
        """What status.json holds: `status` (running, finished, interrupted ...), `step`, `best`."""
        return self._folder.read_status()

    @cached_property
    def _loaded(self) -> Loaded:
        if self._trust:
            open_path(Path.cwd())
        trust = Trust(self._trust, refused=(self.path.absolute(),))
        return load.load_model(self._folder, self._checkpoint, self._weights, trust, self._device)

    @property
    def step(self) -> int:
        """The completed steps of the checkpoint."""
        return self._loaded.step

    @property
    def config(self) -> dict[str, Any]:
        """The settings that the checkpoint was trained with, as plain values."""
        return self._loaded.settings.model_dump()

    @property
    def model(self) -> Model:
        """The model at the checkpoint, in eval mode on its device."""
        return self._loaded.model

    @property
    def generator(self) -> nn.Module:
        """The generator network, in eval mode on its device; it takes latents [n, prior.dim].

        Raises:
            ConfigError: the model has no network of that name.
        """
        found = getattr(self.model, "generator", None)
        if not isinstance(found, nn.Module):
            raise ConfigError(
                f"{self.path}: {type(self.model).__name__} has no generator; run.model.generate(z) "
                "decodes latents, run.sample(n) draws samples"
            )
        return found

    @torch.no_grad()
    def sample(
        self,
        n: int = 64,
        y: int | str | Sequence[int | str] | Tensor | np.ndarray | np.integer | None = None,
        seed: int = 0,
    ) -> Samples:
        """Draw samples 0 ... n-1 of `seed`, the same as `gan-sample` draws.

        Args:
            n: how many.
            y: of a conditional model: a class by its number or name, or one for each sample.
                Without, sample i is of class i modulo the number of classes.
            seed: other samples.

        Raises:
            ConfigError: `n` is below 1, there is no such class, or the model has none.
        """
        if n < 1:
            raise ConfigError(f"n = {n}: at least 1 is required")
        model = self.model
        which: Any = y.tolist() if isinstance(y, Tensor | np.ndarray | np.generic) else y
        if which is None or isinstance(which, int | str):
            label = None if which is None else class_of(str(which), model, "y =")
            request = SampleRequest(seed, () if label is None else (label,))
            values = torch.cat(list(sampling.draw(model, n, request)))
            return Samples(values, sampling.labels(model, request, 0, n), model.data)
        if len(which) != n or model.prior is None:
            wrong = f"{len(which)} classes for {n} samples"
            wrong = wrong if len(which) != n else "it decodes no latents"
            raise ConfigError(f"y: {wrong}; one class for each sample is required, or one for all")
        labels = torch.tensor([class_of(str(one), model, "y =") for one in which])
        z = latents.of_seed(model.prior, seed, torch.arange(n))
        return Samples(sampling.decode(model, z, labels).float().cpu(), labels, model.data)

    def metrics(self) -> dict[str, list[Any]]:
        """The evaluations of the run, one entry per value: what `pandas.DataFrame` takes.

        The lists are step, weights, name, value, error, baseline, better and note.

        Raises:
            CheckpointError: a file of evaluations is damaged.
        """
        table: dict[str, list[Any]] = {key: [] for key in ("step", "weights", *FIGURE)}
        for path in sorted(self._folder.evaluations.glob("step_*.json")):
            content = foreign.read_json(path)
            try:
                for figure in content["figures"]:
                    row = {"step": content["step"], "weights": content["weights"]}
                    row |= {key: figure.get(kept) for key, kept in FIGURE.items()}
                    for key in ("value", "error", "baseline"):  # JSON has no NaN
                        row[key] = None if row[key] is None else float(row[key])
                    for key, value in row.items():
                        table[key].append(value)
            except (KeyError, TypeError, ValueError, AttributeError) as cause:
                raise CheckpointError(f"{path}: holds no values of metrics") from cause
        return table

    def curves(self) -> dict[str, list[float]]:
        """The curves in metrics.jsonl, one list each beside `step`; NaN where there is no value.

        Each step is there once, with what its evaluation gave.

        `pandas.DataFrame(run.curves()).plot("step")` draws them.
        """
        points = by_step(self._folder.metrics)
        names = dict.fromkeys(["step", *(name for point in points.values() for name in point)])
        return {name: [point.get(name, math.nan) for point in points.values()] for name in names}

    def __repr__(self) -> str:
        status = self.status
        return f"Run({str(self.path)!r}): {status['status']} at step {status['step']}"


FIGURE = {  # columns of `Run.metrics`, and their names in the files
    "name": "name",
    "value": "value",
    "error": "error",
    "baseline": "floor",
    "better": "better",
    "note": "note",
}


def open_run(
    place: str | Path = "latest",
    *,
    checkpoint: str | int | None = None,
    weights: str = "ema",
    device: str = "auto",
    trust: Sequence[str] = (),
) -> Run:
    """Open a run.

    Args:
        place: its folder, a file in it, part of its name, or "latest".
        checkpoint: "last" (the default), "best" or a step.
        weights: "ema" for averaged weights where there are any, or "raw".
        device: "auto", "cpu", "cuda" or "mps".
        trust: modules of yours that the run may use.

    Raises:
        CheckpointError: there is no such run.
        ConfigError: `weights` is neither.
    """
    if weights not in ("ema", "raw"):
        raise ConfigError(f"weights = {weights}: ema or raw is required")
    folder, which = wanted(str(place), None if checkpoint is None else str(checkpoint))
    return Run(folder, which, weights, device, trust)


def load_model(path: str | Path, *, trust: Sequence[str] = ()) -> Model:
    """The model in a .safetensors file of `gan-export`, in eval mode on the CPU.

    Args:
        path: the file.
        trust: modules of yours that it may use.

    Raises:
        UserError: it is no such file, or damaged.
    """
    if trust:
        open_path(Path.cwd())
    return model_of(user_path(path), Trust(tuple(trust)))


def train(overrides: Sequence[str] = ()) -> Run:
    """Train a run as `gan-train` does with the same arguments, and open it.

    An interrupted run is returned as well: its `status` says so, and
    `train([f"resume={run.path}"])` resumes it.

    Args:
        overrides: such as ["model=wgan", "data=mnist", "steps=1000"].

    Raises:
        UserError: a setting, the data or a folder is wrong; nothing was trained.
        RunFailedError: the run broke off.
    """
    from gan_cli.commands.train import on_top_of_run
    from gan_cli.config import command_line, settings
    from gan_cli.config.hydra_errors import explain
    from gan_cli.training.run import settings_of, train_settings

    if isinstance(overrides, str):
        raise ConfigError(f"{overrides}: a list of settings is required, [{overrides!r}]")
    line = command_line.prepare(list(overrides))
    if line.multirun:
        raise ConfigError("-m: one run is trained; call train for each, or use gan-train -m")
    line = on_top_of_run(line)
    try:
        config = settings.composed(line)
    except UserError:
        raise
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise ConfigError(message) from error
    chosen = settings_of(config, line)
    if chosen.dry_run:
        raise ConfigError("dry_run = true: makes no run; use gan-train dry_run=true")
    folders: list[RunFolder] = []
    train_settings(chosen, line, folders.append)
    return Run(folders[0], trust=line.trust)
