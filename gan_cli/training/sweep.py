"""The runs of one command line: those that differ in their seeds alone are trained together."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gan_cli.config.overrides import Command
from gan_cli.config.reading import trusted
from gan_cli.config.schema import Settings
from gan_cli.console import setup_logging
from gan_cli.exits import DONE, INTERRUPTED, guarded
from gan_cli.training.past import earlier_run
from gan_cli.training.run import train_settings
from gan_cli.training.session import Session, assemble
from gan_cli.training.stacked.job import Job

log = logging.getLogger(__name__)


def train_all(runs: Sequence[Job], line: Command) -> int:
    """Train them, group by group; the worst exit status. What fails does not end the rest."""
    setup_logging(None)
    statuses = [DONE]
    for group in groups(runs, line):
        statuses += train_group(group, line)
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


def train_group(group: Sequence[Job], line: Command) -> list[int]:
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
    from gan_cli.training.stacked import group as stacked
    from gan_cli.training.stacked.trial import hindrance

    first = group[0].settings
    trust = trusted(line, first.run.root)
    lead = assemble(first, trust)
    members = [job.settings for job in group]
    reason = unprofitable(lead) or hindrance(members, trust, lead.dataset)
    if reason:
        log.info(f"{len(group)} seeds one after the other: {reason}")
    else:
        statuses += stacked.train_group(group, trust, lead)
    return DONE


def unprofitable(lead: Session) -> str:
    """Why runs are not trained together though they could be; empty where they are."""
    if lead.settings.runtime.together is True or not lead.dataset.spec.is_image:
        return ""
    return (
        "images keep a device busy one run at a time; runtime.together=true trains them together "
        "all the same"
    )
