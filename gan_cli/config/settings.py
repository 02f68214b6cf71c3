"""From a composed config to validated settings, and from settings to text and back."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
)

from gan_cli import foreign
from gan_cli.config import groups
from gan_cli.config.catalogue import Composition, network_for_points
from gan_cli.config.command_line import Command, open_path, prepare, split
from gan_cli.config.groups import CONF
from gan_cli.config.hydra_errors import explain
from gan_cli.config.hydra_settings import faults_of_composed, faults_of_file
from gan_cli.config.instantiate import plainly
from gan_cli.config.schema import HORIZONS, NODES, Settings
from gan_cli.config.trust import Trust, close_path
from gan_cli.config.validation import (
    NO_HORIZON,
    absent_groups,
    ignored,
    node_faults,
    once,
    optimizer_settings,
    plain_settings,
    range_faults,
    settle_horizon,
    several,
    trusted,
    validate,
)
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import assignment, closest, leaves, shell_command, show

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

__all__ = ["from_yaml", "optimizer_settings", "read", "to_yaml", "trusted"]

PARTS = ("loss", "penalty", "network", "prior")  # groups that models take by interpolation
LONGEST_REASON = 200  # characters, of OmegaConf's words
FORMAT = 1  # of a run's config: a change that `from_yaml` must translate is a new one
HEADING = "# gan-cli's settings of a run, format {}\n"
WRITTEN = re.compile(r"# gan-cli's settings of a run, format ([0-9]{1,9})\n")
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}  # from a format to the next
UNKNOWN = re.compile(r"((?!model\.)[\w.]+): \w+ has no such setting")
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def read(config: DictConfig, command: Command) -> Settings:
    """Validate what Hydra composed for `command`. Builds nothing, imports the classes it names.

    Raises:
        ConfigError: lists every fault, one on a line.
    """
    root, trust, faults = _checked(config, command)
    if faults:
        raise ConfigError("\n".join(faults))
    for name in NODES:
        root[name] = (plain_settings if name == "optimizer" else plainly)(root[name], trust)
    root["callbacks"] = {name: plainly(node, trust) for name, node in root["callbacks"].items()}
    return Settings.model_validate(root)


def require_plausible(config: DictConfig, command: Command) -> None:
    """Find common faults at once: `read` without importing torch, or any class.

    Raises:
        ConfigError: lists every fault that shows so, one on a line.
    """
    if faults := _checked(config, command, outlines=True)[2]:
        raise ConfigError("\n".join(faults))


def _checked(
    config: DictConfig, command: Command, outlines: bool = False
) -> tuple[dict[str, Any], Trust, list[str]]:
    """The config as plain values, whose classes may be built for it, and its faults."""
    root, faults = plain(config)
    faults += settle_horizon(root, command.keys)
    shared = {key: node for key, node in root.items() if isinstance(node, Mapping)}
    # A user's own group is there to be taken into `model` by interpolation, and is checked there.
    for key in [key for key in root if key not in Settings.model_fields]:
        if groups.is_group(key, command.config_dirs):
            del root[key]
    absent = dict(absent_groups(root, command.config_dirs))
    # What repeats such a group by interpolation is not at fault.
    repeats = [re.compile(rf"the config has no {name}( |$)") for name in absent]
    faults = [f for f in faults if not any(pattern.search(f) for pattern in repeats)]
    faults += absent.values()
    root["choices"] = choices()
    root.setdefault("callbacks", {})  # ~callbacks; only configs of older versions lack the key
    elsewhere = [
        key
        for name in NODES
        if isinstance(node := root.get(name), Mapping)
        for key, _ in leaves(node, f"{name}.", inner=True)
    ]
    faults += validate(Settings, root, elsewhere=elsewhere)
    run = root.get("run")
    runs = run.get("root") if isinstance(run, Mapping) else None
    trust = replace(trusted(command, str(runs or "runs")), outlines=outlines)
    found = node_faults(root, trust, shared)
    faults += [
        f for f in found if not f.startswith(tuple(f"model.{name} = null" for name in absent))
    ]
    if not root.get("resume"):  # else the run has settings, too
        faults += ignored(root, command.keys)
    return root, trust, once([_with_origin(fault, command) for fault in faults])


def _with_origin(fault: str, command: Command) -> str:
    """A fault of a setting that the user did not type, with the model or preset that sets it."""
    match = UNKNOWN.match(fault)
    if match is None or match[1] in command.keys:
        return fault
    key, chosen = match[1], choices()
    for group in ("model", "experiment"):
        made = Composition(command.config_dirs)
        made.choose(group, option := chosen.get(group, ""))
        if key in made.changed:
            remove = shell_command(f"~{key}")
            return f"{match[0]}; {group}={option} sets it, and {remove} removes it"
    return fault


NEVER = (None, 0)
NEEDS = {  # settings that do nothing where another one has one of these values
    "ema.ramp": {"ema.decay": (0,)},
    "ema.warmup": {"ema.decay": (0,)},
    "evaluation.metrics": {"evaluation.every": NEVER},
    "evaluation.samples": {"evaluation.every": NEVER},
    "film": {"sample_every": NEVER},
    "health.factor": {"health.on_nan": ("stop",)},
    "health.retries": {"health.on_nan": ("stop",)},
    "model.ada_images": {"model.ada_target": (None,)},
    "model.instance_noise_steps": {"model.instance_noise": NEVER},
    "weights.averaged": {"weights.source": (None,)},
    "weights.strict": {"weights.source": (None,)},
}


def unused(config: DictConfig, command: Command) -> Iterator[str]:
    """A line for each group or setting that was typed and that changes nothing here."""
    for group in PARTS:
        typed = [o for o in command.overrides if re.match(rf"[+]*{group}[.=]", o)]
        others = OmegaConf.masked_copy(config, [str(key) for key in config if key != group])
        if typed and not re.search(rf"\$\{{{group}[.}}]", OmegaConf.to_yaml(others)):
            model = choices().get("model", "this model")
            yield f"{typed[-1].lstrip('+')}: changes nothing, since {model} has no {group}"
    for override in command.overrides if config.resume is None else ():
        key, value = split(override)
        for other, off in NEEDS.get(key, {}).items():
            chosen = OmegaConf.select(config, other)
            if value not in (None, "null", "0", "false") and chosen in off:
                yield f"{key}={value}: changes nothing, since {other} = {show(chosen)}"


def to_yaml(settings: Settings) -> str:
    """The settings as text: all that is needed to build the run again.

    The first line is a comment with its format. `force` counts for one command and is not among it.
    """
    return HEADING.format(FORMAT) + yaml.dump(
        {**settings.model_dump(), "force": False},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def from_yaml(text: str) -> Settings:
    """The settings in a run's config. Trusts nothing: imports and builds nothing it names.

    Raises:
        ConfigError: the text is no config, or lists every fault.
    """
    number = format_of(text)
    if number > FORMAT:
        raise ConfigError(
            f"the run's config: its format {number} is newer than this program's {FORMAT}; update "
            "gan-cli"
        )
    try:
        root = foreign.parse_yaml(text, "the run's config", finite=False)
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(root, dict):
        raise ConfigError("the run's config is not a mapping of settings")
    for old in range(number, FORMAT):
        root = MIGRATIONS[old](root)
    faults = validate(Settings, {str(key): value for key, value in root.items()})
    if isinstance(root.get("optimizer"), Mapping):
        faults += range_faults(root["optimizer"])
    given = [name for name in HORIZONS if root.get(name) is not None]
    if len(given) != 1:
        faults.append(several(root, given) if given else NO_HORIZON)
    if faults := once(faults):
        raise ConfigError(f"the run's config cannot be used: {'; '.join(faults)}")
    return Settings.model_validate(root)


def format_of(text: str) -> int:
    """The format of a run's config; the first versions did not write it."""
    found = WRITTEN.match(text)
    return int(found[1]) if found else 1


