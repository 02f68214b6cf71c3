"""One run: begin it or go on with it, train, close it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.callbacks.callback import Callback
from gan_cli.callbacks.health import DivergenceError, Health
from gan_cli.callbacks.metrics import MetricsFile
from gan_cli.callbacks.progress import Progress
from gan_cli.callbacks.samples import Film, Samples
from gan_cli.callbacks.tensorboard import TensorBoard
from gan_cli.config.command_line import Command
from gan_cli.config.schema import Settings
from gan_cli.config.settings import read, to_yaml, trusted, unused
from gan_cli.console import FILE_ONLY, setup_logging
from gan_cli.device import describe
from gan_cli.distributed.join import first_rank, joined
from gan_cli.exits import DONE, INTERRUPTED
from gan_cli.runs import checkpoint
from gan_cli.runs import folder as runs
from gan_cli.runs.checkpoint import compact
from gan_cli.runs.curves import trim
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import describe_data
from gan_cli.signals import StopRequest, say_at_once
from gan_cli.training.describe import begin_text, comparable, show_session
from gan_cli.training.ending import close, lost, recorded
from gan_cli.training.evaluator import Evaluator, evaluator_of
from gan_cli.training.follower import follow, shared_evaluator
from gan_cli.training.loop import Course, Intervals, Loop, ModelEvaluator, drive
from gan_cli.training.pictures import Draw
from gan_cli.training.resume import Past, branch, earlier_run, mend_links, pick_up, restore
from gan_cli.training.setup import Session, assemble

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)
FILMED = {"auto": "points|theory-.*", True: "points|theory-.*|fixed|classes"}


def train(config: DictConfig, line: Command) -> int:
    """Train the composed `config`; the exit status.

    Raises:
        UserError: nothing was trained, and the message says why.
        RunFailedError: the run broke off.
    """
    return train_settings(settings_of(config, line), line)


def settings_of(config: DictConfig, line: Command) -> Settings:
    """The validated settings of what Hydra composed.

    Raises:
        ConfigError: lists every fault.
    """
    setup_logging(None, first_rank())
    settings = read(config, line)
    for warning in unused(config, line):
        log.warning(warning)
    return at_home(settings)


def train_settings(settings: Settings, line: Command) -> int:
    """As `train`."""
    with joined(settings.runtime.device) as ranks, ExitStack() as held:
        run, file = ranks.share(lambda: earlier_run(settings, line))
        past, foreign = None, None
        if run is not None:
            folder, wanted = run, settings
            if file is None:
                ranks.lead(lambda: held.enter_context(folder.lock()))
            settings, past = ranks.share(lambda: pick_up(folder, wanted, line, file))
            foreign = run.path if settings.resume is not None else None
            run = run if file is None else None
        trust = trusted(line, settings.run.root, foreign)
        session = ranks.each(lambda: assemble(settings, trust, ranks))
        evaluator = ranks.lead(lambda: evaluator_of(session, trust))
        if settings.dry_run:
            return show_session(session, evaluator)
        if run is None:
            run = ranks.share(lambda: begin(session, evaluator, past))
            fresh = run
            ranks.lead(lambda: held.enter_context(fresh.lock()))
        return course(session, run, past, evaluator)


def begin(session: Session, evaluator: Evaluator | None, past: Past | None = None) -> RunFolder:
    """Make the folder of a new run, which is not evaluated in vain, or branches off an earlier."""
    if evaluator is not None and past is None:
        evaluator.prepare()
    run = folder_for(session)
    if past is not None:
        branch(past, run, to_yaml(session.settings))
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


def at_home(settings: Settings) -> Settings:
    """The settings with an absolute `data.root`, so that the run goes on from any directory."""
    root = settings.data.get("root")
    if not isinstance(root, str):
        return settings
    data = {**settings.data, "root": str(Path(root).expanduser().absolute())}
    return settings.model_copy(update={"data": data})


def course(session: Session, run: RunFolder, past: Past | None, evaluator: Evaluator | None) -> int:
    """Train in the run's folder, which is locked; the exit status."""
    ranks, last_point = session.ranks, None
    setup_logging(run.log if ranks.first else None, ranks.first)
    try:
        if past is not None:
            ranks.each(lambda: restore(session, past))
            over, complete = ranks.share(lambda: standing(session, run, past, evaluator))
            if complete:
                ranks.lead(lambda: mend_links(run, session, past, None))
                log.info(complete)
                return DONE
            if over:
                log.info(f"{run.path}: its steps are done but it was not closed; completing it")
            last_point = past.last_point(over)
            ranks.lead(
                lambda: mend_links(run, session, past, evaluator.best if evaluator else None)
            )
        ranks.require_equal([*session.model.state_dict().values()])
        model_evaluator = shared_evaluator(session, evaluator)
        if not ranks.first:
            return follow(session, plan_of(session), model_evaluator, last_point)
        ranks.on_loss(lambda why: lost(run, session, why))
        if past is not None and last_point is not None:
            trim(run.metrics, last_point)
            run.write_config(to_yaml(session.settings))
        stop = StopRequest(ranks.echo, say_at_once)
        begun = pieces(
            session, run, evaluator, stop, progress_of(session), model_evaluator, last_point
        )
        with stop.installed():
            return drive(begun, session.trainer.advance)
    finally:
        setup_logging(None)


