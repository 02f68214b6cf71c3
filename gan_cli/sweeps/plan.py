"""The jobs of a sweep: their names, run folders and arguments, and which share a process."""

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
from gan_cli.sweeps.index import WAITING, Index, JobEntry

log = logging.getLogger(__name__)
LONGEST = 60  # characters of a name before its hash
# Settings that do not change what a run learns, nor which run it is: groups and keys.
NEUTRAL_GROUPS = ("hydra", "sweep", "run", "dry_run", "force")
NEUTRAL_KEYS = ("runtime.threads", "runtime.device")
FOLDERS = ("run.dir", "run.name")
LARGEST = 64  # jobs of one process
POINTS = "gan_cli.data.toy."  # data whose steps are too small to keep a device busy


@dataclass(frozen=True)
class SweepJob:
    """A run of a sweep.

    Attributes:
        name: short, and the same whenever the sweep is started.
        overrides: as typed by a user.
        run: its run folder.
        arguments: of the `gan-train` that starts or resumes it.
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
    """The jobs of a sweep.

    Args:
        settings_of: composes and validates a job's overrides.
        overrides: of each job, as Hydra gives them.
        swept: keys that take several values.
        folder: the sweep's.
        options: further arguments of each `gan-train`.

    Raises:
        ConfigError: lists the faults of all jobs, each with the jobs that have it.
    """
    jobs: dict[str, SweepJob] = {}
    faults: dict[str, list[str]] = {}
    owners: dict[Path, str] = {}
    for own in overrides:
        try:
            job = _job(settings_of(own), own, swept, folder, options)
            if owners.setdefault(job.run.absolute(), job.name) != job.name:
                raise _shared_folder(job)
        except ConfigError as error:
            for line in str(error).splitlines():
                faults.setdefault(line, []).append(swept_values(own, swept))
            continue
        jobs[job.name] = job
    if faults:
        lines = (_located(line, named, len(overrides)) for line, named in faults.items())
        raise ConfigError("\n".join(lines))
    return list(jobs.values())


def _job(
    settings: Settings,
    overrides: Sequence[str],
    swept: Sequence[str],
    folder: Path,
    options: Sequence[str],
) -> SweepJob:
    typed = [as_typed(override) for override in overrides]
    name = job_name(typed, swept)
    keys = f"sweep.keys=[{','.join(swept)}]"
    if resumes(settings):
        run = Path(settings.resume or "")
        arguments = [*overrides, keys]
    else:
        run = folder / name
        if settings.run.dir is not None:
            run = Path(settings.run.dir)
        elif settings.run.name is not None:
            run = Path(settings.run.root) / settings.run.name
        branched = settings.resume is not None and is_run(run)  # earlier, and now resumes itself
        dropped = (*FOLDERS, "run.root", "resume") if branched else FOLDERS
        kept = [override for override in overrides if split(override)[0] not in dropped]
        arguments = [*kept, assignment("resume" if branched else "run.dir", run), keys]
    return SweepJob(name, typed, run, [*options, *arguments], settings)


def _shared_folder(job: SweepJob) -> ConfigError:
    if resumes(job.settings):
        return ConfigError(
            f"resume = {job.settings.resume}: several jobs cannot resume one run; name one "
            "of its kept checkpoints, at which each branches off in a folder of its "
            "own, such as resume=RUN/checkpoints/step_00001000.pt"
        )
    return ConfigError(
        f"run.dir, run.name: {job.run} would be the folder of several jobs; give each "
        "its own, such as 'run.name=x-${seed}'"
    )


def _located(line: str, named: Sequence[str], jobs: int) -> str:
    """A fault with the jobs that have it, unless all do."""
    if len(named) == jobs:
        return line
    more = f" and {len(named) - 1} more" if len(named) > 1 else ""
    return f"{line} (with {named[0]}{more})"


def resumes(settings: Settings) -> bool:
    """Whether a job resumes an earlier run in its folder."""
    return settings.resume is not None and not branches(settings.resume)


def as_typed(override: str) -> str:
    """An override without the sign that Hydra is given."""
    return override.lstrip("+")


def identity(overrides: Iterable[str]) -> list[str]:
    """The overrides that distinguish a run from others, sorted."""
    kept = []
    for override in map(as_typed, overrides):
        key, _ = split(override)
        group = key.partition(".")[0].partition("/")[0]
        if group not in NEUTRAL_GROUPS and key not in NEUTRAL_KEYS:
            kept.append(override)
    return sorted(kept)


def swept_values(overrides: Sequence[str], swept: Sequence[str]) -> str:
    """The overrides that distinguish a job from the others of its sweep."""
    own = [override for override in map(as_typed, overrides) if split(override)[0] in swept]
    return " ".join(own) or "its one job"


def without_repeats(
    overrides: Sequence[Sequence[str]], swept: Sequence[str]
) -> list[tuple[str, ...]]:
    """The overrides of each job, once; logs a warning of repeated ones."""
    counts = Counter(tuple(one) for one in overrides)
    again = [swept_values(one, swept) for one, count in counts.items() if count > 1]
    if again:
        more = f", and {len(again) - 1} other jobs" if len(again) > 1 else ""
        log.warning(f"{again[0]}{more}: given more than once, and run once")
    return list(counts)


def sweep_name(fixed: Sequence[str], swept: Sequence[str]) -> str:
    """The name of a sweep's folder: its keys, and a hash of the settings that all jobs share.

    Values of the keys are left out, so that adding some continues the same sweep.
    """
    keys = sorted(dict.fromkeys(swept))
    short = _file_name("-".join(key.rpartition(".")[2] for key in keys) or "one")
    return f"{short}-{_hash([*identity(fixed), *(f'{key}=*' for key in keys)])}"


def job_name(overrides: Sequence[str], swept: Sequence[str]) -> str:
    """The name of a job: its own values, and a hash of the overrides that distinguish it."""
    typed = [as_typed(override) for override in overrides]
    values = []
    for key, value in map(split, typed):
        if key in swept:
            is_word = bool(value) and not re.search(r"\d", (value or "")[:1])
            values.append(str(value) if is_word else f"{key.rpartition('.')[2]}{value}")
    own, short = identity(typed), _file_name("-".join(values) or "one")
    neutral = [o for o in typed if split(o)[0] in swept and o not in own]
    if len(short) < LONGEST:  # their values are in the name, and older versions hashed no others
        neutral = [override for override in neutral if split(override)[0] not in NEUTRAL_KEYS]
    return f"{short}-{_hash([*own, *sorted(neutral)])}"


def _file_name(text: str) -> str:
    plain = re.sub(r"[^\w.=+-]+", "-", text, flags=re.ASCII)
    return re.sub(r"--+", "-", plain).strip("-.")[:LONGEST] or "x"


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def enter(jobs: Sequence[SweepJob], index: Index, retry_failed: bool) -> list[SweepJob]:
    """Enter the jobs into the index, with their states; returns those that are to be run."""
    due = []
    for job in jobs:
        new = JobEntry(job.name, job.overrides, index.called(job.run))
        entry = index.entries.setdefault(job.name, new)
        state = job_state(job, entry)
        if state == FINISHED or (state == FAILED and not retry_failed):
            entry.state = state
        else:
            entry.state = WAITING
            due.append(job)
    return due


def job_state(job: SweepJob, entry: JobEntry) -> str:
    """The state of a job: its run folder's if that has one, else the index's."""
    if resumes(job.settings):  # the folder's state may be from before the sweep
        return entry.state
    try:
        state = RunFolder(job.run).read_status()["status"]
    except CheckpointError:
        return WAITING  # the run itself will complain
    if state == UNKNOWN:
        return entry.state if entry.state == FAILED else WAITING
    return str(state)


def warn_of_split_groups(jobs: Sequence[SweepJob]) -> None:
    """Log a warning of jobs that were trained together and now resume one by one."""
    count = 0
    for job in jobs:
        try:
            status = RunFolder(job.run).read_status()
        except CheckpointError:  # the run itself will complain
            continue
        count += bool(status.get("together") and status["step"])
    if count:
        log.warning(
            f"{counted(count, 'job')} of a group trained together; each resumes by itself: equal "
            "up to rounding, not bit for bit"
        )


def groups(jobs: Sequence[SweepJob], slots: int) -> list[list[SweepJob]]:
    """The jobs in order, grouped by process: new runs that differ in their seed alone train
    together.

    For points that takes little longer than one run, whose steps keep the device waiting. Large
    groups are divided so that no slot is idle.

    Args:
        jobs: that are to be run.
        slots: processes at once.
    """
    found: list[list[SweepJob]] = []
    for job in jobs:
        group = next((group for group in found if _joins(job, group)), None)
        if group is None:
            found.append([job])
        else:
            group.append(job)
    return [part for group in found for part in _parts(group, _wanted(group, slots // len(found)))]


def _wanted(group: Sequence[SweepJob], slots: int) -> int:
    """The parts that a group is to have: one where `runtime.together=true` wants it together."""
    return 1 if all(job.settings.runtime.together is True for job in group) else slots


def _joins(job: SweepJob, group: Sequence[SweepJob]) -> bool:
    first = group[0]
    if not (_can_share(job) and _can_share(first)):
        return False
    seeds = {other.settings.seed for other in group}
    return job.settings.seed not in seeds and job.settings.is_twin_of(first.settings)


def _can_share(job: SweepJob) -> bool:
    """Whether a job is new, can be trained with others, and that is asked for or faster."""
    settings = job.settings
    points = str(settings.data.get("_target_", "")).startswith(POINTS)
    wanted = settings.runtime.together is True or points
    return wanted and settings.goes_together() and settings.resume is None and not is_run(job.run)


def _parts(group: list[SweepJob], wanted: int) -> list[list[SweepJob]]:
    """A group in `wanted` parts of similar size, or in more where these would be too large."""
    count = min(len(group), max(wanted, -(-len(group) // LARGEST), 1))
    return [group[at::count] for at in range(count)]
