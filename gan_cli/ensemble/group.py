"""Runs of one configuration and several seeds, trained together in one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from gan_cli.config.command_line import Command
from gan_cli.config.instantiate import Trust
from gan_cli.config.schema import Settings
from gan_cli.config.settings import trusted
from gan_cli.console import setup_logging
from gan_cli.device import describe
from gan_cli.ensemble.display import Display, RunLogs, run_logs
from gan_cli.ensemble.ensemble import Ensemble, quietly
from gan_cli.ensemble.job import Job
from gan_cli.exits import DONE, INTERRUPTED, guarded
from gan_cli.runs.folder import RunFolder
from gan_cli.signals import StopRequest, say_at_once
from gan_cli.training.describe import begin_text
from gan_cli.training.evaluator import evaluator_of
from gan_cli.training.loop import Course
from gan_cli.training.resume import earlier_run
from gan_cli.training.run import folder_for, pieces, progress_of, train_settings
from gan_cli.training.setup import Session, assemble

log = logging.getLogger(__name__)
SHOWN = 8  # seeds that a line names


class Member:
    """One run of the group, which goes on or has ended with a status.

    Args:
        session: what it trains.
        course: the run in pieces.
        run_logs: whose messages go where.
    """

    def __init__(self, session: Session, course: Course[int], run_logs: RunLogs) -> None:
        self.session, self.name = session, name_of(session.settings)
        self.status: int | None = None  # once it has ended
        self.measure = False  # what its next step is to be
        self._course, self._voices = course, run_logs

    def go_on(self) -> None:
        """Do all that lies between two steps."""
        self._run(lambda: next(self._course))

    def fail(self, error: BaseException) -> None:
        """Let it end as if its step had raised that."""
        self._run(lambda: self._course.throw(error))

    def _run(self, piece: Callable[[], bool]) -> None:
        def work() -> int:
            try:
                self.measure = piece()
            except StopIteration as end:
                self.status = end.value
            except KeyboardInterrupt:  # said once, by who asked for all of them
                self.status = INTERRUPTED
            return DONE

        with self._voices.of(self.name):
            failed = guarded(work)
        if failed:
            self.status = failed


def train_group(jobs: Sequence[Job], trust: Trust, lead: Session) -> list[int]:
    """Train all of them; the exit status of each.

    Args:
        jobs: settings that differ in their seeds, and perhaps their run folders, alone.
        trust: whose classes may be built.
        lead: the first one's session.

    Raises:
        UserError: nothing was trained, and the message says why.
    """
    members = [job.settings for job in jobs]
    with quietly():  # what is to be said of the settings was said of the first one
        others = [assemble(settings, trust, dataset=lead.dataset) for settings in members[1:]]
    sessions = [lead, *others]
    watches = [evaluator_of(session, trust) for session in sessions]
    for evaluator in watches:
        if evaluator is not None:
            evaluator.prepare()
    names = [name_of(settings) for settings in members]
    stop = StopRequest(answer=say_at_once)
    with ExitStack() as held:
        runs: list[RunFolder] = []
        for session in sessions:
            runs.append(folder_for(session))
            held.enter_context(runs[-1].lock())
        logs = {name: run.log for name, run in zip(names, runs, strict=True)}
        speaking = held.enter_context(run_logs(logs))
        log.info(
            f"{len(names)} runs together, {shortened(names)}: {begin_text(lead)} on "
            f"{describe(lead.device)}, {lead.precision}"
        )
        display = Display(progress_of(lead), lambda: speaking.of(""))
        group = []
        for session, run, evaluator in zip(sessions, runs, watches, strict=True):
            share, numbers = display.share(), [settings.seed for settings in members]
            course = pieces(session, run, evaluator, stop, share, evaluator, together=numbers)
            group.append(Member(session, course, speaking))
        for name, job in zip(names, jobs, strict=True):
            with speaking.of(name):
                log.info(f"this run alone: {job.command}")
        with stop.installed():
            train_in_lockstep(group)
        for member, run in zip(group, runs, strict=True):
            status = run.read_status()
            log.info(f"{member.name}: {status['status']} at step {status['step']:,}: {run.path}")
    return [member.status or DONE for member in group]


def train_in_lockstep(group: Sequence[Member]) -> None:
    """Step all members as one until the last has ended; who ends or fails leaves alone."""
    for member in group:
        member.go_on()
    while going := [member for member in group if member.status is None]:
        if len(going) == 1:
            step_together(going, going[0].session.trainer.advance)
            continue
        try:
            ensemble = Ensemble([member.session for member in going])
        except Exception as error:
            for member in going:
                member.fail(error)
            return
        try:
            step_together(going, ensemble.advance)
        finally:
            ensemble.dissolve()


def step_together(going: Sequence[Member], advance: Callable[[bool], None]) -> None:
    """Step members until one of them ends."""
    while all(member.status is None for member in going):
        try:
            advance(any(member.measure for member in going))
        except BaseException as error:
            for member in going:
                member.fail(error)
        else:
            for member in going:
                member.go_on()


def name_of(settings: Settings) -> str:
    """What the screen calls a run of the group."""
    return f"seed={settings.seed}"


def shortened(names: Sequence[str]) -> str:
    """Names in a row, or the first and the last of many."""
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{names[0]} ... {names[-1]}"


def train_all(runs: Sequence[Job], line: Command) -> int:
    """Train them, group by group; the worst exit status. What fails does not end the rest."""
    setup_logging(None)
    statuses = [DONE]
    for group in groups(runs, line):
        statuses += train_jobs(group, line)
        if INTERRUPTED in statuses:
            break
    return max(statuses)


def groups(runs: Sequence[Job], line: Command) -> list[list[Job]]:
    """The runs in order, those that can be members of one group side by side."""
    found: list[list[Job]] = []
    for job in runs:
        for group in found:
            if belongs(job.settings, [other.settings for other in group], line):
                group.append(job)
                break
        else:
            found.append([job])
    return found


def belongs(settings: Settings, group: Sequence[Settings], line: Command) -> bool:
    """Whether a run is a new one that differs from all of a group in its seed alone."""
    first = group[0]
    if not settings.goes_together() or settings.dry_run:
        return False
    if settings.seed in [other.seed for other in group]:
        return False
    return settings.is_twin_of(first) and not any(goes_on(one, line) for one in (settings, first))


def goes_on(settings: Settings, line: Command) -> bool:
    """Whether there is an earlier start of it."""
    return settings.resume is not None or earlier_run(settings, line)[0] is not None


def train_jobs(group: Sequence[Job], line: Command) -> list[int]:
    """Train a group's runs together where that can be and pays, else one after the other."""
    if len(group) > 1:
        statuses: list[int] = []
        found = guarded(lambda: together(group, line, statuses))
        if found or statuses:
            return [found, *statuses]
    statuses = []
    for job in group:
        statuses.append(guarded(lambda job=job: train_settings(job.settings, line)))
        if statuses[-1] == INTERRUPTED:
            break
    return statuses


def together(group: Sequence[Job], line: Command, statuses: list[int]) -> int:
    """Train a group together, where nothing speaks against it; adds to `statuses` if it does."""
    from gan_cli.ensemble.ensemble import hindrance

    first = group[0].settings
    trust = trusted(line, first.run.root)
    lead = assemble(first, trust)
    members = [job.settings for job in group]
    reason = unprofitable(lead) or hindrance(members, trust, lead.dataset)
    if reason:
        log.info(f"{len(group)} seeds one after the other: {reason}")
    else:
        statuses += train_group(group, trust, lead)
    return DONE


def unprofitable(lead: Session) -> str:
    """Why runs are not trained together though they could be; empty where they are."""
    if lead.settings.runtime.together is True or not lead.dataset.spec.is_image:
        return ""
    return (
        "images keep a device busy one run at a time; runtime.together=true trains them together "
        "all the same"
    )
