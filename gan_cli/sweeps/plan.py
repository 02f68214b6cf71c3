"""From the overrides of a sweep's jobs to jobs that can be run, or to what is wrong with them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_cli.config.command_line import split
from gan_cli.config.schema import Settings
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import assignment, counted
from gan_cli.runs.folder import FAILED, FINISHED, UNKNOWN, RunFolder, branches, is_run
from gan_cli.sweeps.index import WAITING, Entry, Index
from gan_cli.sweeps.slots import Slots

LONGEST = 60  # characters before the hash
# What a run learns does not depend on it, nor which run it is.
APART = ("hydra", "sweep", "run", "dry_run", "force")
APART_KEYS = ("runtime.threads", "runtime.device")


def typed(override: str) -> str:
    """An override as one types it, without the sign that Hydra is given."""
    return override.lstrip("+")


def telling(overrides: Iterable[str]) -> list[str]:
    """Those that say which run it is, in an order that is always the same."""
    kept = []
    for override in map(typed, overrides):
        key, _ = split(override)
        top = key.partition(".")[0].partition("/")[0]
        if top not in APART and key not in APART_KEYS:
            kept.append(override)
    return sorted(kept)


def sweep_name(fixed: Sequence[str], swept: Sequence[str]) -> str:
    """Of the keys that take several values, and a hash of what all jobs share.

    The values themselves do not count, so that more of them go into the same sweep.
    """
    keys = sorted(dict.fromkeys(swept))
    short = _plain("-".join(key.rpartition(".")[2] for key in keys) or "one")
    return f"{short}-{_hash([*telling(fixed), *(f'{key}=*' for key in keys)])}"


def job_name(overrides: Sequence[str], swept: Sequence[str]) -> str:
    """Of the job's own values, and a hash of all that says which run it is."""
    values = []
    for key, value in map(split, map(typed, overrides)):
        if key in swept:
            last = key.rpartition(".")[2]
            words = bool(value) and not re.search(r"\d", (value or "")[:1])
            values.append(str(value) if words else f"{last}{value}")
    told, short = telling(overrides), _plain("-".join(values) or "one")
    apart = [o for o in map(typed, overrides) if split(o)[0] in swept and o not in told]
    if len(short) < LONGEST:  # their values stand there whole, and older versions hashed no others
        apart = [override for override in apart if split(override)[0] not in APART_KEYS]
    return f"{short}-{_hash([*told, *sorted(apart)])}"


def _plain(text: str) -> str:
    plain = re.sub(r"[^\w.=+-]+", "-", text, flags=re.ASCII)
    return re.sub(r"--+", "-", plain).strip("-.")[:LONGEST] or "x"


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


log = logging.getLogger(__name__)
PLACES = ("run.dir", "run.name")


@dataclass(frozen=True)
class SweepJob:
    """A run of a sweep.

    Attributes:
        name: short, and the same whenever the sweep is started.
        overrides: as one types them.
        run: its run folder.
        arguments: of `gan-train`, which begin it or go on with it.
        settings: validated.
    """

    name: str
    overrides: list[str]
    run: Path
    arguments: list[str]
    settings: Settings


def plan(
    settings_of: Callable[[Sequence[str]], Settings],
    overrides: Sequence[Sequence[str]],
    swept: Sequence[str],
    folder: Path,
    options: Sequence[str] = (),
) -> list[SweepJob]:
    """The jobs.

    Args:
        settings_of: composes and validates a job's overrides.
        overrides: of each job, as Hydra gives them.
        swept: keys that take several values.
        folder: the sweep's.
        options: what else each `gan-train` is given.

    Raises:
        ConfigError: lists the faults of all jobs, and which jobs those are.
    """
    jobs: dict[str, SweepJob] = {}
    faults: dict[str, list[str]] = {}
    taken: dict[Path, str] = {}
    for one in overrides:
        own = varied(one, swept)
        try:
            settings = settings_of(one)
            job = _job(settings, one, swept, folder, options)
            other = taken.setdefault(job.run.absolute(), job.name)
            if other != job.name:
                if goes_on(settings):
                    raise ConfigError(
                        f"resume = {settings.resume}: several jobs cannot resume one run; name one "
                        "of its kept checkpoints, at which each branches off in a folder of its "
                        "own, such as resume=RUN/checkpoints/step_00001000.pt"
                    )
                raise ConfigError(
                    f"run.dir, run.name: {job.run} would be the folder of several jobs; give each "
                    "its own, such as 'run.name=x-${seed}'"
                )
        except ConfigError as error:
            for line in str(error).splitlines():
                faults.setdefault(line, []).append(own)
            continue
        jobs[job.name] = job
    if faults:
        lines = (_located(line, named, len(overrides)) for line, named in faults.items())
        raise ConfigError("\n".join(lines))
    return list(jobs.values())


