"""The schema of a composed config: every root key of conf/train.yaml, its type and its range."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from gan_cli import formatting
from gan_cli.config.annotations import whole
from gan_cli.formatting import user_path

NODES = ("loss", "penalty", "network", "prior", "optimizer", "data", "model")
HORIZONS = ("steps", "epochs", "images")
CALLBACKS = {  # of runs that an older version began, which had no such setting
    "animation": {"_target_": "gan_cli.callbacks.samples.Animation"},
    "samples": {"_target_": "gan_cli.callbacks.samples.Samples"},
    "tensorboard": {"_target_": "gan_cli.callbacks.tensorboard.TensorBoard"},
    "progress": {"_target_": "gan_cli.callbacks.progress.Progress"},
}
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def _seconds(value: object) -> object:
    """Text such as 10m as seconds."""
    if value is None:
        return value
    try:
        return formatting.parse_duration(value)  # type: ignore[arg-type] - it refuses other types itself
    except ValueError:
        raise PydanticCustomError("asked", "must be a time such as 90s, 10m, 2h or 1d") from None


def _device(value: str) -> str:
    if not DEVICE.fullmatch(value):
        raise PydanticCustomError("asked", "must be auto, cpu, cuda, cuda:N or mps")
    return value


def _file_name(value: str) -> str:
    if re.search(r"[/\\\0]", value) or value in (".", ".."):
        raise PydanticCustomError("asked", "must be the name of a folder, without slashes")
    return value


def _names(value: object) -> object:
    """A name, or several."""
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(name, str) and name for name in several):
        message = "must be auto, all or a list of names such as [fid,kid]"
        raise PydanticCustomError("asked", message)
    return value


def _switch(value: object) -> object:
    """Yes, no, or as it seems best."""
    if value != "auto" and not isinstance(value, bool):
        raise PydanticCustomError("asked", "must be auto, true or false")
    return value


def _home(value: str) -> str:
    return str(user_path(value)) if value.startswith("~") else value


def _off(value: object) -> object:
    """Nothing for 0."""
    return None if not isinstance(value, bool) and whole(value) == 0 else value


Whole = Annotated[int, BeforeValidator(whole)]
# The largest step, which is a 64-bit number wherever it goes.
Count = Annotated[Whole, Field(ge=1, lt=2**63)]
Every = Annotated[Count | None, BeforeValidator(_off)]  # 0 and null: never
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(min_length=1)]
Folder = Annotated[Text, AfterValidator(_home)]
Node = dict[str, Any]
Positive = Annotated[float, Field(gt=0)]
Seconds = Annotated[float | None, BeforeValidator(_seconds)]  # typed as 90s, 10m ...


class Strict(BaseModel):
    """Frozen; unknown keys and values of another type are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Checkpoint(Strict):
    """When the state is saved, and how many states stay."""

    every: Every
    keep: Count | None  # null: all
    minutes: Annotated[Positive | None, BeforeValidator(_off)] = 5.0  # earlier runs have none


class Evaluation(Strict):
    """When and how the model is evaluated during training."""

    every: Every = None  # steps
    metrics: Annotated[str | list[str], PlainValidator(_names)] = "auto"
    samples: Annotated[Whole, Field(ge=2, le=10_000_000)] = 10_000
    split: Literal["train", "test"] = "train"
    best: Text | None = None
    patience: Count | None = None  # evaluations
    seed: Seed = 0
    inception: Folder | None = None
    resize: Literal["bilinear", "clean"] = "bilinear"
    extractor: Text | None = None


class Health(Strict):
    """What happens to a run that has diverged."""

    on_nan: Literal["stop", "rollback"] = "stop"
    retries: Count = 3
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    diagnose: bool = True


class Ema(Strict):
    """The averaged weights."""

    decay: Annotated[float, Field(ge=0, lt=1)]
    warmup: Annotated[Count | None, BeforeValidator(_off)] = None  # earlier runs have none
    ramp: Annotated[Positive | None, BeforeValidator(_off)] = None  # earlier runs have none


