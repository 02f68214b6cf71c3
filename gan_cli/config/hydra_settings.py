"""Settings of Hydra itself that may be set: the launcher of -m, its settings, values to sweep over.

Hydra imports and calls what its node names (callbacks, handlers of logs, launchers), before our
gate could look at it. So a command line and the config files of others may set little of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gan_cli.formatting import any_of, cut, show, unquoted

INSTEAD = {  # of what one might want of Hydra
    "hydra.run": "run folders are named with run.dir, run.name and run.root",
    "hydra.sweep": "a sweep's folder is named with sweep.dir or sweep.name",
    "hydra.searchpath": "a folder of config files is named with --config-dir",
    "hydra.sweeper": "only hydra.sweeper.params and hydra.sweeper.max_batch_size can be set",
}
OTHERWISE = "only hydra/launcher, hydra.launcher and hydra.sweeper.params can be set of Hydra"
LAUNCHERS = {
    "local": "hydra_plugins.gan_train.local.LocalLauncher",
    "ray": "hydra_plugins.gan_train.ray.RayLauncher",
    "slurm": "hydra_plugins.gan_train.slurm.SlurmLauncher",
    "basic": "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
}
SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
CHOICES = {  # of Hydra's own groups, as conf/train.yaml leaves them
    "hydra/env": "default",
    "hydra/callbacks": None,
    "hydra/job_logging": "none",
    "hydra/hydra_logging": "none",
    "hydra/hydra_help": "default",
    "hydra/help": "default",
    "hydra/sweeper": "basic",
    "hydra/output": "default",
}
# Of Slurm's options those that say where and how long a job runs; others name files or commands.
OPTIONS = ("account", "comment", "constraint", "exclude", "exclusive", "gres", "mem", "nodelist")
OPTIONS += ("partition", "qos", "signal_delay_s", "time", "wckey")
WORD = re.compile(r"[\w.,:+\-]*", re.ASCII)
SETTING = re.compile(r"[\w./@]+", re.ASCII)


def fault_of_typed(key: str, value: str | None) -> str | None:
    """Why an override of `key` is refused; None where it is not, or is not about Hydra."""
    if not re.match(r"hydra\b", key):
        return None
    base = key.partition("@")[0]
    at = base if value is None else f"{base} = {cut(value)}"
    sweeper = base in ("hydra.sweeper.params", "hydra.sweeper.max_batch_size")
    sweeper = sweeper or base.startswith("hydra.sweeper.params.")
    known = {"hydra/launcher": list(LAUNCHERS), "hydra.mode": ["RUN", "MULTIRUN"]}
    if base == key and base in known:
        name = unquoted(value or "")
        return None if name in known[base] else f"{at}: must be {any_of(known[base])}"
    if base == key and sweeper:
        return None
    if base == key and re.match(r"hydra\.launcher(\.|$)", base):
        return None
    near = [said for name, said in INSTEAD.items() if re.match(rf"{re.escape(name)}\b", base)]
    return f"{at}: {near[0] if near else OTHERWISE}"


def faults_of_file(node: Any, file: str) -> Iterator[str]:
    """What a config file of the user's folder says under `hydra` and may not.

    Args:
        node: its `hydra`, plain.
        file: its name, for messages.
    """
    if not isinstance(node, Mapping):
        yield f"{file}: hydra = {show(node)}: must be a mapping"
        return
    for name, value in node.items():
        if name == "launcher" and isinstance(value, Mapping):
            yield from _launcher_faults(value, file)
        elif name == "sweeper" and isinstance(value, Mapping) and set(value) <= {"params"}:
            yield from faults_of_params(value.get("params"), f"{file}: ")
        else:
            yield (
                f"{file}: hydra.{name}: a config file may set hydra.launcher and "
                "hydra.sweeper.params, and nothing else of Hydra's"
            )


def _launcher_faults(node: Mapping[Any, Any], file: str) -> Iterator[str]:
    for name, value in node.items():
        at = f"{file}: hydra.launcher.{name} = {show(value)}"
        if name == "options" and isinstance(value, Mapping):
            for option, text in value.items():
                plain = _is_number(text) or (isinstance(text, str) and WORD.fullmatch(text))
                if option not in OPTIONS or not plain:
                    yield (
                        f"{file}: hydra.launcher.options.{option} = {show(text)}: in a config file "
                        f"must be one of {', '.join(OPTIONS)}, and a number or a word; others are "
                        "given on the command line"
                    )
        elif not _is_number(value):
            yield f"{at}: in a config file must be a number, true or false"


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float)


def faults_of_params(params: Any, where: str = "") -> Iterator[str]:
    """What `hydra.sweeper.params` may not vary: it holds overrides, which go by Hydra alone."""
    for key in params if isinstance(params, Mapping) else ():
        if not isinstance(key, str) or not SETTING.fullmatch(key) or key.startswith("hydra"):
            yield f"{where}hydra.sweeper.params.{key}: must be a setting of the run"


def faults_of_composed(node: Mapping[str, Any]) -> Iterator[str]:
    """What a composed `hydra`, plain, may not hold, wherever it comes from."""
    for group, option in node["runtime"]["choices"].items():
        if group == "hydra/launcher":
            if option not in LAUNCHERS:
                yield f"{group} = {show(option)}: must be {any_of(list(LAUNCHERS))}"
        elif group.startswith("hydra/") and (group, option) not in CHOICES.items():
            yield f"{group} = {show(option)}: {OTHERWISE}"
    target = _target(node["launcher"])
    if target not in LAUNCHERS.values():
        yield f"hydra.launcher._target_ = {show(target)}: choose one with hydra/launcher=..."
    if (target := _target(node["sweeper"])) != SWEEPER:
        yield f"hydra.sweeper._target_ = {show(target)}: cannot be set"
    else:
        yield from faults_of_params(node["sweeper"].get("params"))
    for name in ("callbacks", "searchpath"):
        if node[name]:
            yield f"hydra.{name}: {INSTEAD.get(f'hydra.{name}', OTHERWISE)}"


def _target(node: object) -> object:
    return node.get("_target_") if isinstance(node, Mapping) else node
