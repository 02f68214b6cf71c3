"""How a run ends: its status, its log, and what the user can do next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gan_cli.callbacks.health import DivergenceError
from gan_cli.config.instantiate import foreign_modules
from gan_cli.evaluation.evaluate import Best
from gan_cli.exits import RunFailedError, one_line
from gan_cli.formatting import assignment, shell_command
from gan_cli.runs import folder
from gan_cli.runs.folder import RunFolder
from gan_cli.training.loop import LoopResult
from gan_cli.training.setup import Session

log = logging.getLogger(__name__)


@contextmanager
def recorded(run: RunFolder, session: Session, save: Callable[[bool], None]) -> Iterator[None]:
    """Within it, whatever ends the run is written to its status and its log.

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
        # What has diverged is not worth saving.
        saved = "" if isinstance(error, DivergenceError) else rescue(trainer.whole, save, reason)
        log.error(f"{reason}{saved}", exc_info=error)
        try:
            run.write_status(folder.FAILED, trainer.step, steps=steps, error=reason)
        except Exception as second:
            if one_line(second) != reason:
                log.error(one_line(second))
        raise RunFailedError(reason) from error


def abandoned(run: RunFolder, step: int) -> str:
    """What is lost of a run that ends at once, and where it can be resumed."""
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
    """Write that the run ends because another rank is gone, where the loop cannot any more."""
    log.error(reason)
    run.write_status(folder.FAILED, session.trainer.step, steps=session.total, error=reason)


def rescue(whole: bool, save: Callable[[bool], None], reason: str) -> str:
    """Save the state after a failure, where it is one between two steps; says how that went."""
    if not whole:
        return "; it broke off within a step, so the last checkpoint stands"
    try:
        save(False)
    except Exception as error:
        again = one_line(error)
        return f"; the state could not be saved{'' if again == reason else f': {again}'}"
    return "; the state is saved"


def close(run: RunFolder, session: Session, outcome: LoopResult, best: Best | None = None) -> None:
    """Write how the run ended, and tell the user what can be done with it."""
    run.write_status(outcome.state, outcome.step, steps=session.total)
    log.info(f"{outcome.state} at step {outcome.step:,} of {session.total:,}: {outcome.reason}")
    if best is not None:
        log.info(f"best: {best}")
    for name, command in hints(run, session, best).items():
        log.info(f"  {name:9} {command}")


def hints(run: RunFolder, session: Session, best: Best | None = None) -> dict[str, str]:
    """Commands that work as they stand."""
    settings = session.settings
    path, root = run.path, Path(settings.run.root)
    below = path.absolute().is_relative_to(root.absolute())
    trust = [word for module in foreign_modules(settings.nodes) for word in ("--trust", module)]
    chosen = ["--checkpoint", "best"] if best is not None and best.value is not None else []
    commands = {
        "run": str(path),
        "watch": shell_command("tensorboard", "--logdir", root if below else path),
        "sample": shell_command("gan-sample", path, *chosen, *trust),
        "evaluate": shell_command("gan-eval", path, *trust),
    }
    resume = assignment("resume", path)
    patience = settings.evaluation.patience
    if session.trainer.step < session.total:
        given_up = best is not None and patience is not None and best.misses >= patience
        more = ["evaluation.patience=null"] if given_up else []
        commands["resume"] = shell_command("gan-train", resume, *more, *trust)
    elif all(player.schedule == "constant" for player in session.players.values()):
        more = [f"steps={2 * session.total}"]
        commands["resume"] = shell_command("gan-train", resume, *more, *trust)
    return commands
