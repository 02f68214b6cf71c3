"""The runs of a command line, in groups that differ in their seeds alone and train together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gan_cli.callbacks.callback import Callback
from gan_cli.callbacks.progress import Progress
from gan_cli.config.command_line import Command
from gan_cli.config.instantiate import Trust
from gan_cli.config.schema import Settings
from gan_cli.config.settings import trusted
from gan_cli.console import setup_logging
from gan_cli.device import describe
from gan_cli.ensemble.ensemble import hindrance, quietly
from gan_cli.ensemble.lockstep import Member, train_in_lockstep
from gan_cli.ensemble.logs import SharedProgress, run_logs
from gan_cli.exits import DONE, FAILED, INTERRUPTED, guarded
from gan_cli.runs.folder import RunFolder
from gan_cli.signals import StopRequest, say_at_once
from gan_cli.training.describe import begin_text
from gan_cli.training.resume import find_earlier_run
from gan_cli.training.run import (
    context_of,
    evaluator_of,
    folder_for,
    train_in_folder,
    train_settings,
)
from gan_cli.training.setup import Session, assemble

if TYPE_CHECKING:
    from gan_cli.training.evaluator import Evaluator

log = logging.getLogger(__name__)
SHOWN = 8  # seeds that a line names


class RequestedRun(NamedTuple):
    """A run to be made, with the command that makes it alone."""

    settings: Settings
    command: str


def train_all(runs: Sequence[RequestedRun], line: Command) -> int:
    """Train runs, group by group; the worst exit status. A failure does not end the rest."""
    setup_logging(None)
    statuses = [DONE]
    for group in groups(runs, line):
        statuses += train_group(group, line)
        if INTERRUPTED in statuses:
            break
    return max(statuses)


def groups(runs: Sequence[RequestedRun], line: Command) -> list[list[RequestedRun]]:
    """The runs in order, those that can be members of one group side by side."""
    found: list[list[RequestedRun]] = []
    for run in runs:
        for group in found:
            if belongs(run.settings, [other.settings for other in group], line):
                group.append(run)
                break
        else:
            found.append([run])
    return found


def belongs(settings: Settings, group: Sequence[Settings], line: Command) -> bool:
    """Whether a run is a new one that differs from all of a group in its seed alone."""
    first = group[0]
    if not settings.goes_together() or settings.dry_run:
        return False
    if settings.seed in [other.seed for other in group]:
        return False
    return settings.is_twin_of(first) and not any(resumes(one, line) for one in (settings, first))


def resumes(settings: Settings, line: Command) -> bool:
    """Whether a run resumes an earlier start."""
    return settings.resume is not None or find_earlier_run(settings, line)[0] is not None


def train_group(group: Sequence[RequestedRun], line: Command) -> list[int]:
    """Train a group's runs together where that is possible and pays, else one after the other."""
    if len(group) > 1:
        statuses: list[int] = []
        found = guarded(lambda: try_together(group, line, statuses))
        if found or statuses:
            return [found, *statuses]
    statuses = []
    for run in group:
        statuses.append(guarded(lambda run=run: train_settings(run.settings, line)))
        if statuses[-1] == INTERRUPTED:
            break
    return statuses


def try_together(group: Sequence[RequestedRun], line: Command, statuses: list[int]) -> int:
    """Train a group together, where nothing speaks against it; adds to `statuses` if it does."""
    first = group[0].settings
    trust = trusted(line, first.run.root)
    lead = assemble(first, trust)
    members = [run.settings for run in group]
    reason = unprofitable(lead) or hindrance(members, trust, lead.dataset)
    if reason:
        log.info(f"{len(group)} seeds one after the other: {reason}")
    else:
        statuses += train_together(group, line, trust, lead)
    return DONE


def unprofitable(lead: Session) -> str:
    """Why training together would not pay; empty where it does, or is asked for."""
    if lead.settings.runtime.together is True:
        return ""
    if lead.runtime.graphs:
        return (
            "updates recorded as CUDA graphs are faster one run at a time; runtime.together=true "
            "trains them together anyway"
        )
    if not lead.dataset.spec.is_image:
        return ""
    return (
        "images keep a device busy one run at a time; runtime.together=true trains them together "
        "anyway"
    )


def train_together(
    group: Sequence[RequestedRun], line: Command, trust: Trust, lead: Session
) -> list[int]:
    """Train all runs of a group together; the exit status of each.

    Args:
        group: settings that differ in their seeds, and perhaps their run folders, alone.
        line: the command line of all.
        trust: the modules whose classes may be built.
        lead: the first one's session.

    Raises:
        UserError: nothing was trained, and the message says why.
    """
    settings = [run.settings for run in group]
    with quietly():  # the first one's settings have been warned of, and the others are like it
        others = [assemble(one, trust, dataset=lead.dataset) for one in settings[1:]]
    sessions = [lead, *others]
    for session, run in zip(sessions, group, strict=True):
        session.command = run.command
    evaluators = [evaluator_of(session, trust, line.config_dirs) for session in sessions]
    for evaluator in evaluators:
        if evaluator is not None:
            evaluator.prepare()
    names, seeds = [f"seed={one.seed}" for one in settings], [one.seed for one in settings]
    stop = StopRequest(answer=say_at_once)
    with ExitStack() as stack:
        folders: list[RunFolder] = []
        for session in sessions:
            folders.append(folder_for(session))
            stack.enter_context(folders[-1].lock())
        logs = stack.enter_context(
            run_logs({name: folder.log for name, folder in zip(names, folders, strict=True)})
        )
        log.info(
            f"{len(names)} runs together, {shortened(names)}: {begin_text(lead)} on "
            f"{describe(lead.device)}, {lead.precision}"
        )
        progress = SharedProgress(Progress(context_of(lead, folders[0])), logs, len(group))
        members = []
        for name, run, session, folder, evaluator in zip(
            names, group, sessions, folders, evaluators, strict=True
        ):
            parts = run, session, folder, evaluator, seeds, stop, progress
            members.append(Member(name, session, partial(train_member, *parts)))
        with stop.installed():
            train_in_lockstep(members)
        for name, folder in zip(names, folders, strict=True):
            status = folder.read_status()
            log.info(f"{name}: {status['status']} at step {status['step']:,}: {folder.path}")
    return [FAILED if member.status is None else member.status for member in members]


def train_member(
    run: RequestedRun,
    session: Session,
    folder: RunFolder,
    evaluator: Evaluator | None,
    seeds: Sequence[int],
    stop: StopRequest,
    progress: Callback,
    advance: Callable[[bool], None],
) -> int:
    """Train one run of a group in its folder; the exit status."""
    log.info(f"this run alone: {run.command}")
    return train_in_folder(
        *(session, folder, evaluator, stop, progress, evaluator), seeds=seeds, advance=advance
    )


def shortened(names: Sequence[str]) -> str:
    """Names in a row, or the first and the last of many."""
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{names[0]} ... {names[-1]}"
