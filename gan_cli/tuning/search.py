"""The search: workers that run trials until there are enough."""

from __future__ import annotations

import logging
import os
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from gan_cli.device import cores
from gan_cli.errors import ConfigError
from gan_cli.jobs.processes import StoppedError, Supervisor
from gan_cli.tuning.plan import StudyPlan
from gan_cli.tuning.results import number
from gan_cli.tuning.study import ClaimedTrial, open_study, take
from gan_cli.tuning.trial import BROKEN, COMPLETE, PRUNED, DiskFullError, TrialResult, TrialRunner

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger(__name__)
HOPELESS = 3  # trials that fail alike before any other, after which it is the settings


def search(plan: StudyPlan, supervisor: Supervisor) -> None:
    """Let the workers play trials until there are enough, the time is over, or one breaks.

    Raises:
        KeyboardInterrupt: a signal; all processes have ended, their state saved if they were
            left the time.
        MetricError: no trial can ever have a value.
    """
    count = plan.tune.workers
    pool = ThreadPoolExecutor(count, thread_name_prefix="worker")
    workers: list[Future[None]] = [
        pool.submit(work, plan, supervisor, index) for index in range(count)
    ]
    try:
        done, _ = wait(workers, plan.tune.max_time, return_when=FIRST_EXCEPTION)
        if len(done) < len(workers) and not any(worker.exception() for worker in done):
            log.info("tune.max_time is over; the same command resumes")
    except KeyboardInterrupt:
        log.info("stopping: trials save their state; Ctrl-C again ends without saving")
        raise
    finally:
        supervisor.stop()
        pool.shutdown()
    for worker in workers:
        worker.result()


def work(plan: StudyPlan, supervisor: Supervisor, index: int) -> None:
    """Play one trial after the other; ends without a word where the `supervisor` has stopped."""
    study = open_study(plan)
    player = TrialRunner(plan, supervisor, *surroundings(plan, index))
    while not supervisor.stopped and (turn := take(study, plan)) is not None:
        try:
            one(study, plan, player, turn)
        except StoppedError:
            return
        finally:
            turn.end()


def one(study: Study, plan: StudyPlan, player: TrialRunner, turn: ClaimedTrial) -> None:
    """Play a trial and tell the study of it."""
    from optuna.trial import TrialState

    trial = turn.trial
    said = " ".join(f"{key}={text}" for key, text in turn.params.items())
    log.info(f"trial {trial.number}: {said}")
    begun = time.monotonic() - trial.user_attrs.get("seconds", 0.0)
    try:
        played = player.play(trial, turn.params)
    except StoppedError:
        trial.set_user_attr("seconds", round(time.monotonic() - begun, 1))
        raise
    except DiskFullError:
        raise  # nothing can be written now; the trial counts as broken off
    except BaseException as error:  # of the whole study; the trial is no longer on its way
        trial.set_user_attr("why", str(error))
        study.tell(trial, state=TrialState.FAIL)
        raise
    trial.set_user_attr("seconds", round(time.monotonic() - begun, 1))
    trial.set_user_attr("values", played.values)
    trial.set_user_attr("why", played.why)
    if played.state == COMPLETE:
        study.tell(trial, played.value)
    else:
        states = {PRUNED: TrialState.PRUNED, BROKEN: TrialState.FAIL}
        study.tell(trial, state=states[played.state])
    log.info(f"trial {trial.number}: {outcome(study, plan, played)}")
    give_up(study)


def give_up(study: Study) -> None:
    """Raise ConfigError when nothing but the same failure came of the first trials."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    reasons = {trial.user_attrs.get("why") for trial in trials if trial.state.name == "FAIL"}
    failed = sum(trial.state.name == "FAIL" for trial in trials)
    if failed == len(trials) >= HOPELESS and len(reasons) == 1:
        raise ConfigError(f"all of the first {failed} trials failed alike: {reasons.pop()}")


def outcome(study: Study, plan: StudyPlan, played: TrialResult) -> str:
    """What became of a trial, in words."""
    if played.state == PRUNED:
        return played.why
    if played.state == BROKEN:
        return f"failed: {played.why}"
    best = study.best_trial
    return (
        f"{plan.tune.metric} {number(played.value)}; the best is {number(best.value)} of "
        f"trial {best.number}"
    )


def surroundings(plan: StudyPlan, index: int) -> tuple[dict[str, str], list[str]]:
    """Environment and overrides of a worker's runs: its share of GPUs and of CPU threads."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    if plan.tune.gpus is not None:
        visible = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        names = visible or [str(gpu) for gpu in range(plan.tune.gpus)]
        environment["CUDA_VISIBLE_DEVICES"] = names[index % min(len(names), plan.tune.gpus)]
    given = any(override.startswith("runtime.threads=") for override in plan.fixed)
    if plan.tune.workers == 1 or given:
        return environment, []
    return environment, [f"runtime.threads={max(1, cores() // plan.tune.workers)}"]