class Run(Strict):
    """Where the run folder is."""

    root: Folder
    dir: Folder | None
    name: Annotated[Text, AfterValidator(_file_name)] | None
    requeue: bool = False  # earlier runs have none


class Weights(Strict):
    """The weights that a new run begins with."""

    source: Folder | None = None
    strict: bool = True
    averaged: bool = True


class Sweep(Strict):
    """The sweep that the run is one of."""

    dir: Folder | None = None
    name: Annotated[Text, AfterValidator(_file_name)] | None = None
    retry_failed: bool = False
    keys: list[str] = []  # that vary; the sweep sets it


class Runtime(Strict):
    """Where and how to compute."""

    device: Annotated[str, AfterValidator(_device)]
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    threads: Annotated[Whole, Field(ge=1, le=4096)] | None
    compile: bool
    graphs: Annotated[str | bool, PlainValidator(_switch)] = "auto"  # earlier runs lack these
    deterministic: bool = False
    sync_batch_norm: bool = False  # earlier runs have none
    together: Annotated[str | bool, PlainValidator(_switch)] = "auto"
    oom: Literal["stop", "shrink"] = "stop"  # earlier runs have none


class Settings(Strict):
    """A run, as composed, validated and saved. One of `steps`, `epochs` and `images` is set."""

    seed: Seed
    batch_size: Annotated[Whole, Field(ge=1, le=1_000_000)]
    accumulate: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1  # earlier runs have none
    steps: Count | None
    epochs: Count | None
    images: Count | None
    max_time: Seconds
    log_every: Count
    sample_every: Every
    film: Annotated[str | bool, PlainValidator(_switch)] = "auto"  # earlier runs have none
    checkpoint: Checkpoint
    evaluation: Evaluation = Evaluation()  # earlier runs have none
    health: Health = Health()  # earlier runs have none
    ema: Ema
    run: Run
    sweep: Sweep = Sweep()  # earlier runs have none
    weights: Weights = Weights()  # earlier runs have none
    resume: Folder | None
    force: bool
    dry_run: bool
    runtime: Runtime
    loss: Node
    penalty: Node
    network: Node
    prior: Node
    optimizer: Node
    data: Node
    model: Node
    callbacks: dict[str, Node] = CALLBACKS
    choices: dict[str, str] = {}  # the option that was taken of each group

    @property
    def nodes(self) -> dict[str, Node]:
        """What is built from a `_target_`, by root key."""
        return {name: getattr(self, name) for name in NODES}

    @property
    def outputs(self) -> list[str]:
        """The folders that the command writes to, beside those that say so themselves."""
        return [str(one) for one in (self.run.root, self.run.dir, self.sweep.dir) if one]

    def goes_together(self) -> bool:
        """Whether it may be trained with others, who would share `max_time`.

        Not with weights to begin with, rollbacks or smaller parts, which each run does by itself.
        """
        choice = self.runtime.together
        going_back = self.health.on_nan == "rollback" or self.runtime.oom == "shrink"
        if self.weights.source is not None or going_back:
            return False
        return choice is True or (choice == "auto" and self.max_time is None)

    def is_twin_of(self, other: Settings) -> bool:
        """Whether it differs in its seed and its run folder alone, if in anything."""
        return self.model_copy(update={"seed": other.seed, "run": other.run}) == other


NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Schedule(Strict):
    """What a player's settings hold beside the arguments of its optimizer."""

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Annotated[Whole, Field(ge=0, lt=2**63)] = 0
    clip_norm: Positive | None = None
    final_lr: NotNegative | None = None
    final_betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] | None = None
    schedule_steps: Count | None = None


class Rates(BaseModel):
    """Ranges of the arguments that torch's optimizers share; others are theirs to check."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)

    lr: Positive = 1.0
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] = [0.0, 0.0]
    weight_decay: NotNegative = 0.0
    momentum: Fraction = 0.0
    alpha: Fraction = 0.0
    dampening: Fraction = 0.0
    eps: NotNegative = 0.0
