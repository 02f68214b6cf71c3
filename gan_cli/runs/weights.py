"""Weights to begin a training with, and the safetensors files that hold a model's weights alone.

A file of `gan-export` has the model's tensors by their names in its state_dict, and as metadata the
run's configuration, the description of its data, the step and which weights they are. Neither it
nor a checkpoint runs code when it is read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import gan_cli
from gan_cli import foreign
from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import from_yaml
from gan_cli.device import place
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import counted, needs, shell_command, user_path
from gan_cli.model import DataSpec, Model
from gan_cli.runs import checkpoint
from gan_cli.runs.load import data_spec, describe_data, load_model, new_model

log = logging.getLogger(__name__)
SUFFIX = ".safetensors"
SHOWN = 12  # tensors that a message lists
KEY = "weights.source"
LOOSE = shell_command("weights.strict=false")


@dataclass(frozen=True)
class SavedWeights:
    """The weights of a trained model."""

    place: str  # what messages call them
    tensors: Mapping[str, Tensor]  # by their names in the state_dict, on the CPU
    data: DataSpec | None = None  # that the networks were built for, where that is known
    conditional: bool | None = None
    config: str = ""  # of the run, where that is known


def located(source: str) -> str:
    """The absolute path of the file or run that `weights.source` names.

    Raises:
        CheckpointError: there is none.
    """
    path = user_path(source)
    if path.suffix == SUFFIX:
        if not path.is_file():
            raise CheckpointError(f"{KEY} = {source}: no such file")
        return str(path.absolute())
    try:
        run, file = checkpoint.named(path)
    except CheckpointError as error:
        within = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else []
        if within:
            raise CheckpointError(
                f"{KEY} = {source}: an exported model; name its file: {within[0]}"
            ) from error
        raise CheckpointError(f"{KEY} = {error}") from error
    return str((file or run.path).absolute())


def read(source: str, averaged: bool = True, trust: Trust = Trust()) -> SavedWeights:  # noqa: B008
    """The weights in a safetensors file, or of a run or checkpoint.

    Args:
        source: a path, as `located` returns it.
        averaged: of a run, the averaged weights where it has any.
        trust: whose classes may be built.

    Raises:
        UserError: they cannot be read.
    """
    path = Path(source)
    if path.suffix == SUFFIX:
        return read_file(path)
    run, file = checkpoint.named(path)
    loaded = load_model(run, file or "last", "ema" if averaged else "raw", trust, "cpu")
    model = loaded.model
    named = f"{source} at step {loaded.step:,}"
    return SavedWeights(named, model.state_dict(), model.data, model.conditional)


def read_file(path: Path) -> SavedWeights:
    """The weights in a safetensors file, of any program.

    Raises:
        CheckpointError: it cannot be read.
        ConfigError: the package safetensors is missing.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as cause:
        raise ConfigError(f"{path}: {needs('safetensors', 'export')}") from cause
    try:
        with foreign.open_file(path):  # a regular file, and no link
            pass
        with safe_open(path, "pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            said = file.metadata() or {}
    except FileNotFoundError as cause:
        raise CheckpointError(f"{path}: no such file") from cause
    except (SafetensorError, OSError) as cause:
        raise CheckpointError(f"{path}: is not an intact safetensors file ({cause})") from cause
    data = None
    if "data" in said:
        data = data_spec(foreign.parse_json(said["data"], path), str(path))
    conditional = {"true": True, "false": False}.get(said.get("conditional", ""))
    return SavedWeights(str(path), tensors, data, conditional, said.get("config", ""))


def model_of(path: Path, trust: Trust = Trust()) -> Model:  # noqa: B008 - frozen
    """The model in a safetensors file of `gan-export`, in eval mode on the CPU.

    Args:
        path: the file.
        trust: whose classes may be built.

    Raises:
        CheckpointError: it is no such file, or damaged.
        ConfigError: its config names a class that is not trusted or does not exist.
    """
    saved = read_file(path)
    if saved.data is None or not saved.config:
        raise CheckpointError(f"{path}: holds no configuration of a model; gan-export writes one")
    model = new_model(from_yaml(saved.config), saved.data, trust)
    try:
        model.load_state_dict(saved.tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights are not those of its model") from error
    place(model, torch.device("cpu"))
    return model.eval()


def file_bytes(model: Model, config: str, step: int, weights: str, fingerprint: str) -> bytes:
    """A model's weights as a safetensors file; its metadata are all that is needed to rebuild it.

    Raises:
        ConfigError: the package safetensors is missing.
    """
    try:
        from safetensors.torch import save
    except ImportError as cause:
        raise ConfigError(
            f"writing a .safetensors file {needs('safetensors', 'export')}"
        ) from cause
    tensors = {
        name: value.detach().cpu().clone().contiguous()
        for name, value in model.state_dict().items()
    }
    return save(
        tensors,
        {
            "format": "pt",
            "gan_cli": gan_cli.__version__,
            "config": config,
            "data": json.dumps(describe_data(model.data, fingerprint)),
            "conditional": str(model.conditional).lower(),
            "step": str(step),
            "weights": weights,
        },
    )


def start_from(model: Model, saved: SavedWeights, strict: bool = True) -> list[str]:
    """Copy weights into a new model.

    Args:
        model: takes them, also if it is on a GPU.
        saved: the weights.
        strict: all must fit, and the data be of one shape and, in a conditional model, have the
            same number of classes. Else what has the same name and shape is taken.

    Returns:
        What did not fit, one line each; empty if `strict`.

    Raises:
        ConfigError: `strict` and something does not fit, with the reason; or nothing fits.
    """
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in saved.tensors.items()
        if name in own and own[name].shape == value.shape
    }
    wrong = list(misfits(own, saved.tensors))
    if not fitting:
        listed = ", ".join(list(saved.tensors)[:3]) or "none"
        raise ConfigError(
            f"{KEY} = {saved.place}: none of its {len(saved.tensors)} tensors ({listed} ...) has "
            "the name and shape of one of this model's"
        )
    reason = other_data(model, saved)
    if strict and (reason or wrong):
        cause = reason or f"{counted(len(wrong), 'tensor')} not as in this model"
        listed = "".join(f"\n  {line}" for line in shortened(wrong))
        raise ConfigError(
            f"{KEY} = {saved.place}: {cause}; use the model and network it was trained with, or "
            f"{LOOSE} to take what fits{listed}"
        )
    model.load_state_dict(fitting, strict=False)
    return [*([reason] if reason else []), *wrong]


def misfits(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> Iterator[str]:
    """The tensors that one side alone has, or that have other shapes, a line each."""
    for name, value in own.items():
        if name not in saved:
            yield f"{name} {form(value)}: new here"
        elif saved[name].shape != value.shape:
            yield f"{name}: {form(saved[name])} there, {form(value)} here"
    yield from (f"{name} {form(saved[name])}: only there" for name in saved if name not in own)


def other_data(model: Model, saved: SavedWeights) -> str:
    """Why weights were made for other data than the model's; empty where they were not."""
    then, now = saved.data, model.data
    if then is None:
        return ""
    if then.shape != now.shape:
        size = then.is_image and now.is_image and then.shape[0] == now.shape[0]
        fix = f" (data.size=[{then.shape[1]},{then.shape[2]}] makes them alike)" if size else ""
        return f"trained on {then.kind} of {_shape(then)}, and these are {_shape(now)}{fix}"
    if then.classes != now.classes and (model.conditional or saved.conditional):
        return f"trained on {then.classes} classes, and this data has {now.classes}"
    return ""


def _shape(data: DataSpec) -> str:
    return "x".join(map(str, data.shape))


def form(tensor: Tensor) -> str:
    """A tensor's shape, as in [64,1,4,4]."""
    return f"[{','.join(map(str, tensor.shape))}]"


def shortened(lines: list[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"... and {more} more"]
