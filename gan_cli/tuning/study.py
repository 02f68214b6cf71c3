"""The study in its storage, and its next trial. Only this file knows Optuna's storages, samplers
and pruners.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from gan_cli.config.search_space import Dimension
from gan_cli.errors import ConfigError, UserError
from gan_cli.files import cannot_write
from gan_cli.formatting import needs, show
from gan_cli.tuning.integrity import check_journal, check_study
from gan_cli.tuning.plan import StudyPlan

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

REDUCTION = 3  # pruning keeps one of this many trials
STARTUP = 10  # random trials before the search learns, or a tenth of all
LONGEST = 300  # characters of another program's message
PLACE = "place"  # attribute of a trial: the `folder_id` of its runs
IDENTITY = "identity"  # attribute of a study in a database: the settings that it searches


def need_optuna() -> None:
    """Raise ConfigError if Optuna is not installed; else silence its messages."""
    try:
        import optuna
    except ImportError as cause:
        raise ConfigError(f"gan-tune: {needs('Optuna 5', 'tune')}") from cause
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(plan: StudyPlan) -> Study:
    """Open the study in its storage, or create it.

    Raises:
        ConfigError: the storage cannot be used, or holds what no study of ours does.
    """
    import optuna

    try:
        with FileLock(plan.work / "study"):  # a new database's tables are made once
            if plan.tune.storage is None:
                check_journal(_journal(plan))
            study = optuna.create_study(
                storage=_storage(plan),
                study_name=plan.folder.name,
                direction=plan.direction,  # type: ignore[arg-type] - "minimize" or "maximize"
                load_if_exists=True,
                pruner=_pruner(plan),
            )
            check_study(study, plan.direction, plan.dimensions)
            if plan.tune.storage is not None:
                _check_identity(study, plan)
    except UserError:
        raise
    except Exception as error:  # Optuna fails in any way on what it did not write
        reason = " ".join(str(error).split())[:LONGEST]
        if plan.tune.storage is None:
            kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
            raise ConfigError(
                f"{_journal(plan)}: is damaged ({kind}{reason}); restore it from a backup, or "
                "start a new study with another tune.dir"
            ) from error
        raise ConfigError(f"tune.storage = {show(plan.tune.storage)}: {reason}") from error
    return study


def _check_identity(study: Study, plan: StudyPlan) -> None:
    """Check that a study in a database, which knows it by its folder's name alone, is this one.

    Raises:
        ConfigError: it is another.
    """
    saved = study.user_attrs.get(IDENTITY)
    if saved is None:  # a new study, or one of an earlier version
        study.set_user_attr(IDENTITY, plan.identity())
    elif faults := plan.differences(saved if isinstance(saved, dict) else {}):
        raise ConfigError(
            f"tune.storage = {show(plan.tune.storage)}: holds another study of the name "
            f"{plan.folder.name}; choose another tune.dir, or ask for the same:\n  "
            + "\n  ".join(faults)
        )


def _storage(plan: StudyPlan) -> BaseStorage | str:
    if plan.tune.storage:
        return plan.tune.storage
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock = FileLock(plan.work / "journal")

    class Journal(JournalFileBackend):
        """Optuna's journal, repaired if a full disk cut off its last record."""

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            try:
                with lock:
                    cut_torn_record(_journal(plan))
                    super().append_logs(logs)
            except OSError as cause:
                raise cannot_write(_journal(plan), cause) from cause

    # The system frees this lock of a killed process, which Optuna's own lock would outlive.
    return JournalStorage(Journal(str(_journal(plan)), lock))  # type: ignore[arg-type]


def _journal(plan: StudyPlan) -> Path:
    return plan.folder / "study.journal"


def cut_torn_record(journal: Path) -> None:
    """Remove what follows the last newline of a file; needs its lock."""
    with journal.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _pruner(plan: StudyPlan) -> BasePruner:
    from optuna import pruners

    if plan.tune.pruner == "none":
        return pruners.NopPruner()
    if plan.tune.pruner == "median":
        return pruners.MedianPruner()
    if plan.tune.pruner == "asha":
        return pruners.SuccessiveHalvingPruner(plan.every, REDUCTION)
    most = "auto" if plan.steps is None else max(plan.steps, plan.every)
    return pruners.HyperbandPruner(plan.every, most, REDUCTION)


def _sampler(plan: StudyPlan, known: int) -> BaseSampler:
    """A sampler whose draws depend only on the study's seed and its number of trials, `known`."""
    import numpy as np
    from optuna import samplers

    seed = int(np.random.SeedSequence([plan.tune.seed, known]).generate_state(1)[0])
    if plan.tune.sampler == "random":
        return samplers.RandomSampler(seed)
    startup = min(STARTUP, max(3, plan.tune.trials // 10))
    return samplers.TPESampler(seed=seed, n_startup_trials=startup)


class ClaimedTrial:
    """A trial that no other process claims before `release`, or the end of this process."""

    def __init__(self, trial: Trial, params: dict[str, str], lock: FileLock) -> None:
        self.trial, self.params, self._lock = trial, params, lock

    def release(self) -> None:
        """Release it."""
        self._lock.release()


def claim(study: Study, plan: StudyPlan) -> ClaimedTrial | None:
    """Claim the next trial: an unfinished one, else a new one; None when there are enough.

    A trial whose process was killed or interrupted is still marked as running, but its lock is
    free. Trials whose runs are in another machine's folder are left to that machine.
    """
    from optuna import Trial
    from optuna.trial import TrialState

    with FileLock(plan.work / "turn"):
        trials = study.get_trials(deepcopy=False)
        for known in trials:
            place = known.user_attrs.get(PLACE)
            ours = place == plan.folder_id or (place is None and plan.tune.storage is None)
            if known.state == TrialState.RUNNING and ours:
                lock = _lock(plan, known.number)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                study.sampler = _sampler(plan, known.number)  # it may have no value yet
                return _claimed(Trial(study, known._trial_id), plan, lock)
        started = sum(known.state != TrialState.WAITING for known in trials)
        if started >= plan.tune.trials:
            return None
        study.sampler = _sampler(plan, started)
        trial = study.ask()
        lock = _lock(plan, trial.number)
        lock.acquire(timeout=0)
        trial.set_user_attr(PLACE, plan.folder_id)
        return _claimed(trial, plan, lock)


def _lock(plan: StudyPlan, number: int) -> FileLock:
    # Not bound to a thread: whoever has the object may release it.
    return FileLock(plan.work / f"trial-{number:04d}", thread_local=False)


def _claimed(trial: Trial, plan: StudyPlan, lock: FileLock) -> ClaimedTrial:
    with ExitStack() as on_error:
        on_error.callback(lock.release)
        params = {d.key: suggest(trial, d) for d in plan.dimensions}
        on_error.pop_all()
    trial.set_user_attr("process", os.getpid())
    return ClaimedTrial(trial, params, lock)


def suggest(trial: Trial, dimension: Dimension) -> str:
    """The trial's value of a dimension, as typed by a user."""
    key, low, high = dimension.key, dimension.low, dimension.high
    if dimension.kind == "choice":
        return str(trial.suggest_categorical(key, dimension.choices))
    if dimension.kind == "int":
        step = int(dimension.step or 1)
        value = trial.suggest_int(key, int(low), int(high), step=step, log=dimension.log)
        return str(value)
    return repr(trial.suggest_float(key, low, high, step=dimension.step, log=dimension.log))
