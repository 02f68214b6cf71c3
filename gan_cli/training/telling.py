"""What a run says of itself: in its first line, in the table of runs, in a dry run."""

from __future__ import annotations

from typing import Any

from gan_cli.config.schema import Settings
from gan_cli.console import clean_console
from gan_cli.exits import DONE
from gan_cli.training.evaluating import Watch
from gan_cli.training.session import Session

PIPED_WIDTH = 110  # columns of tables that go into a file or a pipe


def comparable(session: Session) -> dict[str, bool | str | int | float]:
    """The settings by which runs are told apart in TensorBoard's table."""
    settings = session.settings
    table: dict[str, bool | str | int | float] = dict(settings.choices)
    table |= {"seed": settings.seed, "batch_size": settings.batch_size}
    table |= {"ema.decay": settings.ema.decay, "precision": session.precision}
    if session.model.prior is not None:
        table["prior.dim"] = session.model.prior.dim
    table |= {f"lr.{name}": player.rate for name, player in session.players.items()}
    return table | swept(settings)


def swept(settings: Settings) -> dict[str, bool | str | int | float]:
    """The settings that vary in the sweep that the run is one of."""
    values: dict[str, bool | str | int | float] = {}
    for key in settings.sweep.keys:
        value: Any = settings.model_dump()
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict):  # groups are among the choices
            values[key] = value if isinstance(value, int | float) else str(value)
    return values


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
    if watch is not None:
        watch.check()
    from gan_cli.training import summary

    screen = clean_console(PIPED_WIDTH, quiet=not session.ranks.first)
    batch = session.stream.batch(0)
    summary.show(screen, session.model, session.players, session.dataset, batch)
    screen.print(f"runtime: {session.runtime.summary()}", highlight=False)
    for reason in session.runtime.reasons:
        screen.print(f"  {reason}", highlight=False)
    return DONE
