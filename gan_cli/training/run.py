"""One run from its settings to its end: begin it or resume it, train it, close it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.callbacks.callback import Callback, RunContext, build_callbacks
from gan_cli.callbacks.health import Health
from gan_cli.callbacks.metrics import MetricsFile
from gan_cli.callbacks.progress import Progress
from gan_cli.config.command_line import Command
from gan_cli.config.instantiate import Trust
from gan_cli.config.schema import Settings
from gan_cli.config.settings import read, to_yaml, trusted, unused
from gan_cli.console import setup_logging
from gan_cli.device import describe
from gan_cli.distributed.join import first_rank, joined
from gan_cli.distributed.ranks import Ranks
from gan_cli.errors import ConfigError
from gan_cli.exits import DONE, INTERRUPTED, RunFailedError
from gan_cli.formatting import user_path
from gan_cli.runs import folder as runs
from gan_cli.runs.curves import trim
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.weights import located
from gan_cli.signals import StopRequest, say_at_once
from gan_cli.training.describe import comparable, show_session
from gan_cli.training.divergence import way_back
from gan_cli.training.follower import follow, shared_evaluator
from gan_cli.training.indicators import Indicators
from gan_cli.training.loop import Intervals, Loop, ModelEvaluator
from gan_cli.training.memory import ran_out, smaller_parts
from gan_cli.training.pictures import Draw
from gan_cli.training.record import StateSaver, close, lost, open_record, recorded
from gan_cli.training.resume import (
    EarlierRun,
    addressed,
    branch,
    find_earlier_run,
    read_earlier_run,
    repair_links,
    require_length,
    restore,
)
from gan_cli.training.setup import Session, assemble, load_weights
from gan_cli.training.trainer import changes

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gan_cli.training.evaluator import Evaluator

log = logging.getLogger(__name__)


def train(config: DictConfig, line: Command) -> int:
    """Train the composed `config`; the exit status.

    Raises:
        UserError: nothing was trained, and the message says why.
        RunFailedError: the run broke off.
    """
    return train_settings(settings_of(config, line), line)


def settings_of(config: DictConfig, line: Command) -> Settings:
    """The validated settings of a configuration that Hydra composed.

    Raises:
        ConfigError: lists every fault.
    """
    setup_logging(None, first_rank())
    settings = read(config, line)
    for warning in unused(config, line):
        log.warning(warning)
    return with_absolute_paths(settings)


def with_absolute_paths(settings: Settings) -> Settings:
    """The settings with absolute paths to what is read, so that the run resumes from anywhere.

    With `run.requeue`, also with the folder of the scheduler's job.

    Raises:
        CheckpointError: `weights.source` names no run or file.
        ConfigError: no scheduler runs this process.
    """
    root, source = settings.data.get("root"), settings.weights.source
    found: dict[str, object] = {}
    if isinstance(root, str):
        found["data"] = {**settings.data, "root": str(user_path(root).absolute())}
    if source is not None:
        found["weights"] = settings.weights.model_copy(update={"source": located(source)})
    if settings.run.requeue and settings.run.dir is None and settings.resume is None:
        choices = settings.choices
        model, data = choices.get("model", "model"), choices.get("data", "data")
        folder = runs.of_job(settings.run.root, model, data, os.environ)
        found["run"] = settings.run.model_copy(update={"dir": str(folder)})
    return settings.model_copy(update=found)


def train_settings(
    settings: Settings, line: Command, opened: Callable[[RunFolder], object] | None = None
) -> int:
    """As `train`; `opened` is given the run's folder before it trains."""
    with joined(settings.runtime.device) as ranks, ExitStack() as locks:
        settings, earlier = pick_up(settings, line, ranks, locks)
        session, evaluator = build_session(settings, line, ranks, earlier)
        if settings.dry_run:
            return show_session(session, evaluator)
        if earlier is None or earlier.file is not None:
            run = begin(session, evaluator, earlier, locks)
        else:
            run = earlier.run
        if opened is not None:
            opened(run)
        setup_logging(run.log if ranks.first else None, ranks.first)
        try:
            while True:
                try:
                    return resume_and_train(session, run, evaluator, earlier)
                except RunFailedError as failed:
                    again = smaller_parts if ran_out(failed) else way_back
                    settings, earlier = again(session, run, failed)
                del session, evaluator  # whose memory the next ones need
                session, evaluator = build_session(settings, line, ranks, earlier)
        finally:
            setup_logging(None)


def pick_up(
    settings: Settings, line: Command, ranks: Ranks, locks: ExitStack
) -> tuple[Settings, EarlierRun | None]:
    """The settings to train with, and the earlier run to resume, if any; its folder is locked.

    A run that others branch off is not locked.
    """
    found = None
    with ranks.sharing_errors():
        if ranks.first:
            run, file = find_earlier_run(settings, line)
            if run is not None:
                if file is None:
                    locks.enter_context(run.lock())
                found = read_earlier_run(run, settings, line, file)
    return ranks.share(found) or (settings, None)