def choices() -> dict[str, str]:
    """The option that Hydra took of each group of one; empty where Hydra is not running."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return {}
    chosen = HydraConfig.get().runtime.choices
    return {
        str(group): str(option)
        for group, option in chosen.items()
        if option is not None and not str(group).startswith(("hydra/", "callbacks"))
    }


def plain(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """`config` with interpolations resolved, and its faults, one line each.

    What is missing (`???`) or refers to nothing is null in the result and named in the faults,
    where it stands and not where it is repeated.
    """
    faults: list[str] = []
    mine = [str(key) for key in config if key != "hydra"]  # Hydra's own node is its business
    config = OmegaConf.masked_copy(config, mine)
    nested = OmegaConf.to_container(config)
    assert isinstance(nested, dict)
    known = [key for key, _ in leaves(nested, inner=True)]
    resolved = _visit(config, "", (), faults, known, False)
    assert isinstance(resolved, dict)
    return resolved, faults


def _visit(
    node: DictConfig | ListConfig,
    path: str,
    above: tuple[int, ...],
    faults: list[str],
    known: list[str],
    repeated: bool,
) -> Any:
    above = (*above, id(node))
    listed = isinstance(node, ListConfig)
    keys: Any = range(len(node)) if listed else list(node)
    values = []
    for key in keys:
        here = f"{path}[{key}]" if listed else f"{path}.{key}" if path else str(key)
        value = None
        if OmegaConf.is_missing(node, key):
            if not repeated:
                faults.append(f"{here}: must be given, with {here}=...")
        else:
            try:
                value = node[key]
            except OmegaConfBaseException as error:
                if not repeated:
                    faults.extend(_unresolved(error, here, node, key, known))
        if isinstance(value, DictConfig | ListConfig):
            again = repeated or OmegaConf.is_interpolation(node, key)
            if id(value) in above:
                faults.append(f"{here} = {_text(node, key)}: refers to what holds it")
                value = None
            else:
                value = _visit(value, here, above, faults, known, again)
        values.append(value)
    return values if listed else dict(zip(keys, values, strict=True))


def _text(node: Any, key: Any) -> str:
    return show(OmegaConf.to_container(node)[key])  # type: ignore[index]


def _unresolved(
    error: OmegaConfBaseException, path: str, node: Any, key: Any, known: list[str]
) -> Iterator[str]:
    if isinstance(error, InterpolationToMissingValueError):
        return  # named where it is missing
    text = _text(node, key)
    if isinstance(error, InterpolationKeyError) and (match := REFERENCE.search(text)):
        near = closest(match[1], known)
        meant = f" (did you mean ${{{near}}}?)" if near else ""
        yield f"{path} = {text}: the config has no {match[1]}{meant}"
        return
    first = str(error).partition("\n")[0]
    reason = first.rpartition("resolving interpolation: ")[2].strip('"')
    yield f"{path} = {text}: {reason[:LONGEST_REASON]}"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # nodes that are repeated are written out


CONFIG_DIR = "--config-dir"  # what Hydra calls the source of the user's files
SHOWING = ("--cfg", "--info", "--shell-completion", "--hydra-help")


class _Loader(ConfigLoaderImpl):
    """Refuses settings of Hydra itself that a config may not hold; gives points their network."""

    def _load_single_config(self, default: Any, repo: Any) -> Any:
        result = super()._load_single_config(default, repo)
        ours = result.provider != CONFIG_DIR and (
            default.primary or str(default.config_path).startswith("hydra/")
        )
        if not ours and isinstance(result.config, DictConfig) and "hydra" in result.config:
            node = OmegaConf.to_container(result.config)["hydra"]  # type: ignore[index]
            if faults := list(faults_of_file(node, f"{default.config_path}.yaml")):
                raise ConfigError("\n".join(faults))
        return result

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        *arguments: Any,
        **named: Any,
    ) -> DictConfig:
        rest = (run_mode, *arguments)
        config = super().load_configuration(config_name, overrides, *rest, **named)
        chosen = {str(key): str(value) for key, value in config.hydra.runtime.choices.items()}
        typed = [split(override)[0] for override in overrides]
        network = network_for_points(chosen, typed, self.folders)
        if network and run_mode != RunMode.MULTIRUN:  # there each job has its own choices
            added = [*overrides, f"network={network}"]
            config = super().load_configuration(config_name, added, *rest, **named)
        node: Any = OmegaConf.to_container(config.hydra, enum_to_str=True)
        if faults := list(faults_of_composed(node)):
            raise ConfigError("\n".join(faults))
        return config

    @property
    def folders(self) -> list[Path]:
        """The user's folders of config files."""
        found = self.config_search_path.get_path()
        own = [one.path for one in found if one.provider == CONFIG_DIR and one.path]
        return [Path(path.removeprefix("file://")) for path in own]


