"""MLflow: a run of an experiment, with parameters, curves, pictures and the configuration."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from numpy import ndarray

from gan_cli.callbacks.callback import RunContext
from gan_cli.callbacks.logger import Logger

log = logging.getLogger(__name__)
FOLDER = "gan_train.folder"  # the tag by which a resumed run is found
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


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

    package = "mlflow"

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