def build_session(
    settings: Settings, line: Command, ranks: Ranks, earlier: EarlierRun | None
) -> tuple[Session, Evaluator | None]:
    """Everything that the settings describe; the evaluator on the first rank alone."""
    resumed = earlier.run.path if earlier is not None and settings.resume is not None else None
    trust = trusted(line, settings.run.root, resumed)
    evaluator = None
    with ranks.sharing_errors():
        session = assemble(settings, trust, ranks)
        session.command = line.text()
        if earlier is not None:
            require_length(session, earlier)
        if resumed is not None and ranks.first:
            session.silent = addressed(session, line)
        if earlier is None or earlier.state is None:
            load_weights(session)
        if ranks.first:
            evaluator = evaluator_of(session, trust, line.config_dirs)
    return session, evaluator


def evaluator_of(session: Session, trust: Trust, folders: Sequence[Path] = ()) -> Evaluator | None:
    """The evaluator of a session; None where its settings ask for no evaluation.

    Raises:
        ConfigError: `evaluation` names unknown metrics, or needs `evaluation.every`.
    """
    chosen = session.settings.evaluation
    if chosen.every is not None:
        from gan_cli.training.evaluator import Evaluator

        return Evaluator(session, trust, folders)
    for key in ("best", "patience"):
        if (value := getattr(chosen, key)) is not None:
            raise ConfigError(
                f"evaluation.{key} = {value}: needs evaluations; set evaluation.every to a number "
                "of steps"
            )
    return None


def begin(
    session: Session, evaluator: Evaluator | None, earlier: EarlierRun | None, locks: ExitStack
) -> RunFolder:
    """Make and lock the folder of a new run, or of one that branches off an earlier one.

    A run from step 0 is evaluated first: what cannot be evaluated leaves no folder.
    """
    ranks, run = session.ranks, None
    with ranks.sharing_errors():
        if ranks.first:
            if evaluator is not None and earlier is None:
                evaluator.prepare()
            run = folder_for(session)
            if earlier is not None:
                branch(earlier, run, to_yaml(session.settings))
            locks.enter_context(run.lock())
    run = ranks.share(run)
    assert run is not None, "made by the first rank"
    return run


def folder_for(session: Session) -> RunFolder:
    """A new run folder.

    Raises:
        UserError: it cannot be made.
    """
    settings = session.settings
    return runs.create(
        to_yaml(settings),
        model=settings.choices.get("model", "model"),
        data=session.dataset.spec.name,
        root=settings.run.root,
        folder=settings.run.dir,
        name=settings.run.name,
    )


def resume_and_train(
    session: Session, run: RunFolder, evaluator: Evaluator | None, earlier: EarlierRun | None
) -> int:
    """Restore the state of an earlier start, if any, and train; the exit status."""
    ranks, last_point = session.ranks, None
    if earlier is not None:
        last_point, complete = restore_run(session, run, evaluator, earlier)
        if complete:
            log.info(complete)
            return DONE
    ranks.require_equal([*session.model.state_dict().values()])
    model_evaluator = shared_evaluator(session, evaluator)
    if not ranks.first:
        return follow(session, plan_of(session), model_evaluator, last_point)
    ranks.on_loss(lambda reason: lost(run, session, reason))
    if last_point is not None:
        trim(run.metrics, last_point)
        record_forced(run, session, earlier)
        run.write_config(to_yaml(session.settings))
    stop = StopRequest(ranks.echo, say_at_once)
    with stop.installed():
        state = {} if earlier is None else earlier.state or {}
        return train_in_folder(
            session,
            run,
            evaluator,
            stop,
            None,
            model_evaluator,
            last_point,
            state.get("health"),
            evaluated=state.get("evaluation"),
        )


def record_forced(run: RunFolder, session: Session, earlier: EarlierRun | None) -> None:
    """Write to the run's status which of its settings were others before, if that is news."""
    forced = None if earlier is None else earlier.forced
    if forced is not None and forced != runs.forced_changes(run.read_status()):
        run.write_status(runs.RUNNING, session.trainer.step, forced=forced)


def restore_run(
    session: Session, run: RunFolder, evaluator: Evaluator | None, earlier: EarlierRun
) -> tuple[int, str]:
    """Restore an earlier run.

    Returns:
        The last point of its curves that stays, and the reason why nothing is left to do, if so.
    """
    ranks, done, complete = session.ranks, False, ""
    with ranks.sharing_errors():
        restore(session, earlier)
    with ranks.sharing_errors():
        if ranks.first:
            done, complete = remaining_work(session, run, earlier, evaluator)
            best = evaluator.best if evaluator is not None and not complete else None
            repair_links(run, session, earlier, best)
    done, complete = ranks.share((done, complete))
    if done and not complete:
        log.info(f"{run.path}: its steps are done but it was not closed; completing it")
    return earlier.last_point(done), complete


