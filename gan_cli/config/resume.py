"""Settings on resume: how they differ from the run's, and the run's with the typed ones on top."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_cli import foreign
from gan_cli.config import groups
from gan_cli.config.command_line import Command, split
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import assignment, leaves, shell_command, show, unquoted, user_path

HORIZON = ("steps", "epochs", "images")  # one of them is the length of a run

# What no weight depends on. The device is among them so that a run can move to another machine,
# although it resumes bit for bit only on the kind of device where it began.
SAFE = ("max_time", "log_every", "sample_every", "film", "resume", "force", "dry_run")
SAFE_GROUPS = ("checkpoint", "run", "sweep", "experiment", "evaluation", "health", "callbacks")
SAFE_KEYS = (
    *(
        f"runtime.{key}"
        for key in ("threads", "device", "graphs", "deterministic", "together", "oom")
    ),
    "choices.experiment",
)
# Where the data lie and how they are read: the samples themselves are compared when they are there.
COMPARED = ("data.root", "data.workers")

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A setting that is not what the run was started with."""

    key: str  # dotted
    old: Any  # None where it was not set
    new: Any
    safe: bool  # no weight depends on it
    why: str = ""  # the reason that it is not safe, where that is not plain

    def __str__(self) -> str:
        text = f"{self.key}: {_show(self.old)} in the run, {_show(self.new)} now"
        return f"{text} ({self.why})" if self.why else text


def _show(value: Any) -> str:
    return "not set" if value is None else show(value)


def differences(
    saved: Config, new: Config, *, done: int = 0, total: int | None = None
) -> list[Difference]:
    """What differs between a run's resolved config and a new one, key by key.

    A key that is null on one side and missing on the other is no difference.

    Args:
        saved: the run's.
        new: today's.
        done: the run's completed steps.
        total: steps of `new`, where epochs or images are its length; else its `steps`.
    """
    old_leaves, new_leaves = dict(leaves(saved)), dict(leaves(new))
    scheduled = sorted(key for side in (old_leaves, new_leaves) for key in _to_the_end(side))
    total = new.get("steps") if total is None else total
    found = []
    for key in dict.fromkeys((*old_leaves, *new_leaves)):
        old, now = old_leaves.get(key), new_leaves.get(key)
        if _same(old, now):
            continue
        why = ""
        if key not in HORIZON:
            safe = key in (*SAFE, *SAFE_KEYS, *COMPARED) or key.partition(".")[0] in SAFE_GROUPS
        elif scheduled:
            safe, why = False, f"{scheduled[0]} reaches to the end of the run"
        elif total is not None and total < done:
            safe, why = False, f"{done} steps are done already"
        else:
            safe = True
        found.append(Difference(key, old, now, safe, why))
    return [difference for difference in found if not _repeats(difference, found)]


def _to_the_end(values: Config) -> Iterator[str]:
    """The schedules of rates, by dotted key, whose length is that of the run."""
    for key, value in values.items():
        player, _, last = key.rpartition(".")
        if player.partition(".")[0] != "optimizer" or last != "schedule":
            continue
        length = values.get(f"{player}.schedule_steps", values.get("optimizer.schedule_steps"))
        if value not in (None, "constant") and length is None:
            yield key


def _repeats(difference: Difference, found: Sequence[Difference]) -> bool:
    """Whether another one is the same: `model.prior.dim` where `model.prior` is `${prior}`."""
    return any(
        difference.key.endswith(f".{other.key}")
        and _same(difference.old, other.old)
        and _same(difference.new, other.new)
        for other in found
    )


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    # In Python 1 == True; in a config the one is a number and the other is not.
    return old == new and isinstance(old, bool) == isinstance(new, bool)


def require_safe(found: Sequence[Difference], run: Path, resumed: bool = True) -> None:
    """Refuse to resume `run` where a difference is not safe.

    Args:
        found: the differences.
        run: its folder.
        resumed: by `resume`, which takes what was not typed from the run; else by `run.dir`.

    Raises:
        ConfigError: lists all of those, and what to do.
    """
    unsafe = [str(difference) for difference in found if not difference.safe]
    if unsafe:
        listed = "".join(f"\n  {line}" for line in unsafe)
        command = shell_command("gan-train", assignment("resume", run))
        own = "" if resumed else f" ({command} takes the run's own settings)"
        raise ConfigError(
            f"resume = {run}: cannot resume: these settings differ:"
            f"{listed}\nleave these as they were{own}, start a new run, or set force=true"
        )


def merge(
    saved: Config, composed: Config, overrides: Sequence[str], groups: Collection[str]
) -> dict[str, Any]:
    """The saved config with what the user typed now on top.

    For `gan-train resume=RUN a.b=c group=option`: `a.b` and the whole node of `group` come from
    the composed config, everything else from the run. What the saved config repeats of a group's
    node (`model.prior` is `${prior}`) follows that group; what it repeats of a single value does
    not. An option that sets many groups (`experiment=x`) has no node of its own and changes
    nothing here.

    Args:
        saved: the run's resolved config.
        composed: the resolved config of the command line alone.
        overrides: the command line's, as typed: `a.b=c`, `+a.b=c`, `~a.b`, `group@package=option`.
        groups: names of the config groups.
    """
    merged = {key: _tied(value, saved, groups, key) for key, value in saved.items()}
    typed = [_path(override, groups) for override in overrides]
    if any(path[0] in HORIZON for path, _ in typed if path):  # one replaces the others
        typed += [((key,), False) for key in HORIZON]
    for path, is_group in typed:
        if not path:
            continue
        source: Any = composed
        if is_group:
            source = {key: _tied(value, composed, groups, key) for key, value in composed.items()}
            if path[0] in composed:  # its name, too
                _copy(("choices", path[0]), composed, merged)
        _copy(path, source, merged)
    return _untied(merged, merged)


