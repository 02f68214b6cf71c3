"""pydantic's findings in our words: `key = value: what is required`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gan_cli.config.wording import any_of, hint, show

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
    elsewhere = [path for path in paths if path.rpartition(".")[2] == last]
    if elsewhere:
        return f" (did you mean {any_of(elsewhere[:3])}?)"
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
