"""Constructors' signatures read from source, so that settings are checked before torch is imported.

What cannot be read so (a user's class, torch's, a constructor or an annotation of another module)
takes anything here: the check of the imported class finds the rest.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

PACKAGE = Path(__file__).parents[1]
KNOWN = {kind.__name__: kind for kind in (bool, int, float, str, list, tuple, dict, Path)}
KNOWN |= {"Literal": Literal, "Mapping": Mapping, "Sequence": Sequence, "Iterable": Iterable}
Parameter = inspect.Parameter


@cache
def outlined(target: str) -> type:
    """A class of the name and signature that one of our classes has; it cannot be used.

    Args:
        target: the class's full name.
    """
    module, _, name = target.rpartition(".")
    file = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    if not target.startswith(f"{PACKAGE.name}.") or not file.is_file():
        return _class(name, [Parameter("settings", Parameter.VAR_KEYWORD)], {})
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    node = classes.get(name)
    while node is not None:
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                return _class(name, *_signature(inner.args))
        if any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            return _class(name, *_fields(node))
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        node = next((classes[base] for base in bases if base in classes), None)
    return _class(name, [Parameter("settings", Parameter.VAR_KEYWORD)], {})


def _class(name: str, parameters: Sequence[Parameter], kinds: Mapping[str, Any]) -> type:
    def init(self: object) -> None: ...

    init.__annotations__ = dict(kinds)
    return type(name, (), {"__init__": init, "__signature__": inspect.Signature(parameters)})


def _fields(node: ast.ClassDef) -> tuple[list[Parameter], dict[str, Any]]:
    """The parameters of a dataclass: its own fields, and any other, which its bases may have."""
    found: list[Parameter] = []
    kinds: dict[str, Any] = {}
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            if re.search(r"ClassVar|init=False", ast.unparse(one)):
                continue
            default = Parameter.empty if one.value is None else None
            name = one.target.id
            found.append(Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default))
            kinds |= _kind(name, one.annotation)
    found.sort(key=lambda one: one.default is not Parameter.empty)
    return [*found, Parameter("settings", Parameter.VAR_KEYWORD)], kinds


def _kind(name: str, annotation: ast.expr | None) -> dict[str, Any]:
    """The annotation of a parameter by its name, where it is of plain values."""
    if annotation is None:
        return {}
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    if not names <= set(KNOWN):
        return {}
    code = compile(ast.Expression(annotation), "annotation", "eval")
    return {name: eval(code, {"__builtins__": {}}, KNOWN)}


def _signature(takes: ast.arguments) -> tuple[list[Parameter], dict[str, Any]]:
    """The parameters without `self`, and those of their annotations that are of plain values."""
    positional = [*takes.posonlyargs, *takes.args]
    without = len(positional) - len(takes.defaults)
    defaults = [Parameter.empty] * without + [None] * len(takes.defaults)  # only whether there is
    found = [
        Parameter(one.arg, Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for one, default in zip(positional[1:], defaults[1:], strict=True)
    ]
    for one, default in zip(takes.kwonlyargs, takes.kw_defaults, strict=True):
        given = Parameter.empty if default is None else None
        found.append(Parameter(one.arg, Parameter.KEYWORD_ONLY, default=given))
    if takes.kwarg is not None:
        found.append(Parameter(takes.kwarg.arg, Parameter.VAR_KEYWORD))
    kinds: dict[str, Any] = {}
    for one in [*positional[1:], *takes.kwonlyargs]:
        kinds |= _kind(one.arg, one.annotation)
    return found, kinds
