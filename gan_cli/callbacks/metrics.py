"""metrics.jsonl: the curves for scripts, one JSON object per point."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping

from numpy import ndarray
from torch import Tensor

from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.files import AppendedFile


class MetricsFile(Callback):
    """Appends `{"step": 50, "time": <seconds since 1970>, "loss/generator": 0.7, ...}`.

    JSON knows no NaN and no infinity; they are the strings "nan", "inf" and "-inf", which Python's
    `float` and JavaScript's `Number` (but for "inf") read back. What an evaluation found has lines
    of its own.

    Raises:
        UserError: (from any hook) the file cannot be written, or was deleted meanwhile.
    """

    fatal = (Exception,)  # the curves are what a run is compared by

    def __init__(self, run: RunContext) -> None:
        self.path = run.folder.metrics
        self._file: AppendedFile | None = None

    def start(self, step: int) -> None:
        self._file = AppendedFile(self.path)

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        self._write(step, scalars)

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        self._write(step, values)

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        assert self._file is not None, "start comes first"
        plain = {name: v if math.isfinite(v) else str(v) for name, v in values.items()}
        point = {"step": step, "time": round(time.time(), 3), **plain}
        self._file.append(json.dumps(point, allow_nan=False).encode() + b"\n")

    def end(self, step: int, status: str) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
