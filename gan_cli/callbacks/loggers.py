"""Loggers: callbacks that send a run to a program which shows it, and the table metrics.csv.

TensorBoard's has a file of its own, `tensorboard.py`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
import time
from abc import abstractmethod
from collections.abc import Mapping
from html import escape
from typing import Any, Literal

from numpy import ndarray
from torch import Tensor

from gan_cli import files
from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.formatting import SENSIBLE, shell_command
from gan_cli.runs.curves import by_step

log = logging.getLogger(__name__)
METRICS, MAIN = "metrics/", "main_metric/"
FOLDER = "gan_train.folder"  # MLflow's tag by which a resumed run is found
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}  # MLflow's


class Logger(Callback):
    """A run as scalars, pictures and texts by name: a subclass says where each of them goes.

    Of an evaluation, the metric to compare runs by is a curve "main_metric/<name>" too.

    Args:
        run: which is sent.
    """

    def __init__(self, run: RunContext) -> None:
        self.run = run

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        self.scalars(step, scalars)

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        for name, shown in pictures.items():
            if isinstance(shown, str):
                self.text(step, name, shown)
            else:
                self.picture(step, name, shown)

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        main = main_metric(values, self.run.settings.evaluation.best)
        first = {} if main is None else {f"{MAIN}{main}": values[f"{METRICS}{main}"]}
        self.scalars(step, {**first, **values})
        for name, image in pictures.items():
            self.picture(step, name, image)

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Send a point of each curve."""

    @abstractmethod
    def picture(self, step: int, name: str, pixels: ndarray) -> None:
        """Send a picture uint8 [height, width, 1 or 3]."""

    @abstractmethod
    def text(self, step: int, name: str, words: str) -> None:
        """Send text of several lines."""


def main_metric(values: Mapping[str, float], best: str | None) -> str | None:
    """The metric to compare runs by; None where there is none.

    Args:
        values: by the names of their curves.
        best: evaluation.best, if it is set.
    """
    names = SENSIBLE if best is None else (best,)
    return next((name for name in names if f"{METRICS}{name}" in values), None)


class CSVFile(Callback):
    """Writes metrics.jsonl as metrics.csv at each checkpoint and at the end.

    So the table has the points of a resumed run once, and a column for a metric that is first
    computed in the middle. What a step lacks is empty.

    Raises:
        UserError: (from any hook) the file cannot be written.
    """

    def __init__(self, run: RunContext) -> None:
        self.curves, self.path = run.folder.metrics, run.folder.path / "metrics.csv"

    def saved(self, step: int) -> None:
        self._write()

    def end(self, step: int, status: str) -> None:
        self._write()

    def _write(self) -> None:
        rows = by_step(self.curves)
        names = dict.fromkeys(name for row in rows.values() for name in row)
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(names))
        writer.writeheader()
        writer.writerows(rows[step] for step in sorted(rows))
        files.write(self.path, table.getvalue())


class MLflow(Logger):
    """Sends a run to MLflow; a resumed one continues its MLflow run.

    Args:
        run: which is sent.
        experiment: the experiment's name, made where it is missing.
        uri: of the tracking server or database; null: MLflow's own choice, which is the variable
            MLFLOW_TRACKING_URI, else a file mlflow.db in the working directory.

    Raises:
        Exception: (from any hook) of MLflow, such as a server that does not answer. `Callbacks`
            warns of it, and training continues.
    """

    package, address = "mlflow", "uri"

    def __init__(
        self, run: RunContext, experiment: str = "gan-train", uri: str | None = None
    ) -> None:
        super().__init__(run)
        self.experiment, self.uri = experiment, uri
        self._client: Any = None
        self._id = ""

    def start(self, step: int) -> None:
        """Begin the MLflow run, or continue it."""
        from mlflow.entities import Param  # pyright: ignore[reportMissingImports]
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

        run, folder = self.run, str(self.run.folder.path.absolute())
        self._client = client = MlflowClient(self.uri)
        found = client.get_experiment_by_name(self.experiment)
        place = client.create_experiment(self.experiment) if found is None else found.experiment_id
        earlier = client.search_runs([place], f"tags.`{FOLDER}` = '{folder}'") if step else []
        if earlier:
            self._id = earlier[0].info.run_id
            client.update_run(self._id, "RUNNING")
        else:
            tags = {FOLDER: folder, "gan_train.command": run.command}
            name = f"{run.folder.path.parent.name}/{run.folder.path.name}"
            self._id = client.create_run(place, tags=tags, run_name=name).info.run_id
            params = [Param(name, str(value)) for name, value in run.hparams.items()]
            client.log_batch(self._id, params=params)
        client.log_text(self._id, f"# {run.command}\n{run.config}", "config.yaml")
        log.info(f"mlflow: experiment {self.experiment}, run {self._id}")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now = round(time.time() * 1000)
        points = [Metric(n, v, now, step) for n, v in values.items() if math.isfinite(v)]
        self._client.log_batch(self._id, metrics=points)

    def picture(self, step: int, name: str, pixels: ndarray) -> None:
        self._client.log_image(self._id, pixels, key=name.replace("/", "_"), step=step)

    def text(self, step: int, name: str, words: str) -> None:
        self._client.log_text(self._id, words, f"{name}-{step:08d}.txt")

    def end(self, step: int, status: str) -> None:
        if self._id:
            self._client.set_terminated(self._id, STATUS[status])
            self._id = ""


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

    package, address = "wandb", "entity"

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
