"""Checks of a study's storage, which others may have written, before anything of it is used.

Optuna reads its journal without bounds, and believes what is there.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from gan_cli import foreign
from gan_cli.config.search_space import Dimension
from gan_cli.formatting import show

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

LARGEST = 256 << 20  # bytes of a journal: about two million records
LONGEST = 1 << 20  # bytes of a record
MOST = 50_000  # records of a trial: for each one Optuna copies those before it
FIXED = "fixed_params"  # attribute that Optuna gives a trial that was enqueued
RUNG = "completed_rung_"  # and one that was compared with others, with its value there
DRAWN = "tpe:relative_params:"  # and the values that TPE drew together, as JSON, in pieces


def check_journal(path: Path) -> None:
    """Check that a journal has records of a bounded size and number; it may be missing.

    Raises:
        ForeignError: it is no regular file, or cannot be read.
        ValueError: a record is none, or there are too many.
    """
    counts: Counter[int] = Counter()
    try:
        with foreign.open_file(path) as file:
            number = read = 0
            while line := file.readline(LONGEST):
                number, read = number + 1, read + len(line)
                if not line.endswith(b"\n") and len(line) == LONGEST:
                    raise ValueError(f"record {number:,} has more than {LONGEST:,} bytes")
                if not line.endswith(b"\n"):
                    return  # cut off by a full disk; the next writer removes it
                if read > LARGEST:
                    raise ValueError(f"it has more than {LARGEST:,} bytes")
                trial = _record(line, f"record {number:,}").get("trial_id")
                if type(trial) is int:
                    counts[trial] += 1
                    if counts[trial] > MOST:
                        raise ValueError(f"trial {trial} has more than {MOST:,} records")
    except FileNotFoundError:
        return


def _record(line: bytes, name: str) -> dict[str, Any]:
    try:
        found = foreign.parse_json(line, name)
    except foreign.ForeignError as cause:
        raise ValueError(str(cause)) from cause
    if not isinstance(found, dict):
        raise ValueError(f"{name} is not a mapping")
    return found


def check_study(study: Study, direction: str, dimensions: Sequence[Dimension]) -> None:
    """Check that a study minimises or maximises what it should, and every trial of it.

    Raises:
        ValueError: the message names the trial and its fault.
    """
    found = [one.name.lower() for one in study.directions]
    if found != [direction]:
        raise ValueError(f"its direction is {', '.join(found)}, not {direction}")
    known = {dimension.key: dimension for dimension in dimensions}
    for trial in study.get_trials(deepcopy=False):
        if fault := _fault(trial, known):
            raise ValueError(f"trial {trial.number}: {fault}")


def _fault(trial: FrozenTrial, known: Mapping[str, Dimension]) -> str:
    """What is wrong with a trial; empty where nothing is."""
    if fault := _fault_of_values(trial) or _fault_of_params(trial, known):
        return fault
    for key, value in trial.user_attrs.items():
        if key in ATTRIBUTES and not ATTRIBUTES[key](value):
            return f"{key} = {show(value)}: no study of gan-tune has such a value"
    for key, value in trial.system_attrs.items():
        if key == FIXED and _are_settings(value, known):
            continue
        if key.startswith(DRAWN) and _are_settings(_drawn(trial), known):
            continue
        if not (key.startswith(RUNG) and _is_number(value)):
            return f"its attribute {show(key)} is not one of a study of gan-tune"
    return ""


def _drawn(trial: FrozenTrial) -> object:
    """The values that TPE drew for a trial; None where there are none that can be read."""
    keys = [key for key in trial.system_attrs if key.startswith(DRAWN)]
    pieces = [trial.system_attrs.get(f"{DRAWN}{number}") for number in range(len(keys))]
    if not all(isinstance(piece, str) for piece in pieces):
        return None
    try:
        return json.loads("".join(map(str, pieces)))
    except (ValueError, RecursionError):
        return None


def _are_settings(value: object, known: Mapping[str, Dimension]) -> bool:
    """Whether it is a mapping of searched settings to values in their ranges."""
    if not isinstance(value, dict):
        return False
    return all(key in known and fits(known[key], one) for key, one in value.items())


def _fault_of_values(trial: FrozenTrial) -> str:
    values = [] if trial.values is None else trial.values
    single = isinstance(values, list) and len(values) <= 1 and all(map(_is_number, values))
    if not single or (trial.state.name == "COMPLETE" and not values):
        return f"its value {show(trial.values)} is not a finite number"
    for step, value in trial.intermediate_values.items():
        if type(step) is not int or not 0 <= step < foreign.MOST_STEPS or not _is_number(value):
            return f"{show(value)} at step {show(step)} is not a point of a curve"
    return ""


def _fault_of_params(trial: FrozenTrial, known: Mapping[str, Dimension]) -> str:
    for key, value in trial.params.items():
        if key not in known or not fits(known[key], value):
            return f"{show(key)} = {show(value)} is not in the range that is searched"
        if trial.distributions.get(key) != distribution(known[key]):
            return f"{key} has another range"
    missing = [key for key in known if key not in trial.params]
    if missing and trial.state.name in ("COMPLETE", "PRUNED"):
        return f"it has no {missing[0]}"
    return ""


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


ATTRIBUTES = {  # that we give to a trial, and read
    "place": lambda value: isinstance(value, str),
    "seconds": lambda value: _is_number(value) and value >= 0,
    "values": _are_numbers,
    "why": lambda value: isinstance(value, str),
}


def fits(dimension: Dimension, value: object) -> bool:
    """Whether a value is one that the search may give to the setting."""
    if dimension.kind == "choice":
        return value in dimension.choices
    if dimension.kind == "int" and type(value) is not int:
        return False
    return _is_number(value) and dimension.low <= value <= dimension.high


def distribution(dimension: Dimension) -> BaseDistribution:
    """The setting's range as Optuna keeps it."""
    from optuna import distributions

    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.kind == "choice":
        return distributions.CategoricalDistribution(dimension.choices)
    if dimension.kind == "int":
        return distributions.IntDistribution(int(low), int(high), dimension.log, int(step or 1))
    return distributions.FloatDistribution(low, high, dimension.log, step)
