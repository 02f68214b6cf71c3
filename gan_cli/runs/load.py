"""A trained model, rebuilt from its run folder without its data set."""

from __future__ import annotations

import argparse
import copy
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gan_cli import foreign
from gan_cli.config.instantiate import Trust, build
from gan_cli.config.resume import differences
from gan_cli.config.schema import Settings
from gan_cli.config.settings import from_yaml
from gan_cli.config.trust import open_path
from gan_cli.device import choose_device, place
from gan_cli.ema import load_averages
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import show
from gan_cli.model import DataSpec, Model
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import DEFAULT_ROOT, RunFolder, below
from gan_cli.seeding import seed_streams

log = logging.getLogger(__name__)
SHOWN = 6  # settings of an edited config.yaml
LARGEST = 1 << 16  # length of a side of an image, or of a point


def wanted(place: str | None, which: str | None) -> tuple[RunFolder, str | Path]:
    """The run and the checkpoint of a command's RUN and --checkpoint.

    Raises:
        CheckpointError: there is no such run or checkpoint.
        ConfigError: no run is named, or both name a checkpoint.
    """
    if place is None:
        runs = below(DEFAULT_ROOT)
        found = f"latest, which is {runs[-1]}" if runs else "runs/ holds none"
        raise ConfigError(f"RUN is required: a run folder, part of its name, or {found}")
    run, file = checkpoint.named(place)
    if file is None:
        return run, which or "last"
    if which is not None:
        raise ConfigError(f"--checkpoint {which}: {place} is a checkpoint; name one of them")
    return run, file


@dataclass(frozen=True)
class Loaded:
    """A model in eval mode on its device."""

    model: Model
    settings: Settings
    step: int  # completed steps
    weights: str  # "ema" or "raw"
    fingerprint: str = ""  # of the training data; empty where it was not recorded
    trust: Trust = field(default_factory=Trust)  # the modules whose classes may be built


def open_for(options: argparse.Namespace) -> tuple[RunFolder, Loaded]:
    """The run and the model that a command's RUN and model options choose.

    The same command gives the same images again, on the same GPU at least.

    Raises:
        UserError: as `wanted` and `load_model`.
    """
    folder, which = wanted(options.run, options.checkpoint)
    return folder, load_for(options, folder, which)


def load_for(options: argparse.Namespace, run: RunFolder, which: str | Path) -> Loaded:
    """The model chosen by `options.add_model_options`; warns where averaged weights are missing.

    A GPU then computes in whole fp32, and by the same algorithm each time.

    Raises:
        UserError: as `load_model`.
    """
    import torch

    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    if options.trust:
        open_path(Path.cwd())  # where a console script would not look
    trust = Trust(tuple(options.trust), refused=(run.path.absolute(),))
    loaded = load_model(run, which, options.weights, trust, options.device)
    if options.weights == "ema" and loaded.weights == "raw" and loaded.model.averaged():
        log.warning("the run has no averaged weights (ema.decay=0); these are the raw ones")
    if options.standing is not None:
        stand(loaded.model, options.standing, loaded.settings.batch_size)
    return loaded