def pieces(
    session: Session,
    run: RunFolder,
    evaluator: Evaluator | None,
    stop: StopRequest,
    progress: Callback,
    model_evaluator: ModelEvaluator | None,
    last_point: int | None = None,
    together: Sequence[int] = (),
) -> Course[int]:
    """A run in its folder, in pieces: it yields wherever the trainer is to advance.

    Args:
        session: what is trained, at the step to go on from.
        run: its folder, locked; the log goes there already.
        evaluator: what evaluates it.
        stop: tells when a signal asks to stop.
        progress: shows how far it is.
        model_evaluator: `evaluator`, as the ranks share it.
        last_point: of the curves, of an earlier start.
        together: the seeds of the runs that are stepped as one with this, its own among them.
    """
    settings, trainer, ranks = session.settings, session.trainer, session.ranks
    text = to_yaml(settings)
    if evaluator is not None:
        evaluator.run = run
    earlier = run.read_status().get("together")
    now = {"steps": session.total, "together": list(together), "saved": trainer.step or None}
    run.write_status(runs.RUNNING, trainer.step, **now)
    if earlier and not together and trainer.step:
        log.warning(
            f"{run.path}: {len(earlier)} seeds were trained together up to step {trainer.step:,}; "
            "alone this one is rounded otherwise, so the rest is not bit for bit what it would "
            "have been (runtime.together=false trains each seed alone from the start)"
        )
    for warning in session.warnings:
        log.warning(warning, extra=FILE_ONLY)  # the screen has it already
    where = session.runtime.summary() + (f", {ranks.count} ranks" if ranks.count > 1 else "")
    log.info(f"{run.path}: {begin_text(session)} on {where}")
    if session.runtime.reasons:
        log.info(f"runtime: {'; '.join(session.runtime.reasons)}")

    def save(keep: bool) -> None:
        if part := trainer.not_finite():
            raise DivergenceError(
                f"step {trainer.step}: {part}: NaN or infinite, so the state is not saved; the run "
                "has diverged. Try a lower optimizer.lr, or optimizer.clip_norm=1"
            )
        data = describe_data(session.dataset.spec, session.dataset.fingerprint)
        state = compact(trainer.state_dict()) | {"config": text, "data": data}
        best = None
        if evaluator is not None:
            state["evaluation"] = evaluator.state_dict()
            best = evaluator.best
        checkpoint.save(
            run.checkpoints,
            state,
            trainer.step,
            keep,
            settings.checkpoint.keep,
            best=best is not None and best.value is not None and best.step == trainer.step,
        )
        told: dict[str, Any] = {}
        if best is not None and best.value is not None:
            told["best"] = best.told()
        told |= {"steps": session.total, "saved": trainer.step}
        run.write_status(runs.RUNNING, trainer.step, **told)

    draw = Draw(trainer, session.dataset, settings.seed)
    callbacks = watchers(session, run, text, progress, last_point, draw)
    plan = plan_of(session)
    loop = Loop(trainer, plan, callbacks, draw, save, model_evaluator, last_point, ranks, stop)
    with recorded(run, session, save):
        outcome = yield from loop.course()
    close(run, session, outcome, evaluator.best if evaluator else None)
    return INTERRUPTED if outcome.state == runs.INTERRUPTED else DONE


def standing(
    session: Session, run: RunFolder, past: Past, evaluator: Evaluator | None
) -> tuple[bool, str]:
    """Whether a run that is gone on with has no step left; and why nothing else is missing.

    A run that was killed between its last step and its end has something to do yet.
    """
    total, step = session.total, session.trainer.step
    status = run.read_status()
    finished = (status["status"], status["step"]) == (runs.FINISHED, step)
    done = step >= total
    if done and finished:
        return True, f"{run.path} has done its {total:,} steps; steps={2 * total} would resume it"
    if evaluator is not None:
        evaluator.prepare((past.state or {}).get("evaluation"))
        if reason := evaluator.exhausted():
            complete = f"{run.path} {reason}; evaluation.patience=null would resume it"
            return True, complete if finished else ""
    return done, ""


def plan_of(session: Session) -> Intervals:
    """The course that the settings describe."""
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


def progress_of(session: Session) -> Progress:
    """Shows how far a session is."""
    where = describe(session.device)
    return Progress(session.total, session.settings.max_time, where)


def watchers(
    session: Session,
    run: RunFolder,
    text: str,
    progress: Callback,
    last_point: int | None,
    draw: Draw,
) -> list[Callback]:
    """The callbacks, in the order in which they are told."""
    return [
        MetricsFile(run.metrics),
        *([Film(run.samples, FILMED[session.settings.film])] if session.settings.film else []),
        Samples(run.samples, draw),
        TensorBoard(run.path, text, comparable(session), last_point=last_point),
        progress,
        Health(run.checkpoints),
    ]
