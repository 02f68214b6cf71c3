"""TensorBoard: curves, pictures, distributions, the configuration and the table of runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy import ndarray
from torch import Tensor

from gan_cli import event_file
from gan_cli.callbacks.callback import RunContext
from gan_cli.callbacks.loggers import MAIN, METRICS, Logger
from gan_cli.event_file import EventFile, histogram, picture, scalar
from gan_cli.files import cannot_write
from gan_cli.runs.folder import REAL

# TensorBoard sorts curves by name and opens the first two sections: the losses come first, then the
# metric to compare runs by. Of its table's metrics it shows the first five.
SECTIONS: Mapping[str, str] = {
    MAIN: "main/metric/",
    "loss/": "main/loss/",
    METRICS: METRICS,
    "output/": "output/",
    "probability/": "output/probability_",
    "accuracy/": "output/accuracy_",
    "penalty/": "penalty/",
    "health/": "model_health/",
    "gradient_norm/": "update/gradient_norm_",
    "weight_norm/": "update/weight_norm_",
    "learning_rate/": "update/learning_rate_",
    "speed/": "system/",
    "memory/": "system/memory_",
}
OTHER = "objective/"  # whatever else a loss reports
# An axis has labels of three digits, which are all alike where a curve moves by less than that.
COARSE = ("weight_norm/", "speed/", "memory/")
FIRST = {"data": "Data", "model": "Model", "seed": "Seed"}  # capitals are sorted first

DESCRIPTIONS: Mapping[str, str] = {
    "loss/": "What this phase minimises; mean since the last point.",
    "output/": "Mean output of the discriminator or critic, before any sigmoid.",
    "probability/": "Mean of sigmoid(output): how likely D holds these samples to be real.",
    "accuracy/": "Share of samples that D puts on the right side; 0.5 when it cannot tell.",
    "penalty/": "Mean of the term, its weight included.",
    "gradient_norm/": "Euclidean norm of the gradient of all weights, before clipping.",
    "weight_norm/": "Euclidean norm of all weights.",
    "learning_rate/": "Of this player's optimizer, after schedule and warm-up.",
    "information/": "Lower bound of the mutual information between codes and image, in nats"
    " (Chen et al. 2016, Eq. 5); ten categories hold at most ln 10 = 2.30.",
    "wasserstein_estimate": "Critic's mean on real minus mean on fake: the Wasserstein-1 distance"
    " up to a factor, the critic's Lipschitz constant (Arjovsky et al. 2017, Eq. 2).",
    "divergence/": "What D's output says of how far p and q are apart, beside the truth.",
    MAIN: "The metric by which runs are compared, and checkpoints/best.pt is chosen.",
    METRICS: "Of samples drawn with averaged weights; its protocol and baseline are in the"
    " run's evaluations/.",
    "speed/images_per_second": "Real images seen, counting those of every update.",
    "speed/seconds_per_step": "Of one generator step with all that belongs to it.",
    "memory/own_megabytes": "Of the process itself, resident; constant, however large the data.",
    "memory/files_megabytes": "Of files mapped by it, resident; given back when room is needed.",
}


class TensorBoard(Logger):
    """Writes one event file per start into the run folder.

    Real samples are written once for each data set, into a folder beside those of the runs.

    Args:
        run: its `hparams` are columns of a table, so a few. Where a setting does not apply, it is
            left out; what is not a number (truth values, null, lists) is shown as text. The curves
            after its `last_point` are drawn again.

    Raises:
        UserError: (from any hook) the file cannot be written, or was deleted meanwhile. `Callbacks`
            warns of it, and training continues.
    """

    def __init__(self, run: RunContext) -> None:
        super().__init__(run)
        self._file: EventFile | None = None
        self._seen: set[str] = set()

    def start(self, step: int) -> None:
        """Begin at 0, or continue after the last point that stays."""
        run = self.run
        last_point = step if run.last_point is None else run.last_point
        self._file = EventFile(run.folder.path, first_step=last_point + 1 if step else 0)
        # Again when resumed: safe settings may have changed, and older files may be gone.
        command = f"```\n{run.command}\n```\n\n" if run.command else ""
        config = event_file.text("config", f"{command}```yaml\n{run.config.strip()}\n```")
        hparams = {FIRST.get(name, name): value for name, value in run.hparams.items()}
        hparams |= {"Seed": str(hparams["Seed"])} if "Seed" in hparams else {}  # not 1.0000
        self._add(step, [config, event_file.session_start(hparams, time.time())])

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        """The point of the curves, and distributions of the outputs."""
        super().logged(step, scalars, outputs)
        shapes = []
        for tag, vector in outputs.items():
            # A tag is of one kind only, and the scalar of the means has the plain name.
            group, _, name = tag.rpartition("/")
            name = f"{group or 'output'}_histogram/{name}"
            shape = histogram(name, vector.detach().float().cpu().numpy())
            shapes += [shape] if shape is not None else []
        self._add(step, shapes)

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        shown = dict(pictures)
        real = shown.pop("real", None)
        super().drawn(step, shown)
        if isinstance(real, ndarray):
            self._show_real(real)

    def alarmed(self, step: int, name: str, words: str) -> None:
        self._add(step, [event_file.text(f"health/{name}", words)])

    def end(self, step: int, status: str) -> None:
        """Only a finished run's row is marked as final: marks stay, and others may be resumed."""
        if self._file is None:
            return
        try:
            if status == "finished":
                self._file.add(step, event_file.session_end(time.time()))
        finally:
            self._file.close()
            self._file = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One event with all points; a constant learning rate stands in the table of runs."""
        moving = {tag: v for tag, v in values.items() if tag not in self.run.constant}
        self._add(
            step,
            [
                scalar(curve_name(tag), _coarse(tag, v), self._first(tag))
                for tag, v in moving.items()
            ],
        )

    def picture(self, step: int, name: str, pixels: ndarray) -> None:
        self._add(step, [picture(picture_name(name), pixels)])

    def text(self, step: int, name: str, words: str) -> None:
        self._add(step, [event_file.text(picture_name(name), f"```\n{words}\n```")])

    def _show_real(self, pixels: ndarray) -> None:
        """Write real samples where no run has yet; a run elsewhere has its own."""
        shown = picture("training_data/real", pixels)
        root = Path(self.run.settings.run.root).absolute()
        if not self.run.folder.path.absolute().is_relative_to(root):
            self._add(0, [shown])
            return
        place = root / REAL / self.run.data()
        if place.exists():
            return
        partial = place.with_name(f".{place.name}-{os.getpid()}")
        try:
            partial.mkdir(parents=True)
            file = EventFile(partial, first_step=0)
            file.add(0, shown)
            file.close()
            partial.rename(place)
        except OSError as cause:
            shutil.rmtree(partial, ignore_errors=True)
            if not place.exists():  # else another run was faster
                raise cannot_write(place, cause) from cause

    def _add(self, step: int, values: Sequence[Any]) -> None:
        assert self._file is not None, "start comes first"
        if values:
            self._file.add(step, *values)

    def _first(self, tag: str) -> str:
        """The description of `tag` the first time, then nothing: TensorBoard keeps the first."""
        if tag in self._seen:
            return ""
        self._seen.add(tag)
        return next((text for start, text in DESCRIPTIONS.items() if tag.startswith(start)), "")


def curve_name(tag: str) -> str:
    """The name of a curve in TensorBoard, by which it is sorted."""
    for start, section in SECTIONS.items():
        if tag.startswith(start):
            return section + tag.removeprefix(start)
    return OTHER + tag.replace("/", "_")


def picture_name(name: str) -> str:
    """The name of a picture in TensorBoard: samples come first."""
    if name.startswith(METRICS):
        return f"samples_evaluated/{name.removeprefix(METRICS)}"
    return name if "/" in name else f"samples/{name}"


def _coarse(tag: str, value: float) -> float:
    return float(f"{value:.2g}") if tag.startswith(COARSE) else value
