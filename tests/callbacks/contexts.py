"""What callbacks are given of a run, without a run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from gan_cli.callbacks.callback import RunContext
from gan_cli.config.schema import Settings
from gan_cli.model import Model
from gan_cli.runs.folder import RunFolder


def no_model() -> AbstractContextManager[Model]:
    raise AssertionError("there is no model")


def context(
    folder: Path = Path(), settings: dict[str, Any] | None = None, **more: Any
) -> RunContext:
    """The context of a run in `folder`; `settings` are those that the test needs, not validated."""
    given: dict[str, Any] = {"config": "seed: 0", "total": 100, "draw": lambda step: {}}
    chosen = Settings.model_construct(
        **{
            "max_time": None,
            "film": "auto",
            "penalty": {},
            "sample_every": 100,
            "log_every": 1,
            **(settings or {}),
        }
    )
    return RunContext(RunFolder(folder), chosen, sampling=no_model, **(given | more))
