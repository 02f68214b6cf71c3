"""The record of a run in its folder: its status, checkpoints and end, and the user's next steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.callbacks.health import DivergenceError, Health
from gan_cli.config.instantiate import foreign_modules
from gan_cli.config.settings import to_yaml
from gan_cli.console import FILE_ONLY
from gan_cli.device import describe
from gan_cli.exits import RunFailedError, one_line
from gan_cli.formatting import assignment, shell_command
from gan_cli.runs import checkpoint, folder
from gan_cli.runs.checkpoint import compact
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import describe_data
from gan_cli.training.describe import begin_text, disk
from gan_cli.training.loop import LoopResult
from gan_cli.training.setup import Session

if TYPE_CHECKING:
    from gan_cli.training.evaluator import Evaluator

log = logging.getLogger(__name__)


def open_record(run: RunFolder, session: Session, seeds: Sequence[int]) -> None:
    """Write that the run trains now, and log what it trains.

    Args:
        run: its folder, which the log goes to already.
        session: at the step to start from.
        seeds: of the runs that are trained together with this one, its own among them.
    """
    trainer, ranks = session.trainer, session.ranks
    earlier = run.read_status().get("together")
    run.write_status(
        folder.RUNNING,
        trainer.step,
        steps=session.total,
        together=list(seeds),
        saved=trainer.step or None,
    )
    if earlier and not seeds and trainer.step:
        log.warning(
            f"{run.path}: {len(earlier)} seeds were trained together up to step {trainer.step:,}; "
            "this one now trains alone, so the rest is equal up to rounding, not bit for bit "
            "(runtime.together=false trains each seed alone from the start)"
        )
    for warning in session.warnings:
        log.warning(warning, extra=FILE_ONLY)  # the screen has it already
    where = f"{describe(session.device)}, {session.precision}"
    where += f", {ranks.count} ranks" * (ranks.count > 1)
    model = session.settings.choices.get("model", "model")
    log.info(f"{model}: {begin_text(session)}, on {where}")
    room, parts = disk(session)
    log.info(f"in {run.path} (about {room})")
    log.info(parts, extra=FILE_ONLY)
    log.info(f"command: {session.command}", extra=FILE_ONLY)
    runtime = session.runtime  # in detail also by dry_run=true
    log.info(f"runtime: {'; '.join([runtime.summary(), *runtime.reasons])}", extra=FILE_ONLY)


class StateSaver:
    """Writes checkpoints of a run, and its best evaluation into its status.

    Args:
        run: the folder.
        session: what is saved.
        evaluator: whose state is a part of it.
        health: likewise.
        evaluated: that state of an earlier start, which is kept where there is no evaluator now.
    """

    def __init__(
        self,
        run: RunFolder,
        session: Session,
        evaluator: Evaluator | None,
        health: Health,
        evaluated: object = None,
    ) -> None:
        self.run, self.session, self.evaluator, self.health = run, session, evaluator, health
        self._evaluated = evaluated
        self._config = to_yaml(session.settings)

    def __call__(self, keep: bool) -> None:
        """Save the state as it is now; `keep` it beside the last one.

        Raises:
            DivergenceError: it holds NaN or infinite values.
        """
        session, trainer = self.session, self.session.trainer
        if part := trainer.not_finite():
            raise DivergenceError(
                f"step {trainer.step}: {part}: NaN or infinite, so the state is not saved; the run "
                "has diverged. Try a lower optimizer.lr, or optimizer.clip_norm=1"
            )
        state = compact(trainer.state_dict()) | {
            "config": self._config,
            "data": describe_data(session.dataset.spec, session.dataset.fingerprint),
            "health": self.health.state_dict(),
        }
        status: dict[str, Any] = {"steps": session.total, "saved": trainer.step}
        is_best = False
        if self.evaluator is None and self._evaluated is not None:
            state["evaluation"] = self._evaluated
        if self.evaluator is not None:
            state["evaluation"] = self.evaluator.state_dict()
            best = self.evaluator.best
            if best is not None and best.value is not None:
                is_best = best.step == trainer.step
                status = {"best": best.told(), **status}
        chosen = session.settings.checkpoint
        checkpoint.save(self.run.checkpoints, state, trainer.step, keep, chosen.keep, best=is_best)
        self.run.write_status(folder.RUNNING, trainer.step, **status)


@contextmanager
def recorded(run: RunFolder, session: Session, save: Callable[[bool], None]) -> Iterator[None]:
    """Within it, an error that ends the run is written to its status and its log.

    Raises:
        RunFailedError: instead of any error.
    """
    trainer, steps = session.trainer, session.total
    try:
        yield
    except KeyboardInterrupt:
        log.warning(abandoned(run, trainer.step))
        run.write_status(folder.INTERRUPTED, trainer.step, steps=steps)
        raise
    except Exception as error:
        reason = one_line(error)
        # A diverged state is not worth saving.
        saved = "" if isinstance(error, DivergenceError) else rescue(trainer.whole, save, reason)
        log.error(f"{reason}{saved}", exc_info=error)
        try:
            run.write_status(folder.FAILED, trainer.step, steps=steps, error=reason)
        except Exception as second:
            if one_line(second) != reason:
                log.error(one_line(second))
        raise RunFailedError(reason) from error


def abandoned(run: RunFolder, step: int) -> str:
    """The message of a run that ends at once: the steps lost, and how to resume."""
    saved, resume = (
        run.read_status().get("saved"),
        shell_command("gan-train", assignment("resume", run.path)),
    )
    if saved is None:
        return (
            f"ended without saving: {step:,} steps are lost, as no state was saved before; "
            f"{resume} starts from step 0"
        )
    lost = f"{step - saved:,} steps are lost" if step > saved else "no step is lost"
    return f"ended without saving: {lost}; {resume} continues from step {saved:,}"


def lost(run: RunFolder, session: Session, reason: str) -> None:
    """Record that the run ends because another rank is gone, when the loop cannot."""
    log.error(reason)
    run.write_status(folder.FAILED, session.trainer.step, steps=session.total, error=reason)


def rescue(whole: bool, save: Callable[[bool], None], reason: str) -> str:
    """Save the state after a failure between two steps; returns the outcome in words."""
    if not whole:
        return "; it stopped within a step, so the last checkpoint is its newest state"
    try:
        save(False)
    except Exception as error:
        again = one_line(error)
        return f"; the state could not be saved{'' if again == reason else f': {again}'}"
    return "; the state is saved"


def close(
    run: RunFolder, session: Session, result: LoopResult, evaluator: Evaluator | None = None
) -> None:
    """Write how the run ended, and log the commands for what the user may do next."""
    best = evaluator.best if evaluator is not None else None
    run.write_status(result.state, result.step, steps=session.total)
    log.info(f"{result.state} at step {result.step:,} of {session.total:,}: {result.reason}")
    if best is not None:
        log.info(f"  {'best':9} {best}")
    for name, command in hints(run, session, evaluator).items():
        log.info(f"  {name:9} {command}")


def hints(run: RunFolder, session: Session, evaluator: Evaluator | None = None) -> dict[str, str]:
    """Commands for the next steps, ready to be typed."""
    settings = session.settings
    best = evaluator.best if evaluator is not None else None
    folders = evaluator.folders if evaluator is not None else []
    own = [word for folder in folders for word in ("--config-dir", str(folder))]
    path, root = run.path, Path(settings.run.root)
    below = path.absolute().is_relative_to(root.absolute())
    trust = trust_options(settings.nodes)
    extractor = {"_target_": settings.evaluation.extractor}
    named = {"callbacks": settings.callbacks, "extractor": extractor}
    all_trust = trust_options({**settings.nodes, **named})
    chosen = ["--checkpoint", "best"] if best is not None and best.value is not None else []
    commands = {
        "run": str(path),
        "board": shell_command("gan-board", root if below else path),
        "sample": shell_command("gan-sample", path, *chosen, *trust),
        "evaluate": shell_command("gan-eval", path, *trust, *own),
    }
    resume = assignment("resume", path)
    patience = settings.evaluation.patience
    if session.trainer.step < session.total:
        given_up = best is not None and patience is not None and best.misses >= patience
        more = ["evaluation.patience=null"] if given_up else []
        commands["resume"] = shell_command("gan-train", resume, *more, *all_trust, *own)
    elif not any(player.to_the_end for player in session.players.values()):
        more = [f"steps={2 * session.total}"]
        commands["resume"] = shell_command("gan-train", resume, *more, *all_trust, *own)
    return commands


def trust_options(nodes: Mapping[str, Any]) -> list[str]:
    """The options --trust that `nodes` take."""
    return [word for module in foreign_modules(nodes) for word in ("--trust", module)]
