"""The plan of a study: its command line, parsed and checked, and its folder."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from gan_cli import files, foreign
from gan_cli.config.command_line import UNSET, Command, prepare, split
from gan_cli.config.schema import Count, Folder, Seconds, Settings, Strict, Text, Whole
from gan_cli.config.search_space import Dimension, dimensions
from gan_cli.config.settings import settings_of
from gan_cli.config.validation import trusted, validate
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import show, unquoted

EVALUATED = "metrics/"  # curves of evaluations; others are of the training
MINIMIZE, MAXIMIZE = "minimize", "maximize"


def direction_of(metric: str, asked: str, line: Command, runs: str) -> str:
    """`asked`, or for "auto" the direction that the metric's class states; a run later confirms it.

    Args:
        metric: a curve's name.
        asked: tune.direction.
        line: the command line, whose folders may hold metrics.
        runs: the folder of runs.

    Raises:
        ConfigError: `metric` is a curve of the training, whose direction is unknown.
    """
    if asked != "auto":
        return asked
    if not metric.startswith(EVALUATED):
        raise ConfigError(
            f"tune.direction: must be minimize or maximize for tune.metric = {metric}, which is "
            f"not a metric of an evaluation, such as {EVALUATED}fid_classifier"
        )
    from gan_cli.evaluation import registry
    from gan_cli.evaluation.metric import HIGHER

    known = registry.metrics(folders=line.config_dirs, trust=trusted(line, runs))
    better = registry.direction_of(metric.removeprefix(EVALUATED), known)
    return MAXIMIZE if better == HIGHER else MINIMIZE


PREFIX = "tune."
RANGE = re.compile(r"\s*(\d+)\s*\.\.\s*(\d+)\s*", re.ASCII)
SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?\d+", re.ASCII | re.IGNORECASE)
TEXTS = ("dir", "storage", "metric")
MOST_SEEDS = 1000


def _seeds(value: object) -> object:
    """`3`, `1,2,3`, `[1,2,3]` and `1..3` as a list."""
    if isinstance(value, str):
        if match := RANGE.fullmatch(value):
            first, last = int(match[1]), int(match[2])
            value = list(range(first, last + 1)) if last - first < MOST_SEEDS else []
        else:
            parts = [part.strip() for part in value.split(",")]
            value = [int(p) for p in parts if p.isascii() and p.isdigit()]
            value = value if len(value) == len(parts) else []
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    good = isinstance(value, list) and all(type(v) is int and 0 <= v < 2**63 for v in value)
    if not value or not good or len(set(value)) < len(value):  # type: ignore[arg-type]
        message = "must be different whole numbers, such as 0, 1,2,3 or 1..3"
        raise PydanticCustomError("asked", message)
    return value


class Tune(Strict):
    """The settings of a study."""

    metric: Text  # as in metrics.jsonl
    direction: Literal["auto", "minimize", "maximize"] = "auto"
    value: Literal["best", "last"] = "best"  # the point of the curve that is a trial's value
    trials: Count = 50  # of the whole study, over all commands and machines
    max_time: Seconds = None  # of this command
    space: dict[str, Any] = Field({})  # besides the ranges of the command line
    seeds: Annotated[list[int], BeforeValidator(_seeds)] = Field([0])
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0  # of the search
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["hyperband", "asha", "median", "none"] = "hyperband"
    workers: Annotated[Whole, Field(ge=1, le=256)] = 1
    gpus: Annotated[Whole, Field(ge=1, le=64)] | None = None
    dir: Folder | None = None
    storage: Text | None = None


def read(argv: Sequence[str]) -> tuple[Tune, list[str]]:
    """The study's settings, and the words for gan-train.

    Raises:
        ConfigError: lists every fault.
    """
    values: dict[str, Any] = {}
    rest = []
    for word in argv:
        if not word.strip():
            raise ConfigError(f"an argument is empty{UNSET}")
        key, equals, text = word.partition("=")
        key = key.lstrip("+")
        if key.startswith(PREFIX) and equals:
            name = key.removeprefix(PREFIX)
            values[name] = _text(text) if name in TEXTS else _parsed(text)
        else:
            rest.append(word)
    faults = validate(Tune, values, "tune")
    if "metric" not in values:
        faults = [fault for fault in faults if not fault.startswith("tune.metric: missing")]
        faults.insert(0, "tune.metric: must be given, such as tune.metric=metrics/fid_classifier")
    if faults:
        raise ConfigError("\n".join(faults))
    return Tune.model_validate(values), rest


def _text(text: str) -> str | None:
    """A setting that is text, even if it looks like a number or a date."""
    return None if text.strip() == "null" else unquoted(text)


def _parsed(text: str) -> Any:
    if SCIENTIFIC.fullmatch(text.strip()):  # text to YAML, unlike 1.0e+4
        return float(text)
    try:
        return yaml.safe_load(text) if text.strip() else text  # which does not mean null
    except (yaml.YAMLError, ValueError):  # such as a date that does not exist
        return text


POINTS = 10  # evaluations of a run by default
NOT_HERE = {
    "run.dir": "each trial has its own folder below tune.dir",
    "run.name": "each trial has its own folder below tune.dir",
    "resume": "the same command, or the same tune.dir, resumes a study",
    "force": "a study keeps the settings it was started with",
    "dry_run": "try the settings with gan-train first",
    "seed": "use tune.seeds, over which a trial's value is averaged",
}


@dataclass(frozen=True)
class StudyPlan:
    """A study.

    Attributes:
        options: of gan-train: --config-dir and --trust.
        fixed: overrides of every trial, as typed.
        added: overrides of every trial that the study needs.
        steps: of a trial's run; None if its length is given in epochs or images.
        every: steps between two points of the metric's curve.
        folder: of the study.
        folder_id: the same for all processes that share the folder.
    """

    tune: Tune
    direction: str
    options: tuple[str, ...]
    fixed: tuple[str, ...]
    added: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    steps: int | None
    every: int
    folder: Path
    folder_id: str = ""

    def run_folder(self, number: int, seed: int) -> Path:
        """The run folder of a trial and a seed."""
        return self.folder / f"trial-{number:04d}-seed-{seed}"

    @property
    def work(self) -> Path:
        """The folder of locks and of the output of processes."""
        return self.folder / "work"

    def identity(self) -> dict[str, Any]:
        """The settings that make its trials comparable; only with the same can it be resumed."""
        return {
            "metric": self.tune.metric,
            "direction": self.direction,
            "value": self.tune.value,
            "seeds": self.tune.seeds,
            "settings": sorted(self.fixed),
            "evaluation": list(self.added),
            "space": {dimension.key: str(dimension) for dimension in self.dimensions},
        }

    def differences(self, saved: Mapping[str, Any]) -> list[str]:
        """What a saved identity has otherwise, a line for each setting."""
        now = self.identity()
        return [
            f"{key}: {show(saved.get(key))} there, {show(now[key])} now"
            for key in now
            if saved.get(key) != now[key]
        ]


def plan_of(argv: Sequence[str]) -> StudyPlan:
    """The study of a command line; nothing is written.

    Raises:
        ConfigError: lists every fault.
    """
    tune, rest = read(argv)
    line = prepare([*rest, *_space(tune)])
    refuse(line)
    options = line.sources
    found, fixed = dimensions(line)
    settings = check(options, fixed, found)
    direction = direction_of(tune.metric, tune.direction, line, settings.run.root)
    added = list(_added(tune, line, settings))
    every = settings.log_every
    if tune.metric.startswith(EVALUATED):
        every = settings.evaluation.every or int(added[0].partition("=")[2])
    plan = StudyPlan(
        tune,
        direction,
        tuple(options),
        tuple(fixed),
        tuple(added),
        tuple(found),
        settings.steps,
        every,
        Path(),
    )
    return replace(plan, folder=Path(tune.dir) if tune.dir else _folder(plan, settings))


def _folder(plan: StudyPlan, settings: Settings) -> Path:
    """The default folder, which depends on the command alone, so that the same one resumes."""
    identity = json.dumps([plan.identity(), plan.options], sort_keys=True)
    short = hashlib.sha256(identity.encode()).hexdigest()[:8]
    model, data = (settings.choices.get(group, group) for group in ("model", "data"))
    return Path(settings.run.root) / f"tune-{model}-{data}-{short}"


def _space(tune: Tune) -> Iterator[str]:
    """The overrides that tune.space means."""
    for key, value in tune.space.items():
        if isinstance(value, list) and value:
            words = ",".join(map(show, value))
            yield f"{key}={words}" if len(value) > 1 else f"{key}=choice({words})"
        elif isinstance(value, str):
            yield f"{key}={value}"
        else:
            raise ConfigError(
                f"tune.space: {key} = {show(value)}: must be a list, or a range in quotes, such as "
                """'tune.space={optimizer.lr: "tag(log,interval(1e-5,1e-2))"}'"""
            )


def refuse(line: Command) -> None:
    """Raise ConfigError for settings that the study makes itself."""
    faults = [f"{key}: {NOT_HERE[key]}" for key, _ in map(split, line.overrides) if key in NOT_HERE]
    if line.multirun:
        faults.append("-m: a study tries values of ranges by itself")
    alone = [name for name in line.options if name not in ("--config-dir", "--trust", "--multirun")]
    faults += [f"{name}: is an option of gan-train alone" for name in alone]
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))


def check(options: Sequence[str], fixed: Sequence[str], found: Sequence[Dimension]) -> Settings:
    """Compose both ends of every range and every choice; the settings of the first ones.

    Raises:
        ConfigError: there is no range, or a value that gan-train would refuse.
    """
    if not found:
        raise ConfigError(
            "nothing to search: give at least one setting a range, such as "
            "'optimizer.lr=tag(log,interval(1e-5,1e-2))' or network=dcgan,mlp"
        )
    first = {dimension.key: dimension.probes()[0] for dimension in found}
    settings = settings_of(*options, *fixed, *(f"{key}={text}" for key, text in first.items()))
    faults: list[str] = []
    for dimension in found:
        for probe in dimension.probes()[1:]:
            values = first | {dimension.key: probe}
            try:
                settings_of(*options, *fixed, *(f"{key}={text}" for key, text in values.items()))
            except ConfigError as error:
                faults += [f"{dimension.key}={probe}: {line}" for line in str(error).splitlines()]
    if faults:
        raise ConfigError("\n".join(faults))
    return settings


def _added(tune: Tune, line: Command, settings: Settings) -> Iterator[str]:
    """The overrides that evaluate runs, if the metric is one of evaluations."""
    if not tune.metric.startswith(EVALUATED):
        return
    if settings.evaluation.every is None:
        if settings.steps is None:
            raise ConfigError("evaluation.every: must be given, in steps, if a run's length is not")
        yield f"evaluation.every={max(1, settings.steps // POINTS)}"
    if tune.direction == "auto" and "evaluation.best" not in line.keys:
        yield f"evaluation.best={tune.metric.removeprefix(EVALUATED)}"


def prepare_folder(plan: StudyPlan) -> StudyPlan:
    """Create the study's folder, or check that it holds the same study.

    Raises:
        ConfigError: it holds another study.
        CheckpointError: it is not a study's, a link leads out of it, or a lock is no file.
        UserError: the folder cannot be written.
    """
    from filelock import FileLock

    file = plan.folder / "study.json"
    files.refuse_links(
        plan.work,
        file,
        plan.folder / "experiment",
        plan.folder / "study.journal",
        *plan.folder.glob("trial-*"),
        *plan.work.glob("*"),
    )
    files.require_files(*plan.work.glob("*"))  # locks, and the output of processes
    try:
        plan.work.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise files.cannot_write(plan.folder, cause) from cause
    with FileLock(plan.work / "study"):
        # Other processes of the study write there, too.
        files.remove_leftovers(plan.folder, older_than=files.WRITING)
        if not file.exists():
            folder_id = f"{plan.folder.name}-{uuid.uuid4().hex[:8]}"
            text = json.dumps({"place": folder_id, **plan.identity()}, indent=2)
            files.write(file, text + "\n")
        saved = foreign.read_json(file)
    if not isinstance(saved, dict) or not isinstance(saved.get("place"), str):
        raise CheckpointError(f"{file}: is not a study; choose another tune.dir")
    if faults := plan.differences(saved):
        raise ConfigError(
            f"tune.dir = {plan.folder}: holds another study; choose another folder, or ask for the "
            "same:\n  " + "\n  ".join(faults)
        )
    return replace(plan, folder_id=saved["place"])
