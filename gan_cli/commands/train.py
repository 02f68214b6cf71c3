"""`gan-train`: the entry point that trains."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from gan_cli.exits import DONE, INTERRUPTED, program

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gan_cli.config.command_line import Command
    from gan_cli.ensemble.group import RequestedRun
    from gan_cli.runs.folder import RunFolder

log = logging.getLogger(__name__)


def main() -> None:
    """Train what the command line describes; exits with a status."""
    program(lambda: run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Do what was asked for; the exit status."""
    if "--version" in arguments:
        import gan_cli

        print(f"gan-train {gan_cli.__version__}")
        return DONE
    alone = set(arguments) <= {"-m", "--multirun"}
    if alone or {"-h", "--help", "--list"} & set(arguments):
        from gan_cli.config.help import answer

        answer(arguments)
        return DONE
    from gan_cli.signals import interrupt_program

    interrupt_program()  # until the loop takes over
    if arguments[:1] == ["--jobs"]:  # as a sweep starts it: the command lines of several runs
        return train_several(arguments[1])
    return compose(arguments)


def train_several(text: str) -> int:
    """Train runs in this one process, together where that can be; the worst exit status.

    Args:
        text: JSON, a list of the arguments of each run.
    """
    import json

    from gan_cli.config import command_line
    from gan_cli.config.settings import composed
    from gan_cli.ensemble.group import RequestedRun, train_all
    from gan_cli.training.run import settings_of

    lines = [command_line.prepare(words) for words in json.loads(text)]
    wanted = []
    for line in lines:
        settings = settings_of(composed(line), line)
        wanted.append(RequestedRun(settings, line.text()))
    return train_all(wanted, lines[0])


def compose(arguments: list[str]) -> int:
    """Have Hydra compose the configuration, and train it, or each of several; the exit status."""
    from gan_cli.config import command_line
    from gan_cli.config.hydra_errors import explain
    from gan_cli.distributed.join import several
    from gan_cli.errors import ConfigError
    from gan_cli.exits import guarded

    line = command_line.prepare(arguments)
    if line.multirun:
        if several():
            raise ConfigError(
                "-m: several ranks train one run; start torchrun once for each run of a sweep"
            )
        from gan_cli.sweeps.launch import command

        refuse_one_folder_for_all(line)
        line, _ = resumed_run(line)
        command.set(line)
    else:
        line = on_top_of_run(line)
    statuses = []
    wanted: dict[str, RequestedRun] = {}  # by all their settings

    def task(config: DictConfig) -> None:
        # Handled here and not by Hydra, which would print the overrides, and of several jobs
        # tell only the first one's error, at the end.
        def job() -> int:
            if "resume" not in line.keys:
                settings.require_plausible(config, line)
            from gan_cli.training.run import settings_of, train

            if not line.multirun:
                return train(config, line)
            from hydra.core.hydra_config import HydraConfig

            from gan_cli.ensemble.group import RequestedRun

            overrides = HydraConfig.get().overrides.task
            found = RequestedRun(settings_of(config, line), line.text(overrides))
            if wanted.setdefault(found.settings.model_dump_json(), found) is not found:
                log.warning(f"{found.command}: given more than once, and run once")
            return DONE

        statuses.append(guarded(job))

    # Hydra then raises what it would otherwise print before it exits.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        from gan_cli.config import settings

        if settings.information(line):
            return DONE
        if line.multirun:
            settings.sweep(line, task)
        else:
            task(settings.composed(line))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise ConfigError(message) from error
    if wanted:
        from gan_cli.ensemble.group import train_all

        statuses.append(train_all(list(wanted.values()), line))
    return max(statuses, default=DONE)


def on_top_of_run(line: Command) -> Command:
    """`line` composed on top of the run that `resume` names, where it can be read."""
    from gan_cli.config import resume
    from gan_cli.errors import CheckpointError

    line, run = resumed_run(line)
    try:
        return line if run is None else resume.on_top_of(line, run.read_config() or "")
    except CheckpointError:
        return line  # reported later, after the faults of the line itself


def resumed_run(line: Command) -> tuple[Command, RunFolder | None]:
    """`line` with the folder of the run that `resume` names, and that run, where there is one."""
    from gan_cli.config import resume
    from gan_cli.errors import CheckpointError
    from gan_cli.runs import lookup
    from gan_cli.runs.folder import RunFolder

    place = resume.resumed(line)
    if place is None:
        return line, None
    try:
        return line, RunFolder(lookup.locate(place))
    except CheckpointError:
        pass
    try:
        run = lookup.find(place, newest=False)
    except CheckpointError:
        return line, None  # reported later, after the faults of the line itself
    return resume.at(line, run.path), run


def refuse_one_folder_for_all(line: Command) -> None:
    """Several runs cannot share a folder.

    Raises:
        ConfigError: run.dir or run.name is given, and the same for all; or run.requeue, by which
            all would have the folder of one job.
    """
    from gan_cli.config.command_line import split
    from gan_cli.errors import ConfigError
    from gan_cli.formatting import shell_command

    for key, value in map(split, line.overrides):
        if key in ("run.dir", "run.name") and value and not set(value) & set(",$("):
            raise ConfigError(
                f"{key} = {value}: all runs of -m would share it; use run.root, or give each its "
                f"own, such as {shell_command(f'{key}={value}-${{seed}}')}"
            )
        if key == "run.requeue" and (value or "").lower() == "true":
            raise ConfigError(
                f"{key} = {value}: all runs of -m would share the folder of the job; give each "
                f"its own, such as {shell_command('run.dir=runs/a-${seed}')}, which also resumes"
            )


if __name__ == "__main__":
    main()