@dataclass(frozen=True)
class _Tie:
    """Stands for "the same as this group's node"."""

    group: str


def _tied(node: Any, root: Config, groups: Collection[str], name: str, top: bool = True) -> Any:
    """A copy of `node`, which is called `name`, with ties for what repeats a group's node."""
    if not isinstance(node, Mapping):
        return deepcopy(node)
    if "_target_" in node and not top:
        same = sorted(group for group in groups if root.get(group) == node)
        if same:
            return _Tie(name if name in same else same[0])
    return {key: _tied(value, root, groups, key, top=False) for key, value in node.items()}


def _untied(node: Any, root: Config) -> Any:
    if isinstance(node, _Tie):
        return _untied(root[node.group], root)
    if isinstance(node, Mapping):
        return {key: _untied(value, root) for key, value in node.items()}
    return deepcopy(node)


def _path(override: str, groups: Collection[str]) -> tuple[tuple[str, ...], bool]:
    """The node that an override sets, () for none of the run's; and whether it picks an option."""
    key = override.partition("=")[0].strip().lstrip("+~").strip()
    group, _, package = key.partition("@")
    is_group = group in groups
    if is_group:
        key = package.rpartition(":")[2] or group.replace("/", ".")
    path = tuple(key.split("."))
    return () if path[0] in ("", "hydra") else path, is_group


def _copy(path: tuple[str, ...], source: Any, target: dict[str, Any]) -> None:
    """Make `target` at `path` what `source` is there, be it missing."""
    root = target
    *parents, last = path
    for key in parents:
        source = source.get(key) if isinstance(source, Mapping) else None
        inner = target.get(key)
        if isinstance(inner, _Tie):
            inner = target[key] = _untied(inner, root)
        if not isinstance(inner, dict):
            if source is None:
                return
            inner = target[key] = {}
        target = inner
    if isinstance(source, Mapping) and last in source:
        target[last] = deepcopy(source[last])
    else:
        target.pop(last, None)


SHARED = ("seed", "batch_size")  # values of the root that groups repeat by interpolation


def resumed(line: Command) -> str | None:
    """The run that `line` names by `resume`, as text; None where it names none."""
    named = [value for key, value in map(split, line.overrides) if key == "resume"]
    if not named or named[-1] in (None, "", "null"):
        return None
    return str(user_path(unquoted(named[-1])))


def at(line: Command, run: Path) -> Command:
    """`line` with `resume` as the folder `run`, in which a part of a name was found."""
    typed = assignment("resume", run)
    return replace(
        line,
        overrides=[typed if split(one)[0] == "resume" else one for one in line.overrides],
        for_hydra=[f"++{typed}" if split(one)[0] == "resume" else one for one in line.for_hydra],
    )


def on_top_of(line: Command, text: str) -> Command:
    """`line`, for Hydra, with the options that its own settings are parts of.

    `model.beta=2` alone would be read as a setting of the default model, not of the run's. Nothing
    of the run's text is composed but names of options that are there and whole numbers, for a run
    folder never decides which code is run. What cannot be used is left alone.

    Args:
        line: with `resume`.
        text: of the run's config.
    """
    try:
        saved = foreign.parse_yaml(text, "config")
    except CheckpointError:  # raised again when the run is resumed
        return line
    if not isinstance(saved, Mapping):
        return line
    recorded = [*_choices(line, saved), *_numbers(saved)]
    return replace(line, for_hydra=[*recorded, *line.for_hydra])


def _choices(line: Command, saved: Mapping[str, Any]) -> Iterator[str]:
    keys = [key.partition("@")[0] for key in line.keys]
    chosen: Any = saved.get("choices")
    for group in dict.fromkeys(key.partition(".")[0] for key in keys if "." in key):
        if group in keys or group not in groups.defaults():
            continue
        files = groups.options(group, line.config_dirs)
        if group == "callbacks":  # of which several are chosen, each under its own name
            several: Any = saved.get(group)
            names = [n for n in several if n in files] if isinstance(several, Mapping) else []
            if names:
                yield f"{group}=[{','.join(names)}]"
            continue
        option = chosen.get(group) if isinstance(chosen, Mapping) else None
        if isinstance(option, str) and option in files:
            yield f"{group}={option}"
            # Any will do: what is not typed is the run's in the end.
            yield from (f"++{group}.{key}=given" for key in _open(option, files))


def _open(option: str, files: Mapping[str, Path]) -> Iterator[str]:
    """The keys that an option, or one that it is made from, leaves open (`???`)."""
    left, seen = [option], set()
    while left:
        if (name := left.pop()) in seen:
            continue
        seen.add(name)
        try:  # by its real path, since a folder of one's own may hold links
            text = foreign.read_text(files[name].resolve())
            written = foreign.parse_yaml(text, files[name], finite=False)
        except (CheckpointError, OSError):  # Hydra reports it
            continue
        if not isinstance(written, Mapping):
            continue
        yield from (str(key) for key, value in written.items() if value == "???")
        made_from = written.get("defaults")
        if isinstance(made_from, list):
            left += [other for other in made_from if isinstance(other, str) and other in files]


def _numbers(saved: Mapping[str, Any]) -> Iterator[str]:
    for key in SHARED:
        if type(value := saved.get(key)) is int:
            yield f"++{key}={value}"
