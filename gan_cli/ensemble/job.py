"""One of the runs that a command line asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gan_cli.config.command_line import Command
from gan_cli.config.schema import Settings
from gan_cli.formatting import shell_command


class Job(NamedTuple):
    """A run to be made."""

    settings: Settings
    command: str  # that makes it alone


def command_of(overrides: Sequence[str], line: Command) -> str:
    """The command line of one run of several.

    Args:
        overrides: Hydra's, of this run.
        line: of all of them.
    """
    options = [f"--config-dir={folder}" for folder in line.config_dirs]
    options += [f"--trust={module}" for module in line.trust]
    return shell_command("gan-train", *options, *(o.removeprefix("++") for o in overrides))