@contextmanager
def hydra_for(line: Command) -> Iterator[Hydra]:
    """Hydra with our config files and those of --config-dir.

    Only then may modules of the user's folders be imported: Hydra imports every plugin in reach.
    """
    close_path()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        path = hydra.config_loader.get_search_path()
        for folder in line.config_dirs:
            schema = SearchPathQuery(provider="schema", path=None)
            path.prepend(provider=CONFIG_DIR, path=f"file://{folder}", anchor=schema)
        hydra.config_loader = _Loader(path)
        open_path(line)
        yield hydra


def composed(line: Command) -> DictConfig:
    """What Hydra composes for `line`, without the node `hydra`.

    Of its options, --config-dir counts here.
    """
    with hydra_for(line) as hydra:
        config = hydra.compose_config("train", line.for_hydra, RunMode.RUN, from_shell=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def sweep(line: Command, task: Callable[[DictConfig], None]) -> None:
    """Run what -m asks for: Hydra's sweeper, with our launchers or its own, which calls `task`."""
    # Hydra leaves a file there; what stays of a sweep is its sweep.json.
    with TemporaryDirectory(prefix="gan-train-") as scratch, hydra_for(line) as hydra:
        overrides = [*line.for_hydra, "hydra.mode=MULTIRUN"]
        if faults := list(_without_values(overrides, hydra.config_loader)):
            raise ConfigError("\n".join(faults))
        overrides.append(assignment("hydra.sweep.dir", scratch))
        hydra.multirun("train", task, overrides, with_log_configuration=False)


def _without_values(overrides: list[str], loader: ConfigLoader) -> Iterator[str]:
    """What is wrong with overrides that leave a sweep without a job, or with too many."""
    for override in OverridesParser.create(loader).parse_overrides(overrides):
        key, value = override.get_key_element().lstrip("+"), override.value()
        shown = f"{key} = {str(override.input_line).partition('=')[2]}"
        if not override.is_sweep_override():
            continue
        if not override.is_discrete_sweep():
            yield f"{shown}: -m needs single values; gan-tune searches an interval"
        elif [*override.sweep_iterator()]:
            continue
        elif isinstance(value, Glob):
            yield f"{shown}: fits none of {', '.join(loader.get_group_options(key))}"
        else:
            yield f"{shown}: has no value, so there is nothing to run; range(1,4) is 1,2,3"


def information(line: Command) -> bool:
    """Print what --cfg, --info or -sc ask for; whether the line holds one of them."""
    options, overrides = line.options, line.for_hydra
    asked = [name for name in SHOWING if name in options]
    if not asked:
        return False
    if len(asked) > 1 or line.multirun:
        raise ConfigError(f"{asked[0]}: can be given alone, without -m or another such option")
    if asked == ["--hydra-help"]:
        import sys

        import hydra

        sys.argv[1:] = asked
        hydra.main(str(CONF), "train", version_base="1.3")(lambda config: None)()
    with hydra_for(line) as composer:
        match asked[0]:
            case "--cfg":
                kind, package = options["--cfg"][-1], options.get("--package", [None])[-1]
                composer.show_cfg("train", overrides, kind, package, "--resolve" in options)
            case "--info":
                # Hydra logs to stdout here, and its handler complains once nobody reads that.
                loud, logging.raiseExceptions = logging.raiseExceptions, False
                try:
                    composer.show_info(options["--info"][-1], "train", overrides)
                finally:
                    logging.raiseExceptions = loud
            case _:
                composer.shell_completion("train", overrides)
    return True


def settings_of(*arguments: str) -> Settings:
    """The validated settings of a command line such as `"model=wgan", "prior.dim=50"`.

    Args:
        arguments: overrides, and --config-dir and --trust.

    Raises:
        ConfigError: lists every fault.
    """
    line = prepare(list(arguments))
    return read(_composed_or_explained(line), line)


def settings_completed(
    saved: Mapping[str, Any], *arguments: str
) -> tuple[Settings, dict[str, Any]]:
    """`settings_of`, where keys that the options leave open (`???`, such as data.root) are `saved`.

    Returns:
        The settings, and those keys with their values.

    Raises:
        ConfigError: lists every fault.
    """
    line = prepare(list(arguments))
    config = _composed_or_explained(line)
    known, open_keys = OmegaConf.create(dict(saved)), sorted(OmegaConf.missing_keys(config))
    values = {key: OmegaConf.select(known, key) for key in open_keys}
    for key, value in values.items():
        OmegaConf.update(config, key, value)
    return read(config, line), values


def _composed_or_explained(line: Command) -> DictConfig:
    try:
        return composed(line)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise ConfigError(message) from error
