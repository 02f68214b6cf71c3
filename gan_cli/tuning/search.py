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
from gan_cli.formatting import number
from gan_cli.jobs.processes import StoppedError, Supervisor
from gan_cli.tuning.plan import StudyPlan
from gan_cli.tuning.study import ClaimedTrial, claim, open_study
from gan_cli.tuning.trial import BROKEN, COMPLETE, PRUNED, DiskFullError, TrialResult, TrialRunner

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger(__name__)
HOPELESS = 3  # first trials that all fail alike, after which the settings are to blame


def search(plan: StudyPlan, supervisor: Supervisor) -> None:
    """Let workers run trials until there are enough, the time is over, or one fails badly.

    Raises:
        KeyboardInterrupt: a signal; all processes have ended, with their state saved unless the
            user did not wait.
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
    """Run one trial after the other, until there are enough or the supervisor stops."""
    study = open_study(plan)
    runner = TrialRunner(plan, supervisor, *worker_settings(plan, index))
    while not supervisor.stopped and (claimed := claim(study, plan)) is not None:
        try:
            run_trial(study, plan, runner, claimed)
        except StoppedError:
            return
        finally:
            claimed.release()


def run_trial(study: Study, plan: StudyPlan, runner: TrialRunner, claimed: ClaimedTrial) -> None:
    """Run a trial and report its result to the study."""
    from optuna.trial import TrialState

    trial, params = claimed.trial, claimed.params
    log.info(f"trial {trial.number}: {' '.join(f'{key}={text}' for key, text in params.items())}")
    started = time.monotonic() - trial.user_attrs.get("seconds", 0.0)
    try:
        result = runner.run(trial, params)
    except StoppedError:
        trial.set_user_attr("seconds", round(time.monotonic() - started, 1))
        raise
    except DiskFullError:
        raise  # nothing can be written now; the trial stays unfinished
    except BaseException as error:  # of the whole study; the trial is over
        trial.set_user_attr("why", str(error))
        study.tell(trial, state=TrialState.FAIL)
        raise
    trial.set_user_attr("seconds", round(time.monotonic() - started, 1))
    trial.set_user_attr("values", result.values)
    trial.set_user_attr("why", result.why)
    if result.state == COMPLETE:
        study.tell(trial, result.value)
    else:
        states = {PRUNED: TrialState.PRUNED, BROKEN: TrialState.FAIL}
        study.tell(trial, state=states[result.state])
    log.info(f"trial {trial.number}: {describe(study, plan, result)}")
    give_up(study)


def give_up(study: Study) -> None:
    """Raise ConfigError if all of the first trials have failed for the same reason."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    whys = [str(trial.user_attrs.get("why")) for trial in trials if trial.state.name == "FAIL"]
    reasons = {why.partition(" (see ")[0] for why in whys}  # without the trial's own log
    failed = sum(trial.state.name == "FAIL" for trial in trials)
    if failed == len(trials) >= HOPELESS and len(reasons) == 1:
        raise ConfigError(f"all of the first {failed} trials failed alike: {reasons.pop()}")


def describe(study: Study, plan: StudyPlan, result: TrialResult) -> str:
    """The result of a trial in words."""
    if result.state == PRUNED:
        return result.why
    if result.state == BROKEN:
        return f"failed: {result.why}"
    best = study.best_trial
    value, best_value = (number(one.value or 0.0) for one in (result, best))
    return f"{plan.tune.metric} {value}; the best is {best_value} of trial {best.number}"


def worker_settings(plan: StudyPlan, index: int) -> tuple[dict[str, str], list[str]]:
    """The environment and overrides of a worker's runs: its share of GPUs and CPU threads."""
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