def once(overrides: Sequence[Sequence[str]], swept: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of each job, once; warns of those that were asked for several times."""
    counts = Counter(tuple(one) for one in overrides)
    again = [varied(one, swept) for one, count in counts.items() if count > 1]
    if again:
        more = f", and {len(again) - 1} other jobs" if len(again) > 1 else ""
        log.warning(f"{again[0]}{more}: asked for more than once, and run once")
    return list(counts)


def varied(overrides: Sequence[str], swept: Sequence[str]) -> str:
    """What sets a job apart from the others."""
    said = [text for text in map(typed, overrides) if split(text)[0] in swept]
    return " ".join(said) or "its one job"


def _located(line: str, named: Sequence[str], jobs: int) -> str:
    """A fault with the jobs that have it, where not all do."""
    if len(named) == jobs:
        return line
    more = f" and {len(named) - 1} more" if len(named) > 1 else ""
    return f"{line} (with {named[0]}{more})"


def _job(
    settings: Settings,
    overrides: Sequence[str],
    swept: Sequence[str],
    folder: Path,
    options: Sequence[str],
) -> SweepJob:
    said = [typed(override) for override in overrides]
    name = job_name(said, swept)
    keys = f"sweep.keys=[{','.join(swept)}]"
    if goes_on(settings):
        run = Path(settings.resume or "")
        arguments = [*overrides, keys]
    else:
        run = folder / name
        if settings.run.dir is not None:
            run = Path(settings.run.dir)
        elif settings.run.name is not None:
            run = Path(settings.run.root) / settings.run.name
        begun = settings.resume is not None and is_run(run)  # it branched off before
        left = (*PLACES, "run.root", "resume") if begun else PLACES
        kept = [text for text in overrides if split(text)[0] not in left]
        arguments = [*kept, assignment("resume" if begun else "run.dir", run), keys]
    return SweepJob(name, said, run, [*options, *arguments], settings)


def goes_on(settings: Settings) -> bool:
    """Whether a job goes on with an earlier run in its folder."""
    return settings.resume is not None and not branches(settings.resume)


def enter(jobs: Sequence[SweepJob], index: Index, retry_failed: bool) -> list[SweepJob]:
    """Put the jobs into the index; those that are to be run, the others are done.

    What a job's run folder says goes before what the index says.
    """
    due = []
    for job in jobs:
        new = Entry(job.name, job.overrides, index.called(job.run))
        entry = index.entries.setdefault(job.name, new)
        state = standing(job, entry)
        if state == FINISHED or (state == FAILED and not retry_failed):
            entry.state = state
            continue
        entry.state = WAITING
        due.append(job)
    return due


def parted(jobs: Sequence[SweepJob]) -> str:
    """What to say of jobs that were trained together and now resume each by itself."""
    count = 0
    for job in jobs:
        try:
            status = RunFolder(job.run).read_status()
        except CheckpointError:  # the run itself will complain
            continue
        count += bool(status.get("together") and status["step"])
    if not count:
        return ""
    return (
        f"{counted(count, 'job')} of a group trained together; each resumes by itself: equal up to "
        "rounding, not bit for bit"
    )


def standing(job: SweepJob, entry: Entry) -> str:
    """How the job stands: as its run folder says, where that tells."""
    if goes_on(job.settings):  # the folder tells of the time before
        return entry.state
    try:
        found = RunFolder(job.run).read_status()["status"]
    except CheckpointError:
        return WAITING  # the run itself will complain
    if found == UNKNOWN:
        return entry.state if entry.state == FAILED else WAITING
    return str(found)


LARGEST = 64  # jobs of one process
POINTS = "gan_cli.data.toy."  # data of which a step is too small for a device


def groups(jobs: Sequence[SweepJob], slots: Slots) -> list[list[SweepJob]]:
    """The jobs in order, those that differ in their seed alone side by side, in a group.

    Together they take little longer than one where a step keeps the device waiting, as for points.
    A large group is shared out over the places, so that none is idle; what has begun goes on by
    itself.

    Args:
        jobs: that are due.
        slots: their places.
    """
    found: list[list[SweepJob]] = []
    for job in jobs:
        kin = [group for group in found if joins(job, group)]
        if kin:
            kin[0].append(job)
        else:
            found.append([job])
    return [part for group in found for part in parts(group, slots.count // len(found))]


def joins(job: SweepJob, group: Sequence[SweepJob]) -> bool:
    """Whether a job is trained together with those of a group."""
    first = group[0]
    if not all(pays(one) and not has_begun(one) for one in (job, first)):
        return False
    known = {other.settings.seed for other in group}
    return job.settings.seed not in known and job.settings.is_twin_of(first.settings)


def pays(job: SweepJob) -> bool:
    """Whether the settings let the job be trained with others, and that is quicker."""
    settings = job.settings
    small = str(settings.data.get("_target_", "")).startswith(POINTS)
    return settings.goes_together() and (settings.runtime.together is True or small)


def has_begun(job: SweepJob) -> bool:
    """Whether there is a run to go on with."""
    return job.settings.resume is not None or is_run(job.run)


def parts(group: list[SweepJob], wanted: int) -> list[list[SweepJob]]:
    """A group in `wanted` parts of about one size, or more where these would be too large."""
    count = min(len(group), max(wanted, -(-len(group) // LARGEST), 1))
    return [group[at::count] for at in range(count)]
