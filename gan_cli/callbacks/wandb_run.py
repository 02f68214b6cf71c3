"""Weights & Biases: a run of a project, online or as files that are sent later."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from html import escape
from typing import Any, Literal

from numpy import ndarray

from gan_cli.callbacks.callback import RunContext
from gan_cli.callbacks.logger import MAIN, Logger
from gan_cli.formatting import shell_command

log = logging.getLogger(__name__)


class WandB(Logger):
    """Sends a run to Weights & Biases; a resumed one continues its run there.

    Args:
        run: which is sent.
        project: where to; made where it is missing.
        entity: user or team; null: that of the login.
        mode: online needs `wandb login` once; offline writes files into the run folder, which
            `wandb sync` sends.

    Raises:
        Exception: (from any hook) of wandb, such as a missing login. `Callbacks` warns of it, and
            training continues.
    """

    package = "wandb"

    def __init__(
        self,
        run: RunContext,
        project: str = "gan-train",
        entity: str | None = None,
        mode: Literal["online", "offline"] = "online",
    ) -> None:
        super().__init__(run)
        self.project, self.entity = project, entity
        self.mode: Literal["online", "offline"] = mode
        self._run: Any = None

    def start(self, step: int) -> None:
        """Begin the run there, or continue it."""
        import wandb  # pyright: ignore[reportMissingImports]

        run, folder = self.run, self.run.folder.path.absolute()
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=folder,
            name=f"{folder.parent.name}/{folder.name}",
            id=hashlib.sha256(str(folder).encode()).hexdigest()[:16],
            resume="allow",
            reinit="create_new",  # several runs in one process
            config={**run.hparams, "command": run.command, "config": run.config},
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )
        # wandb's own count forbids to write the steps after a checkpoint again.
        self._run.define_metric("*", step_metric="step")
        self._run.define_metric(f"{MAIN}*", step_metric="step", summary="last")
        if self.mode == "online":
            log.info(f"wandb: {self._run.url}")
        else:
            log.info(shell_command("wandb", "sync", self._run.settings.sync_dir))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def picture(self, step: int, name: str, pixels: ndarray) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        image = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        self._run.log({"step": step, name: wandb.Image(image)})

    def text(self, step: int, name: str, words: str) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self._run.log({"step": step, name: wandb.Html(f"<pre>{escape(words)}</pre>")})

    def end(self, step: int, status: str) -> None:
        if self._run is not None:
            self._run.finish(exit_code=1 if status == "failed" else 0)
            self._run = None
