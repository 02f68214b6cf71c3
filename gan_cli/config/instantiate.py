"""The one gate through which a config becomes objects.

A node is a mapping with `_target_`, the full name of a class, and that class's arguments; nodes
may hold nodes, also in lists and mappings. Everything is checked before anything is built.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, get_origin

from pydantic_core import to_jsonable_python

from gan_cli.config import groups
from gan_cli.config.aliases import hint_of_setting
from gan_cli.config.annotations import argument_kinds, classes, describe, fitted, item_kind
from gan_cli.config.trust import Trust, resolve
from gan_cli.errors import ConfigError, UserError
from gan_cli.foreign import parse_yaml
from gan_cli.formatting import any_of, hint, show

__all__ = ["Trust", "build", "check", "resolve"]

TARGET = "_target_"
HUGE = 2**31  # no tensor is so long in one direction
MOST_SETTINGS = 12  # that a message lists
MOST_OPTIONS = 4
Node = Mapping[str, Any]


def finite(value: object) -> bool:
    """False for NaN and infinities, also within lists."""
    if isinstance(value, float):
        return math.isfinite(value)
    return all(map(finite, value)) if isinstance(value, list | tuple) else True


def foreign_modules(nodes: Mapping[str, Any]) -> list[str]:
    """The top modules of the classes in `nodes` that are neither ours nor torch's."""

    def targets(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            if isinstance(value.get(TARGET), str):
                yield value[TARGET]
            for item in value.values():
                yield from targets(item)

    tops = {target.partition(".")[0] for target in targets(nodes)}
    return sorted(tops - {"gan_cli", "torch"})


def build(
    node: Node,
    path: str,
    trust: Trust = Trust(),  # noqa: B008 - frozen
    shared: Mapping[str, Any] | None = None,
    instead: Callable[[type], type] = lambda target: target,
    **given: Any,
) -> Any:
    """Build the object that `node` describes.

    Args:
        node: a mapping with `_target_`.
        path: its key in the config, for messages.
        trust: whose classes may be built beside the program's own.
        shared: the config's root nodes by name; a copy of one is called by that name in messages.
        instead: gives the class that is built for the one that `_target_` names.
        given: further arguments, passed on where the class takes them.

    Raises:
        ConfigError: what `check` finds, all of it; or the class refuses its arguments.
    """
    faults = check(node, path, trust, given=tuple(given), shared=shared)
    if faults:
        raise ConfigError("\n".join(faults))
    return _make(node, path, trust, shared or {}, given, instead)


def check(
    node: object,
    path: str,
    trust: Trust = Trust(),  # noqa: B008 - frozen
    given: Collection[str] = (),
    shared: Mapping[str, Any] | None = None,
    kind: Any = None,
) -> list[str]:
    """What is wrong with a node, one line each; builds nothing.

    Targets, missing and unknown arguments, and the types of plain values. Arguments as in `build`,
    `given` by name; `kind` is the class that the node's must be built on, where that is known.
    """
    faults = dict.fromkeys(_faults(node, path, trust, given, shared or {}))
    return list(faults) or list(_kind_faults(node, kind, path, trust))


def plainly(node: Node, trust: Trust) -> dict[str, Any]:
    """A sound node with its plain values as the arguments of its class are annotated."""
    kinds = argument_kinds(resolve(node[TARGET], trust, ""))
    return {key: _plainly(value, kinds.get(key), trust) for key, value in node.items()}


def _plainly(value: Any, kind: Any, trust: Trust) -> Any:
    if isinstance(value, Mapping):
        if TARGET in value:
            return plainly(value, trust)
        return {key: _plainly(item, None, trust) for key, item in value.items()}
    if isinstance(value, list | tuple) and _holds_nodes(value):
        return [_plainly(item, item_kind(kind), trust) for item in value]
    return to_jsonable_python(fitted(value, kind))  # a config has neither tuples nor paths


def _faults(
    node: object, path: str, trust: Trust, given: Collection[str], shared: Mapping[str, Any]
) -> Iterator[str]:
    if not isinstance(node, Mapping) or TARGET not in node:
        yield f"{path} = {show(node)}: must be a mapping with _target_, the full name of a class"
        return
    try:
        target = resolve(node[TARGET], trust, path)
    except ConfigError as error:
        yield str(error)
        return
    takes = _parameters(target)
    kinds = argument_kinds(target)
    named = {
        name: p for name, p in takes.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    rest = next((p for p in takes.values() if p.kind is p.VAR_KEYWORD), None)
    settable = [name for name in named if name not in given]
    for key, value in node.items():
        if key == TARGET:
            continue
        if key in given:
            yield f"{path}.{key}: comes from the program and cannot be set"
        elif key in named:
            yield from _value_faults(value, kinds.get(key), path, key, trust, shared)
        elif rest is not None and not str(key).startswith("_"):
            yield from _value_faults(value, kinds.get(rest.name), path, key, trust, shared)
        else:
            yield _unknown(path, str(key), target, settable)
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in node and name not in given:
            yield f"{path}.{name}: missing; {target.__name__} needs it"


def _unknown(path: str, key: str, target: type, settable: list[str]) -> str:
    has = f"it has {', '.join(settable)}" if settable else "it has none at all"
    if len(settable) > MOST_SETTINGS:
        has = f"gan-train ... --help lists all {len(settable)}"
    near = hint_of_setting(path, key) or hint(key, settable)
    return f"{path}.{key}: {target.__name__} has no such setting{near}; {has}"


def _value_faults(
    value: object, kind: Any, path: str, key: str, trust: Trust, shared: Mapping[str, Any]
) -> Iterator[str]:
    """The faults of one argument, be it a node, a collection of nodes, or plain."""
    here, path = f"{path}.{key}", _called(value, path, key, shared)
    if _holds_nodes(value):
        # A wrong class is the fault of the place that took it: `model.prior: ${loss}`.
        place = path if path == key else here
        yield from _nested_faults(value, kind, path, trust, shared, place)
    elif not finite(value):
        yield f"{path} = {show(value)}: must be finite"
    else:
        try:
            fitted(value, kind)
        except ValueError as error:
            yield f"{path} = {show(value)}: {error}"


def _nested_faults(
    value: Any, kind: Any, path: str, trust: Trust, shared: Mapping[str, Any], place: str = ""
) -> Iterator[str]:
    if not isinstance(value, Mapping):
        for i, item in enumerate(value):
            if _holds_nodes(item):
                yield from _nested_faults(item, item_kind(kind), f"{path}[{i}]", trust, shared)
    elif TARGET in value:
        faults = list(_faults(value, path, trust, (), shared))
        yield from faults or _kind_faults(value, kind, place or path, trust)
    else:
        for key, item in value.items():
            if _holds_nodes(item):
                here = _called(item, path, str(key), shared)
                yield from _nested_faults(item, None, here, trust, shared)


def _kind_faults(node: Any, kind: Any, path: str, trust: Trust) -> Iterator[str]:
    """Whether a sound node is of another class than `kind` wants."""
    wanted = None if kind is None else classes(kind)
    if wanted is None:
        return
    target = resolve(node[TARGET], trust, path)
    if not issubclass(target, wanted):
        own = target.__module__.startswith("gan_cli.")
        names = any_of([_named(one, own) for one in wanted]) if wanted else describe(kind)
        key = f"{path}.{TARGET} = {show(node[TARGET])}"
        fault = f"{key}: must be {names}, and {target.__name__} is none"
        yield fault + _instead(path, wanted)


def _named(wanted: type, briefly: bool) -> str:
    """A class with its article; in full for those who write classes of their own."""
    name = wanted.__name__ if briefly else f"{wanted.__module__}.{wanted.__name__}"
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _instead(group: str, wanted: tuple[type, ...]) -> str:
    """The options of a group whose classes would do, as the end of a message."""
    options = groups.options(group) if wanted and group.isidentifier() else {}
    found = []
    for name, file in options.items():
        target = parse_yaml(file.read_text(encoding="utf-8"), file).get(TARGET)
        if target is not None and issubclass(resolve(target, Trust(), group), wanted):
            found.append(f"{group}={name}")
    if len(found) > MOST_OPTIONS:
        return f"; {len(found)} options would do, such as {', '.join(found[:MOST_OPTIONS])}"
    return f"; use {any_of(found)}" if found else ""


def _called(value: object, path: str, key: str, shared: Mapping[str, Any]) -> str:
    """The key that the user knows `value` by: a copy of a root node goes by the root's name."""
    if isinstance(value, Mapping) and TARGET in value:
        for name in (key, *shared):
            if value == shared.get(name):
                return name
    return f"{path}.{key}"


def _holds_nodes(value: object) -> bool:
    if isinstance(value, Mapping):
        return TARGET in value or any(map(_holds_nodes, value.values()))
    return isinstance(value, list | tuple) and any(map(_holds_nodes, value))


def _parameters(target: type) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except ValueError:  # classes written in C may have none
        return {}


def _make(
    node: Node,
    path: str,
    trust: Trust,
    shared: Mapping[str, Any],
    given: Mapping[str, Any],
    instead: Callable[[type], type] = lambda target: target,
) -> Any:
    target = resolve(node[TARGET], trust, path)
    kinds, takes = argument_kinds(target), _parameters(target)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    arguments = {
        key: _argument(item, kinds.get(key), _called(item, path, key, shared), trust, shared)
        for key, item in node.items()
        if key != TARGET
    }
    arguments |= {key: item for key, item in given.items() if open_ended or key in takes}
    try:
        return instead(target)(**arguments)
    except UserError:
        raise
    except (ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        if huge := list(_huge(node, path, shared)):
            raise ConfigError("\n".join(huge)) from error
        if not isinstance(error, ValueError | TypeError):
            raise
        raise ConfigError(_located(" ".join(str(error).split()), path, node)) from error


def _argument(value: Any, kind: Any, path: str, trust: Trust, shared: Mapping[str, Any]) -> Any:
    if not _holds_nodes(value):
        return fitted(value, kind)
    built = _value(value, path, trust, shared)
    return tuple(built) if get_origin(kind) is tuple else built


def _huge(value: Any, path: str, shared: Mapping[str, Any]) -> Iterator[str]:
    """The numbers in a node that no size of anything can have."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, int) and abs(item) >= HUGE:
                yield f"{path}.{key} = {show(item)}: is too large to be built"
            yield from _huge(item, _called(item, path, str(key), shared), shared)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _huge(item, path, shared)


def _value(value: Any, path: str, trust: Trust, shared: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if TARGET in value:
            return _make(value, path, trust, shared, {})
        return {
            key: _value(item, _called(item, path, key, shared), trust, shared)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_value(item, f"{path}[{i}]", trust, shared) for i, item in enumerate(value)]
    return value


def _located(message: str, path: str, node: Node) -> str:
    """A constructor's complaint with the place in the config that it is about."""
    first = re.match(r"([\w.]+)", message)
    name = first[1] if first else ""
    if name.startswith(f"{path}.") or name.split(".")[0] == path.rpartition(".")[2]:
        return message
    if name in node:
        return f"{path}.{message}"
    return f"{path}: {message}"
