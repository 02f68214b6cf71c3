"""What must hold beyond the schema: one length of the run, a choice of each group, sound nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gan_cli.config import groups
from gan_cli.config.build import build, check
from gan_cli.config.gate import NEVER_OWN, Trust
from gan_cli.config.optimizing import faults_of
from gan_cli.config.overrides import Command, split
from gan_cli.config.schema import HORIZONS, NODES, Settings
from gan_cli.config.wording import show
from gan_cli.errors import ConfigError
from gan_cli.formatting import shell_command, unquoted
from gan_cli.outputs import output_around

TARGET = "_target_"
DEFAULT_ROOT = "runs"  # of run folders, in conf/train.yaml
LIGHT = ("loss", "penalty", "network", "prior")  # nodes that cost nothing to build
NAMED = re.compile(r"""^\s*(?:-\s+)?_target_:\s*["']?([\w.]+)""", re.MULTILINE)
KEY = re.compile(r"(.+?)(?: = |: )")
NO_HORIZON = "steps = null: steps, epochs or images must say how long to train"


def trusted(command: Command, run_root: str, foreign: Path | None = None) -> Trust:
    """Whose classes may be built for a training: those that the user put within reach.

    What the user typed decides, and no file that is composed. Nothing below where run folders are
    made: a run folder never provides code, and a folder of --config-dir that is a run or a study
    vouches for none. For a configuration that comes from a run folder, no place vouches for a
    module, since that folder may lie there; the user does by --trust, and by naming it in a YAML
    file of --config-dir.

    Args:
        command: its --trust, --config-dir and run.root.
        run_root: where run folders are made; a preset may have said so, hence it only forbids.
        foreign: the run folder that the configuration comes from.
    """
    typed = [value for key, value in map(split, command.overrides) if key == "run.root" and value]
    roots = dict.fromkeys((DEFAULT_ROOT, *map(unquoted, typed), run_root))
    refused = tuple(Path(root).expanduser().absolute() for root in roots)
    own = [folder for folder in command.config_dirs if output_around(folder) is None]
    if foreign is not None:
        return Trust(
            (*command.trust, *modules_named_in(own)), refused=(*refused, foreign.absolute())
        )
    folders = [Path.cwd(), *(place for folder in own for place in (folder, folder.parent))]
    return Trust(
        tuple(command.trust), tuple(f for f in folders if output_around(f) is None), refused
    )


def modules_named_in(folders: list[Path]) -> list[str]:
    """The modules of the classes that the YAML files in `folders` name; none of Python or torch."""
    files = [path for folder in folders for path in folder.rglob("*.yaml") if path.is_file()]
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
        if root.get(name) is None and name in Settings.model_fields:
            options = ", ".join(groups.options(name, folders))
            yield name, f"{name}: missing; choose one of {options} with {name}=..."


def node_faults(root: Mapping[str, Any], trust: Trust, shared: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the nodes that are to be built."""
    from gan_cli.data.dataset import Dataset
    from gan_cli.model import Model

    kinds = {"data": Dataset, "model": Model}
    given = {"model": ("data",), "data": ("outputs",)}
    for name in NODES:
        node = root.get(name)
        if not isinstance(node, Mapping):
            continue
        if name == "optimizer":
            yield from faults_of(node, trust)
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
        if not faults and name in LIGHT:
            try:
                build(node, name, trust, shared)
            except ConfigError as error:  # what only the class itself knows to be wrong
                yield str(error)


def once(faults: list[str]) -> list[str]:
    """One fault for each key, the first that was found."""
    found: dict[str, str] = {}
    for fault in faults:
        match = KEY.match(fault)
        found.setdefault(match[1] if match else fault, fault)
    return list(found.values())
