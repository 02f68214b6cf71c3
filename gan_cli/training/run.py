"""One run: begin it or go on with it, train, close it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.callbacks.callback import Callback
from gan_cli.callbacks.health import DivergenceError, Health
from gan_cli.callbacks.metrics import Metrics
from gan_cli.callbacks.progress import Progress
from gan_cli.callbacks.samples import Samples
from gan_cli.callbacks.tensorboard import TensorBoard
from gan_cli.config.overrides import Command
from gan_cli.config.reading import read, to_yaml, trusted
from gan_cli.config.schema import Settings
from gan_cli.console import FILE_ONLY, setup_logging
from gan_cli.exits import DONE, INTERRUPTED
from gan_cli.runs import checkpoint, resume
from gan_cli.runs import folder as runs
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import describe_data
from gan_cli.training import runtime
from gan_cli.training.ending import close, recorded
from gan_cli.training.evaluating import Watch, watch_of
from gan_cli.training.loop import Loop, Plan
from gan_cli.training.past import Past, earlier_run, pick_up, restore
from gan_cli.training.pictures import Draw
from gan_cli.training.session import Session, assemble

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)
PIPED_WIDTH = 110  # columns of tables that go into a file or a pipe


def train(config: DictConfig, line: Command) -> int:
    """Train the composed `config`; the exit status.

    Raises:
        UserError: nothing was trained, and the message says why.
        RunFailedError: the run broke off.
    """
    setup_logging(None)
    settings = at_home(read(config, line))
    run = earlier_run(settings, line)
    if run is None:
        trust = trusted(line, settings.run.root)
        session = assemble(settings, trust)
        watch = watch_of(session, trust)
        if settings.dry_run:
            return show(session, watch)
        if watch is not None:
            watch.prepare()
        run = runs.create(
            to_yaml(settings),
            model=settings.choices.get("model", "model"),
            data=session.dataset.spec.name,
            root=settings.run.root,
            folder=settings.run.dir,
            name=settings.run.name,
        )
        with run.lock():
            return course(session, run, None, watch)
    with run.lock():
        foreign = run.path if settings.resume is not None else None
        trust = trusted(line, settings.run.root, foreign)
        settings, past = pick_up(run, settings, line)
        session = assemble(settings, trust)
        watch = watch_of(session, trust)
        if settings.dry_run:
            return show(session, watch)
        return course(session, run, past, watch)


def at_home(settings: Settings) -> Settings:
    """The settings with an absolute `data.root`, so that the run goes on from any directory."""
    root = settings.data.get("root")
    if not isinstance(root, str):
        return settings
    data = {**settings.data, "root": str(Path(root).expanduser().absolute())}
    return settings.model_copy(update={"data": data})


def course(session: Session, run: RunFolder, past: Past | None, watch: Watch | None) -> int:
    """Train in the run's folder, which is locked; the exit status."""
    settings, trainer = session.settings, session.trainer
    text = to_yaml(settings)
    setup_logging(run.log)
    try:
        if past is not None:
            restore(session, past)
            if trainer.step >= session.total:
                log.info(
                    f"{run.path} has done its {session.total:,} steps; "
                    f"steps={2 * session.total} would go on"
                )
                return DONE
            if watch is not None:
                watch.prepare((past.state or {}).get("evaluation"))
                if reason := watch.exhausted():
                    log.info(f"{run.path} {reason}; evaluation.patience=null would go on")
                    return DONE
            resume.trim(run.metrics, past.last_point)
            run.write_config(text)
        if watch is not None:
            watch.run = run
        run.write_status(runs.RUNNING, trainer.step, steps=session.total)
        for warning in session.warnings:
            log.warning(warning, extra=FILE_ONLY)  # the screen has it already
        log.info(f"{run.path}: {begin_text(session)} on {session.runtime.summary()}")
        if session.runtime.reasons:
            log.info(f"not the fastest: {'; '.join(session.runtime.reasons)}")

        def save(keep: bool) -> None:
            if not trainer.is_finite():
                raise DivergenceError(
                    f"step {trainer.step}: weights are NaN or infinite and are not saved; the run "
                    "has diverged. Try a lower optimizer.lr, or optimizer.clip_norm=1"
                )
            data = describe_data(session.dataset.spec, session.dataset.fingerprint)
            state = trainer.state_dict() | {"config": text, "data": data}
            best = None
            if watch is not None:
                state["evaluation"] = watch.state_dict()
                best = watch.best
            checkpoint.save(
                run.checkpoints,
                state,
                trainer.step,
                keep,
                settings.checkpoint.keep,
                best=best is not None and best.value is not None and best.step == trainer.step,
            )
            told = {} if best is None or best.value is None else {"best": best.told()}
            run.write_status(runs.RUNNING, trainer.step, steps=session.total, **told)

        plan = Plan(
            session.total,
            settings.log_every,
            settings.sample_every,
            settings.checkpoint.every,
            settings.batch_size,
            settings.max_time,
            settings.evaluation.every,
        )
        draw = Draw(trainer, session.dataset, settings.seed)
        callbacks = watchers(session, run, past, text)
        last_point = past.last_point if past else None
        loop = Loop(trainer, plan, callbacks, draw, save, watch, last_point)
        with recorded(run, session, save):
            outcome = loop.run()
        close(run, session, outcome, watch.best if watch else None)
        return INTERRUPTED if outcome.state == runs.INTERRUPTED else DONE
    finally:
        setup_logging(None)


def watchers(session: Session, run: RunFolder, past: Past | None, text: str) -> list[Callback]:
    """The callbacks, in the order in which they are told."""
    settings = session.settings
    return [
        Metrics(run.metrics),
        Samples(run.samples),
        TensorBoard(
            run.path, text, comparable(session), last_point=past.last_point if past else None
        ),
        Progress(session.total, settings.max_time, runtime.describe(session.device)),
        Health(run.checkpoints),
    ]


def comparable(session: Session) -> dict[str, bool | str | int | float]:
    """The settings by which runs are told apart in TensorBoard's table."""
    settings = session.settings
    table: dict[str, bool | str | int | float] = dict(settings.choices)
    table |= {"seed": settings.seed, "batch_size": settings.batch_size}
    table |= {"ema.decay": settings.ema.decay, "precision": session.precision}
    if session.model.prior is not None:
        table["prior.dim"] = session.model.prior.dim
    table |= {f"lr.{name}": player.rate for name, player in session.players.items()}
    return table


def begin_text(session: Session) -> str:
    """What is about to be trained, in a few words."""
    steps = f"{session.total:,} steps"
    if session.trainer.step:
        steps = f"step {session.trainer.step:,} to {session.total:,}"
    spec = session.dataset.spec
    shape = "x".join(map(str, spec.shape))
    return f"{steps} on {spec.size:,} samples of {spec.name} ({shape})"


def show(session: Session, watch: Watch | None) -> int:
    """What `dry_run=true` prints; 0."""
    from rich.console import Console

    if watch is not None:
        watch.check()
    from gan_cli.training import summary

    screen = Console()
    if not screen.is_terminal:
        screen.width = PIPED_WIDTH
    batch = session.stream.batch(0)
    summary.show(screen, session.model, session.players, session.dataset, batch)
    screen.print(f"runtime: {session.runtime.summary()}", highlight=False)
    for reason in session.runtime.reasons:
        screen.print(f"  not the fastest: {reason}", highlight=False)
    return DONE
