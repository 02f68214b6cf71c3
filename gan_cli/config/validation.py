"""Checks beyond the schema: one length of the run, a choice of each group, sound nodes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gan_cli.config import groups
from gan_cli.config.aliases import listed, meant_key
from gan_cli.config.command_line import Command, split
from gan_cli.config.instantiate import TARGET, build, check, plainly
from gan_cli.config.schema import HORIZONS, NODES, Rates, Schedule, Settings
from gan_cli.config.trust import NEVER_OWN, Trust
from gan_cli.errors import ConfigError
from gan_cli.formatting import any_of, hint, shell_command, show, unquoted, user_path
from gan_cli.outputs import output_around


def optimizer_settings(node: Mapping[str, Any], phases: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each phase the optimizer's `_target_` and arguments, and the settings of `Schedule`.

    Args:
        node: the config's `optimizer`.
        phases: the names of the model's players.

    Raises:
        ConfigError: settings for a phase that the model does not have.
    """
    common, own = split_phases(node)
    faults = [
        f"optimizer.{name}: no phase of that name; this model has {', '.join(phases)}"
        f"{hint(name, phases)}"
        for name in own
        if name not in phases
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    defaults = Schedule().model_dump()
    return {name: {**defaults, **common, **own.get(name, {})} for name in phases}


def split_phases(node: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The common settings, and the phases' own."""
    own = {key: dict(value) for key, value in node.items() if isinstance(value, Mapping)}
    return {key: value for key, value in node.items() if key not in own}, own


def range_faults(node: Mapping[str, Any]) -> list[str]:
    """Rates and schedules that are out of range; imports nothing of what `node` names."""
    common, own = split_phases(node)
    faults = _ranges(common, "optimizer")
    for name, settings in own.items():
        faults += _ranges(settings, f"optimizer.{name}")
    return faults


def faults_of(node: Mapping[str, Any], trust: Trust) -> list[str]:
    """The faults of the config's `optimizer` that can be found without a model."""
    from torch.optim import Optimizer

    common, own = split_phases(node)
    arguments = {k: v for k, v in common.items() if k not in Schedule.model_fields}
    faults = range_faults(node)
    faults += check(arguments, "optimizer", trust, given=("params",), kind=Optimizer)
    for name, settings in own.items():
        path = f"optimizer.{name}"
        mine = {k: v for k, v in settings.items() if k not in Schedule.model_fields}
        target = {TARGET: arguments.get(TARGET)}
        found = check({**target, **mine}, path, trust, given=("params",), kind=Optimizer)
        # A fault of the common target is listed once, there.
        common = () if TARGET in mine else (f"{path}.{TARGET}",)
        faults += [f for f in found if not f.startswith(common)]
    return faults


def plain_settings(node: Mapping[str, Any], trust: Trust) -> dict[str, Any]:
    """A sound `optimizer` with its values as its class and the schedules have them."""
    common, own = split_phases(node)
    settled = _plain_settings(common, trust)
    for name, settings in own.items():
        mine = _plain_settings({TARGET: common[TARGET], **settings}, trust)
        settled[name] = {key: mine[key] for key in settings}
    return settled


def _plain_settings(settings: Mapping[str, Any], trust: Trust) -> dict[str, Any]:
    schedule = {k: v for k, v in settings.items() if k in Schedule.model_fields}
    settled = Schedule.model_validate(schedule).model_dump(include=set(schedule))
    return plainly(settings, trust) | settled


def _ranges(settings: Mapping[str, Any], path: str) -> list[str]:
    rates = {k: v for k, v in settings.items() if k in Rates.model_fields}
    schedule = {k: v for k, v in settings.items() if k in Schedule.model_fields}
    return validate(Rates, rates, path) + validate(Schedule, schedule, path)


def ignored(root: Mapping[str, Any], typed: Collection[str]) -> Iterator[str]:
    """Faults of `typed` settings that another one leaves without effect."""
    run = root.get("run")
    if isinstance(run, Mapping) and {"run.dir", "run.name"} <= set(typed):
        folder, name = run.get("dir"), run.get("name")
        if folder is not None and name is not None:
            yield (
                f"run.name = {show(name)}: run.dir = {show(folder)} is the run's folder already; "
                "leave one of them out"
            )
    optimizer = root.get("optimizer")
    if not isinstance(optimizer, Mapping):
        return
    common, own = split_phases(optimizer)
    for key in dict.fromkeys(typed):
        player, _, name = key.removeprefix("optimizer.").rpartition(".")
        if not key.startswith("optimizer.") or name not in SCHEDULED or player not in ("", *own):
            continue
        those = [own[player]] if player else [common, *own.values()]
        value = (own[player] if player else common).get(name)
        if value is not None and all(
            settings.get("schedule", common.get("schedule", "constant")) == "constant"
            for settings in those
        ):
            schedule = f"{key.removesuffix(name)}schedule"
            yield (
                f"{key} = {show(value)}: needs a schedule; set {schedule}=linear or "
                f"{schedule}=cosine"
            )


SCHEDULED = ("final_lr", "final_betas", "schedule_steps")  # settings of a rate that changes
DEFAULT_ROOT = "runs"  # of run folders, in conf/train.yaml
LIGHT = ("loss", "penalty", "network", "prior")  # nodes that cost nothing to build
NAMED = re.compile(r"""^\s*(?:-\s+)?_target_:\s*["']?([\w.]+)""", re.MULTILINE)
KEY = re.compile(r"(.+?)(?: = |: )")
NO_HORIZON = "steps = null: steps, epochs or images must say how long to train"


def trusted(command: Command, run_root: str, foreign: Path | None = None) -> Trust:
    """Whose classes may be built for a training: those that the user put within reach.

    What the user typed decides, and no file that is composed. Nothing below where run folders are
    made: a run folder never provides code, and a folder of --config-dir that is a run or a study
    vouches for none.

    Args:
        command: its --trust, --config-dir and run.root.
        run_root: where run folders are made; a preset may have said so, hence it only forbids.
        foreign: the run folder that the configuration comes from.
    """
    typed = [value for key, value in map(split, command.overrides) if key == "run.root" and value]
    roots = dict.fromkeys((DEFAULT_ROOT, *map(unquoted, typed), run_root))
    refused = tuple(user_path(root).absolute() for root in roots)
    own = [folder for folder in command.config_dirs if output_around(folder) is None]
    folders = [Path.cwd(), *(place for folder in own for place in (folder, folder.parent))]
    trust = Trust(
        tuple(command.trust),
        tuple(f for f in folders if output_around(f) is None),
        refused,
        named=tuple(modules_named_in(command.config_dirs)),
    )
    return trust if foreign is None else trust.for_run(foreign)


def modules_named_in(folders: Sequence[Path]) -> list[str]:
    """The modules of the classes that the YAML files in `folders` name; none of Python or torch.

    A folder that is a run or a study vouches for none.
    """
    own = [folder for folder in folders if output_around(folder) is None]
    files = [path for folder in own for path in folder.rglob("*.yaml") if path.is_file()]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    targets = [name for text in texts for name in NAMED.findall(text)]
    modules = {target.rpartition(".")[0] for target in targets} - {""}
    return sorted(m for m in modules if m.partition(".")[0] not in NEVER_OWN)


def settle_horizon(root: dict[str, Any], typed: list[str]) -> Iterator[str]:
    """Leave one of steps, epochs and images; faults where the user gave several or none.

    What was typed goes before what files say; in files, epochs and images go before steps, which
    conf/train.yaml always gives.
    """
    given = [name for name in HORIZONS if root.get(name) is not None]
    chosen = [name for name in given if name in typed]
    chosen = chosen or [name for name in given if name != "steps"] or given
    if len(chosen) > 1:
        yield several(root, chosen)
    elif not chosen:
        yield NO_HORIZON
    else:
        root.update({name: None for name in HORIZONS if name not in chosen})


def several(root: Mapping[str, Any], names: list[str]) -> str:
    values = " and ".join(f"{name} = {show(root[name])}" for name in names)
    return f"{values}: only one of steps, epochs and images can say how long to train"


def absent_groups(root: Mapping[str, Any], folders: list[Path]) -> Iterator[tuple[str, str]]:
    """Groups without a choice, and what to say of each."""
    for name in groups.names():
        field = Settings.model_fields.get(name)
        if root.get(name) is None and field is not None and field.is_required():
            options = groups.options(name, folders)
            yield name, f"{name}: missing; choose one with {name}=...; {listed(name, options)}"


def _kinds() -> dict[str, type]:
    from gan_cli.data.dataset import Dataset
    from gan_cli.model import Model

    return {"data": Dataset, "model": Model}


def node_faults(root: Mapping[str, Any], trust: Trust, shared: Mapping[str, Any]) -> Iterator[str]:
    """The faults of the nodes that are to be built; of outlines, those that these can show."""
    kinds = {} if trust.outlines else _kinds()
    given = {"model": ("data",), "data": ("outputs",)}
    for name in NODES:
        node = root.get(name)
        if not isinstance(node, Mapping):
            continue
        if name == "optimizer":
            yield from range_faults(node) if trust.outlines else faults_of(node, trust)
            continue
        for key, value in node.items():
            group = shared.get(key, {})
            if isinstance(value, Mapping) and TARGET in group and TARGET not in value:
                # `model.prior.dim=5` replaces what `prior: ${prior}` says.
                typed = ", ".join(
                    shell_command(f"{key}.{inner}={show(v)}") for inner, v in value.items()
                )
                yield f"{name}.{key} = {show(value)}: is the group {key}; set {typed}"
        faults = check(
            node, name, trust, given=given.get(name, ()), shared=shared, kind=kinds.get(name)
        )
        yield from faults
        if not faults and name in LIGHT and not trust.outlines:
            try:
                build(node, name, trust, shared)
            except ConfigError as error:  # what only the class itself knows to be wrong
                yield str(error)
    callbacks = root.get("callbacks")
    for name, node in callbacks.items() if isinstance(callbacks, Mapping) else ():
        yield from check(node, f"callbacks.{name}", trust, given=("run",), shared=shared)


def once(faults: list[str]) -> list[str]:
    """One fault for each key, the first that was found."""
    found: dict[str, str] = {}
    for fault in faults:
        match = KEY.match(fault)
        found.setdefault(match[1] if match else fault, fault)
    return list(found.values())


Key = tuple[int | str, ...]

WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of less than 64 bits",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "finite_number": "finite",
    "dict_type": "a mapping with _target_, the full name of a class",
}


def validate(
    kind: type[BaseModel],
    config: Mapping[str, Any],
    prefix: str = "",
    elsewhere: Collection[str] = (),
) -> list[str]:
    """What is wrong with `config` as a `kind`, one line each.

    Args:
        kind: what it should be.
        config: what it is.
        prefix: its key within the whole config.
        elsewhere: dotted keys that exist beside those of `kind`, to be suggested.
    """
    try:
        kind.model_validate(dict(config))
    except ValidationError as error:
        path = tuple(prefix.split(".")) if prefix else ()
        paths = [*_walk(kind, ""), *elsewhere]
        return [_line(kind, fault, path, paths) for fault in error.errors(include_url=False)]
    return []


def _line(kind: type[BaseModel], fault: Any, prefix: Key, paths: Collection[str]) -> str:
    key, value, context = prefix + fault["loc"], fault["input"], fault.get("ctx") or {}
    name, what = _join(key), fault["type"]
    at = f"{name} = {show(value)}"
    if what == "extra_forbidden":
        return f"{name}: unknown key{meant(key, _siblings(kind, fault['loc']), paths)}"
    if what == "missing":
        return f"{name}: missing; give it a value with {name}=..."
    if what == "literal_error":
        options = get_args(_field(kind, fault["loc"]))
        return f"{at}: must be {any_of(options)}{hint(str(value), options)}"
    if what in ("model_type", "model_attributes_type"):
        fields = _field(kind, fault["loc"]).model_fields
        return f"{at}: must be a mapping with {', '.join(fields)}"
    if what == "greater_than":
        return f"{at}: must be greater than {show(context['gt'])}"
    if what == "greater_than_equal":
        return f"{at}: must be at least {show(context['ge'])}"
    if what == "less_than":
        return f"{at}: must be less than {show(context['lt'])}"
    if what == "less_than_equal":
        return f"{at}: must be at most {show(context['le'])}"
    if what in ("too_short", "too_long"):
        count = context.get("min_length", context.get("max_length"))
        return f"{at}: must be a list of {count} numbers"
    if what == "string_too_short":
        return f"{at}: must not be empty"
    if what not in WANTED:
        return f"{at}: {fault['msg']}"
    return f"{at}: must be {WANTED[what]}"


def _join(key: Key) -> str:
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def meant(key: Key, siblings: Collection[str], paths: Collection[str]) -> str:
    """` (did you mean ...?)` for an unknown key: a sibling, or a key of that name elsewhere.

    Args:
        key: the unknown one.
        siblings: names that exist beside it.
        paths: all dotted keys that exist.
    """
    *parents, last = map(str, key)
    near = hint(last, siblings)
    if near:
        return near.replace("mean ", f"mean {'.'.join(parents)}.") if parents else near
    if other := meant_key(last):
        return f" (did you mean {other}?)"
    elsewhere = [path for path in paths if path.rpartition(".")[2] == last]
    if elsewhere:
        return f" (did you mean {any_of(elsewhere[:3])}?)"
    if any(path.startswith(f"{parent}.") for path in paths for parent in parents[:1]):
        return ""  # nothing there is near it
    return hint(".".join(map(str, key)), paths, cutoff=0.8)


def _siblings(kind: type[BaseModel], location: Key) -> list[str]:
    inner = _field(kind, location[:-1]) if len(location) > 1 else kind
    return list(inner.model_fields)


def _field(kind: Any, location: Key) -> Any:
    """The type at `location` within a model; of `X | None` it is X."""
    for part in location:
        if not hasattr(kind, "model_fields"):
            break
        kind = kind.model_fields[str(part)].annotation
    return kind


def _walk(kind: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _walk(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
