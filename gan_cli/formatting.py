"""Commands as text that works when it is pasted into a shell. Imports nothing heavy.

Two grammars lie inside each other: the shell's, and Hydra's within the value of an override.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

# Text that Hydra takes for text as it stands: a name, or a path, which no number holds.
NAME = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)
PATH = re.compile(r"[\w./\-]*/[\w./\-]*", re.ASCII)
KEYWORDS = ("null", "true", "false", "nan", "inf", "none")


def shell_command(*words: str | PurePath) -> str:
    """A command, or a part of one, for bash or zsh.

    Args:
        words: as the program is to receive them; a path is kept from looking like an option.
    """
    return " ".join(_shell_word(_path(w) if isinstance(w, PurePath) else w) for w in words)


def assignment(key: str, value: Any) -> str:
    """`key=value` as a word of a command line, which Hydra reads as this value."""
    return f"{key}={literal(value)}"


def literal(value: Any) -> str:
    """`value` in Hydra's grammar: numbers, text, paths, lists and mappings of them, or None."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, PurePath):
        value = _path(value)
    if not isinstance(value, str):
        return repr(value)
    if PATH.fullmatch(value) or (NAME.fullmatch(value) and value.lower() not in KEYWORDS):
        return value
    # OmegaConf would take ${ for an interpolation, and the backslashes before it for escapes.
    plain = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", plain)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * trailing}'"


def unquoted(text: str) -> str:
    """The text that a value of an override stands for, where it is one; `text` itself if not."""
    inner = re.fullmatch(r"""\s*(?:'(.*)'|"(.*)")\s*""", text, re.DOTALL)
    if inner is None:
        return text
    quote = "'" if inner[1] is not None else '"'
    body = inner[1] if inner[1] is not None else inner[2]
    # Backslashes count before the quote alone, which here is also the closing one.
    body = re.sub(rf"(\\+)({quote}|$)", lambda m: _halved(m[1]) + m[2], body)
    return re.sub(r"(\\+)\$\{", lambda m: _halved(m[1]) + "${", body)


def _halved(backslashes: str) -> str:
    return backslashes[: len(backslashes) // 2]


def _path(path: PurePath) -> str:
    """A path that is neither an option nor somebody's home to whoever reads it."""
    text = str(path)
    return f"./{text}" if text.startswith(("-", "~")) else text


def _shell_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # Control characters and bytes that are no text: $'...' of bash and zsh, which a terminal shows.
    shown = (c if c.isprintable() and c not in "'\\" else _bytes_of(c) for c in word)
    return f"$'{''.join(shown)}'"


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