def stand(model: Model, batches: int, size: int) -> None:
    """Give batch norm the standing statistics of samples (Brock et al. 2019, appendix E).

    Means and variances of training belong to earlier weights, or to averages of them; these are
    the means over batches that the model itself draws, always the same ones. Networks that drawing
    does not use, such as an encoder, keep theirs.

    Args:
        model: in eval mode.
        batches: their number.
        size: samples in each.

    Raises:
        ConfigError: the model's sampler has no batch norm.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

    modules = [module for network in model.averaged() for module in network.modules()]
    norms = [module for module in modules if isinstance(module, BatchNorm)]
    if not norms:
        raise ConfigError(f"--standing {batches}: this run's sampler has no batch norm; omit it")
    before = [copy.deepcopy(layer.state_dict()) for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    seed_streams(0, model.device)
    with torch.no_grad():
        for _ in range(batches):
            model.sample(size)
    for layer, state in zip(norms, before, strict=True):
        if not layer.num_batches_tracked:
            layer.load_state_dict(state)
    model.eval()


def load_model(
    run: RunFolder,
    which: str | int | Path = "last",
    weights: str = "ema",
    trust: Trust = Trust(),  # noqa: B008 - frozen
    device: str = "auto",
) -> Loaded:
    """Rebuild the model of `run` as it was at a checkpoint.

    The checkpoint's own config counts: config.yaml is that of the last start, which may have
    changed settings by force. Only what `trust` allows is built.

    Args:
        run: the run folder.
        which: "last", "best", a step, or a file.
        weights: "ema" for the averaged ones, where the run has any, or "raw".
        trust: the user's modules that may be built; by default none but the package's own.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or does not fit its own config.
        ConfigError: the config names a class that is not trusted or does not exist, or there is no
            such device.
    """
    target = choose_device(device)
    path = checkpoint.find(run, which)
    state = checkpoint.load(path)
    settings = from_yaml(state["config"])
    spec = data_spec(state.get("data"), str(path))
    model = new_model(settings, spec, trust)
    averages = state.get("averages") if weights == "ema" else None
    try:
        model.load_state_dict(state["model"])
        if averages:
            load_averages(model, averages)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: its weights are not those of the model in its config: {reason}"
        ) from error
    place(model, target)
    fingerprint = str(state["data"].get("fingerprint", ""))
    warn_of_edits(run, state["config"], all_settings=False)
    used = "ema" if averages else "raw"
    return Loaded(model.eval(), settings, state["step"], used, fingerprint, trust)


def new_model(settings: Settings, data: DataSpec, trust: Trust) -> Model:
    """The model that settings describe, for data of that description, with random weights.

    Raises:
        ConfigError: the settings name a class that is not trusted or does not exist.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they were shown when training began
        return build(settings.model, "model", trust, shared=settings.nodes, data=data)


def warn_of_edits(run: RunFolder, text: str, all_settings: bool = True) -> None:
    """Warn where the run's config.yaml is not the config of its checkpoint, which counts.

    Args:
        run: the run.
        text: the checkpoint's config.
        all_settings: also those that no weight depends on, such as how often to log.
    """
    try:
        there = run.read_config()
        if there is None or there == text:
            return
        kept, edited = (foreign.parse_yaml(one, f"{run.config}") for one in (text, there))
        if not isinstance(edited, dict):
            raise CheckpointError(f"{run.config}: is not the config of a run")
        found = [d for d in differences(kept, edited) if all_settings or not d.safe]
    except CheckpointError as error:
        log.warning(f"{error}; the settings in the run's checkpoint are used")
        return
    listed = [f"{d.key} is {show(d.new)} there, {show(d.old)} in the checkpoint" for d in found]
    more = ["..."] if len(listed) > SHOWN else []
    if listed:
        advice = "; change settings on the command line" if all_settings else ""
        log.warning(
            f"{run.config}: differs from the run's checkpoint, whose settings are used: "
            f"{'; '.join([*listed[:SHOWN], *more])}{advice}"
        )


def describe_data(spec: DataSpec, fingerprint: str = "") -> dict[str, Any]:
    """The description of the data in a checkpoint, as plain values."""
    described = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return {**described, "fingerprint": fingerprint}


def data_spec(kept: Any, path: str) -> DataSpec:
    """The inverse of `describe_data`; `path` is named where it fails.

    Raises:
        CheckpointError: the description is missing or damaged.
    """
    try:
        if not isinstance(kept, Mapping):
            raise TypeError
        classes = int(kept.get("classes", 0))
        counts = tuple(int(count) for count in kept.get("class_counts", ()))
        shape, size = tuple(int(length) for length in kept["shape"]), int(kept["size"])
        source = tuple(int(length) for length in kept.get("source", ()))
        if (
            (counts and (len(counts) != classes or min(counts) < 0))
            or (counts and not 0 < sum(counts) < 1 << 53)
            or len(shape) not in (1, 3)
            or len(source) not in (0, 3)
            or not all(0 < length <= LARGEST for length in (*shape, *source))
            or not (size >= 0 and 0 <= classes <= max(size, LARGEST))
        ):
            raise ValueError
        return DataSpec(
            name=str(kept["name"]),
            shape=shape,
            size=size,
            classes=classes,
            class_names=tuple(str(name) for name in kept.get("class_names", ())),
            class_counts=counts,
            paired=bool(kept.get("paired", True)),
            source=source,
            vocabulary=tuple(str(symbol) for symbol in kept.get("vocabulary", ())),
            separator=str(kept.get("separator", "")),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: holds no description of its training data") from error


def of_older_folder(data: Any) -> bool:
    """Whether settings of data are those of a folder in an older version.

    Its fingerprint was that of the files' names and dates, so the same images have another one now.
    """
    folder = isinstance(data, Mapping) and str(data.get("_target_")).endswith(".folder.Folder")
    return folder and "background" not in data
