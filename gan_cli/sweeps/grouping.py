"""Which jobs of a sweep one process trains together."""

from __future__ import annotations

from collections.abc import Sequence

from gan_cli.runs.finding import is_run
from gan_cli.sweeps.planning import Job
from gan_cli.sweeps.slots import Slots

LARGEST = 64  # jobs of one process
POINTS = "gan_cli.data.toy."  # data of which a step is too small for a device


def groups(jobs: Sequence[Job], slots: Slots) -> list[list[Job]]:
    """The jobs in order, those that differ in their seed alone side by side, in a group.

    Together they take little longer than one where a step keeps the device waiting, as for points.
    A large group is shared out over the places, so that none is idle; what has begun goes on by
    itself.

    Args:
        jobs: that are due.
        slots: their places.
    """
    found: list[list[Job]] = []
    for job in jobs:
        kin = [group for group in found if joins(job, group)]
        if kin:
            kin[0].append(job)
        else:
            found.append([job])
    return [part for group in found for part in parts(group, slots.count // len(found))]


def joins(job: Job, group: Sequence[Job]) -> bool:
    """Whether a job is trained together with those of a group."""
    first = group[0]
    if not all(pays(one) and not has_begun(one) for one in (job, first)):
        return False
    known = {other.settings.seed for other in group}
    return job.settings.seed not in known and job.settings.is_twin_of(first.settings)


def pays(job: Job) -> bool:
    """Whether the settings let the job be trained with others, and that is quicker."""
    settings = job.settings
    small = str(settings.data.get("_target_", "")).startswith(POINTS)
    return settings.goes_together() and (settings.runtime.together is True or small)


def has_begun(job: Job) -> bool:
    """Whether there is a run to go on with."""
    return job.settings.resume is not None or is_run(job.run)


def parts(group: list[Job], wanted: int) -> list[list[Job]]:
    """A group in `wanted` parts of about one size, or more where these would be too large."""
    count = min(len(group), max(wanted, -(-len(group) // LARGEST), 1))
    return [group[at::count] for at in range(count)]
