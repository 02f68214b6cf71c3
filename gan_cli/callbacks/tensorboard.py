"""TensorBoard: curves, pictures, distributions, the configuration and the table of runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy import ndarray
from torch import Tensor

from gan_cli import event_file
from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.event_file import EventFile, histogram, picture, scalar

CHARTS: Mapping[str, Mapping[str, str]] = {
    "The game": {
        "losses": "loss/",
        "D's mean output": "output/",
        "D's mean probability of real": "probability/",
        "D's accuracy": "accuracy/",
        "Wasserstein estimate": "wasserstein_estimate",
        "mutual information, nats": "information/",
        "divergence: estimate and truth": "divergence/",
        "penalties": "penalty/",
    },
    "Updates": {
        "gradient norms": "gradient_norm/",
        "weight norms": "weight_norm/",
        "learning rates": "learning_rate/",
    },
    "Speed": {
        "images per second": "speed/images_per_second",
        "seconds per step": "speed/seconds_per_step",
        "memory": "memory/",
    },
}

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
    "metrics/": "Of samples drawn with averaged weights; its protocol and baseline are in the"
    " run's evaluations/.",
    "speed/images_per_second": "Real images seen, counting those of every update.",
    "speed/seconds_per_step": "Of one generator step with all that belongs to it.",
    "memory/own_megabytes": "Of the process itself, resident; constant, however large the data.",
    "memory/files_megabytes": "Of files mapped by it, resident; given back when room is needed.",
}


class TensorBoard(Callback):
    """Writes one event file per start into the run folder.

    Args:
        run: its `hparams` are columns of a table, so a few. Where a setting does not apply, it is
            left out; what is not a number (truth values, null, lists) is shown as text. The curves
            after its `last_point` are drawn again.

    Raises:
        UserError: (from any hook) the file cannot be written, or was deleted meanwhile. `Callbacks`
            warns of it, and training continues.
    """

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self._file: EventFile | None = None
        self._seen: set[str] = set()
        self._laid_out = False

    def start(self, step: int) -> None:
        """Begin at 0, or continue after the last point that stays."""
        run = self.run
        last_point = step if run.last_point is None else run.last_point
        self._file = EventFile(run.folder.path, first_step=last_point + 1 if step else 0)
        # Again when resumed: safe settings may have changed, and older files may be gone.
        config = event_file.text("config", f"```yaml\n{run.config.strip()}\n```")
        self._add(step, [config, event_file.session_start(run.hparams, time.time())])

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        """One event with everything of this point."""
        if not self._laid_out:
            self._laid_out = True
            self._add(0, [event_file.layout(_charts(scalars))])
        values = [scalar(tag, v, self._first(tag)) for tag, v in scalars.items()]
        for tag, vector in outputs.items():
            # A tag is of one kind only, and the scalar of the means has the plain name.
            shape = histogram(f"histogram/{tag}", vector.detach().float().cpu().numpy())
            values += [shape] if shape is not None else []
        self._add(step, values)

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        values = []
        for name, shown in pictures.items():
            # TensorBoard groups by what stands before the slash.
            tag = name if "/" in name else f"images/{name}"
            if isinstance(shown, str):
                values.append(event_file.text(tag, f"```\n{shown}\n```"))
            else:
                values.append(picture(tag, shown))
        self._add(step, values)

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        found = [scalar(tag, v, self._first(tag)) for tag, v in values.items()]
        found += [picture(tag, image) for tag, image in pictures.items()]
        self._add(step, found)

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

    def _add(self, step: int, values: Sequence[Any]) -> None:
        assert self._file is not None, "start comes first"
        self._file.add(step, *values)

    def _first(self, tag: str) -> str:
        """The description of `tag` the first time, then nothing: TensorBoard keeps the first."""
        if tag in self._seen:
            return ""
        self._seen.add(tag)
        return next((text for start, text in DESCRIPTIONS.items() if tag.startswith(start)), "")


def _charts(tags: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """The page's sections without charts that would stay empty."""
    tags = list(tags)
    page = {
        section: {
            title: [f"^{start}"]
            for title, start in charts.items()
            if any(tag.startswith(start) for tag in tags)
        }
        for section, charts in CHARTS.items()
    }
    return {section: charts for section, charts in page.items() if charts}
