"""Errors of composing, in one plain line each. Imports neither Hydra nor torch by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gan_cli.config import groups
from gan_cli.config.aliases import hint_of_option, listed
from gan_cli.config.command_line import TEXTS
from gan_cli.formatting import assignment, cut, shell_command

AMBIGUOUS = re.compile(r"Ambiguous value for argument '(.*?)'\n1\. ", re.DOTALL)
SWEEP_MESSAGE = re.compile(r"Sweep parameters '(.*)' requires --multirun", re.DOTALL)
NO_MATCH = re.compile(r"Could not override '([^']*)'")
NOT_THERE = re.compile(r"Could not delete[^']*'([^']*)'")
UNFIT = re.compile(r"Error merging override (.*)", re.DOTALL)
TWICE = re.compile(r"Multiple values for (\S+)\. ")
WHERE = re.compile(r"In '([^']*)': ")
OURS = ("train", "hydra/config")  # files that ask for what the user chooses
WANTED_FILE = re.compile(r"Could not (?:find|load) '([^']*)'")


def explain(error: BaseException) -> str | None:
    """One clear message for an error that composing the config raised; None for any other."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if isinstance(error, MissingConfigException):
        return _missing_file(str(error), error.options or ())
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, YAMLError):
        return _bad_yaml(error)
    if isinstance(error, OmegaConfBaseException):
        return interpolation(error)
    # Hydra also raises bare ValueErrors while it reads defaults lists.
    if isinstance(error, HydraException) or (isinstance(error, ValueError) and _raised_in(error)):
        return _composition(error)
    if isinstance(error, RecursionError):
        return "a setting is nested too deeply, or refers to itself"
    if isinstance(error, BrokenPipeError):  # whoever read what Hydra prints has seen enough
        return None
    if _raised_in(error):  # it trips over values that its own checks let pass
        kind, text = type(error).__name__, " ".join(str(error).split())
        return f"these settings cannot be composed: {cut(f'{kind}: {text}')}"
    return None


def _several_texts(key: str, value: str) -> str:
    """Of text with commas, of which Hydra made several values."""
    text = re.sub("'([^']*)'", r"\1", value)  # the quotes may be ours
    word = assignment(key, text) if set(text) & set('"\\$') else f'{key}="{text}"'
    return (
        f"{key} = {text}: several values; add -m to run one job per value; text with commas is "
        f"written {shell_command(word)}"
    )


def interpolation(error: Exception) -> str:
    """OmegaConf's first line, which names the fault, with the key that it happened at."""
    first, *details = str(error).splitlines() or [type(error).__name__]
    keys = [line.partition(":")[2].strip() for line in details if "full_key:" in line]
    return f"{keys[0]}: {first}" if keys and keys[0] else first


def _missing_file(message: str, options: Sequence[str]) -> str:
    if match := WANTED_FILE.search(message):
        group, _, name = match[1].rpartition("/")
        where = WHERE.match(message)
        asked = f", which {where[1]}.yaml asks for" if where and where[1] not in OURS else ""
        if not group:
            return f"{name}.yaml: no such config file{asked}"
        have = f"; {listed(group, options)}" if options else ""
        return (
            f"{group} = {name}: unknown option{hint_of_option(group, name, options)}{asked}{have}"
        )
    return message.splitlines()[0]


def _unreadable(override: str) -> str:
    key, equals, value = override.lstrip("+").partition("=")
    if not equals:
        return f"{cut(key)}: settings are written key=value"
    return (
        f"{key} = {cut(value)}: cannot be read; lists are written [a,b], and text with special "
        f"""characters in two kinds of quotes: {key}='"..."'"""
    )


def _bad_yaml(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    if mark is None:
        return f"a config file is not valid YAML: {problem}"
    return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: not YAML: {problem}"


def _raised_in(error: BaseException) -> bool:
    """Whether Hydra or what it stands on raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return module.startswith(("hydra.", "omegaconf.", "antlr4."))


def _composition(error: BaseException) -> str:
    message = str(error)
    if not message and error.__cause__ is not None:  # Hydra wraps some errors in an empty one
        return explain(error.__cause__) or str(error.__cause__)
    if match := AMBIGUOUS.search(message) or SWEEP_MESSAGE.search(message):
        key, _, value = match[1].lstrip("+").partition("=")
        if key in TEXTS:
            return _several_texts(key, value)
        alone = SWEEP_MESSAGE.search(message) or key in groups.names()
        listed = (
            "" if alone else f"; as one list they are written {shell_command(f'{key}=[{value}]')}"
        )
        return f"{key} = {value}: several values; add -m to run one job per value{listed}"
    if match := NO_MATCH.search(message):
        key, at, _ = match[1].partition("@")
        if key.startswith("hydra."):
            return f"{key}: unknown setting"
        other = f", or choose its option with {key}=..." if at else ""
        return f"{match[1]}: nothing in the config takes this group; add it with a +{other}"
    if match := UNFIT.search(message):
        key, _, value = match[1].lstrip("+").partition("=")
        return f"{key} = {value}: {str(error.__cause__ or message).partition(chr(10))[0]}"
    if match := NOT_THERE.search(message):
        return f"~{match[1]}: nothing of that name to delete"
    if match := TWICE.search(message):
        return f"{match[1]}: chosen twice; remove the +, or put override in the defaults list"
    where = WHERE.match(message)
    return message.strip() if not where else f"{where[1]}.yaml: {message[where.end() :].strip()}"