def remaining_work(
    session: Session, run: RunFolder, earlier: EarlierRun, evaluator: Evaluator | None
) -> tuple[bool, str]:
    """Whether all steps of an earlier run are done, and the reason why nothing else is left to do.

    A run that was killed after its last step may still have to be closed; then the reason is empty.
    """
    total, step = session.total, session.trainer.step
    status = run.read_status()
    finished = (status["status"], status["step"]) == (runs.FINISHED, step)
    done = step >= total
    if done and finished:
        more = max(2 * total, step + total)  # the state may be further than a changed end
        return True, f"{run.path} has done its {total:,} steps; steps={more} would resume it"
    if evaluator is not None:
        evaluator.prepare((earlier.state or {}).get("evaluation"))
        if reason := evaluator.exhausted():
            complete = f"{run.path} {reason}; evaluation.patience=null would resume it"
            return True, complete if finished else ""
    return done, ""


def train_in_folder(
    session: Session,
    run: RunFolder,
    evaluator: Evaluator | None,
    stop: StopRequest,
    progress: Callback | None,
    model_evaluator: ModelEvaluator | None,
    last_point: int | None = None,
    seen: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (),
    advance: Callable[[bool], None] | None = None,
    evaluated: object = None,
) -> int:
    """Train in the run's folder, and close it; the exit status.

    Args:
        session: at the step to start from.
        run: the folder, locked; the log goes there already.
        evaluator: evaluates the model.
        stop: the request to stop, of a signal.
        progress: of several runs together; None for the run's own.
        model_evaluator: `evaluator`, as the ranks share it.
        last_point: of the curves of an earlier start, which stays.
        seen: by the alarms of an earlier start.
        seeds: of the runs that are trained together with this one, its own among them.
        advance: makes a step; by default the trainer does.
        evaluated: the evaluator's state of an earlier start.
    """
    if evaluator is not None:
        evaluator.run = run
    open_record(run, session, seeds)
    context = context_of(session, run, last_point)
    callbacks = watchers(context, session.trust, progress, session.silent)
    health = Health(context, callbacks[1:], seen)
    save = StateSaver(run, session, evaluator, health, evaluated)
    loop = Loop(
        session.trainer,
        plan_of(session),
        [*callbacks, health],
        context.draw,
        save,
        model_evaluator,
        last_point,
        session.ranks,
        stop,
        advance,
        session.stream.waited,
    )
    with recorded(run, session, save):
        result = loop.run()
    close(run, session, result, evaluator)
    return INTERRUPTED if result.state == runs.INTERRUPTED else DONE


def plan_of(session: Session) -> Intervals:
    """The intervals that the settings describe."""
    settings = session.settings
    return Intervals(
        session.total,
        settings.log_every,
        settings.sample_every,
        settings.checkpoint.every,
        settings.batch_size,
        settings.max_time,
        settings.evaluation.every,
        None if settings.checkpoint.minutes is None else 60 * settings.checkpoint.minutes,
    )


def context_of(session: Session, run: RunFolder, last_point: int | None = None) -> RunContext:
    """What a session's callbacks may know."""
    settings, trainer, data = session.settings, session.trainer, session.dataset
    return RunContext(
        run,
        settings,
        to_yaml(settings),
        session.total,
        Draw(trainer, data, settings.seed),
        trainer.sampling,
        describe(session.device),
        comparable(session),
        last_point,
        session.command,
        lambda: f"{runs.plain(data.spec.name)}-{data.fingerprint[:4]}",
        frozenset(f"learning_rate/{name}" for name, p in session.players.items() if p.constant),
        Indicators(trainer, session.dataset, settings.seed, settings.penalty.get("limit")),
        lambda: trainer.window.means(),
        changes(session.model.phases(), session.total),
    )


def watchers(
    context: RunContext, trust: Trust, progress: Callback | None, silent: Sequence[str] = ()
) -> list[Callback]:
    """The callbacks, in the order in which they are called; `Health` comes after them.

    These two are not a choice: reports and resuming need the curves, which also hold the point at
    which a run diverges; and a diverged run is stopped, after the others have seen that point.

    Args:
        context: what they may know.
        trust: whose classes may be built.
        progress: shows the progress of several runs, instead of this one's own.
        silent: those that are left out, by name.
    """
    chosen = build_callbacks(context, trust, silent)
    if progress is not None:
        chosen = [progress if isinstance(one, Progress) else one for one in chosen]
    return [MetricsFile(context), *chosen]
