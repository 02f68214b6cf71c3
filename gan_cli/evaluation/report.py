"""What an evaluation found: as JSON, and as files in the run folder."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

from gan_cli import atomic, foreign
from gan_cli.data.lock import locked
from gan_cli.errors import CheckpointError
from gan_cli.evaluation.measure import Figure, Picture
from gan_cli.exits import one_line
from gan_cli.imaging import write_png
from gan_cli.runs.folder import RunFolder

log = logging.getLogger(__name__)
Json = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """The figures of one model at one step."""

    run: str
    step: int
    weights: str
    figures: Sequence[Figure]
    unfit: dict[str, str] = field(default_factory=dict)  # measure -> why
    failed: dict[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()

    def to_json(self) -> Json:
        """Plain values; numbers that JSON does not know are text: "nan", "inf", "-inf"."""
        return {
            "run": self.run,
            "step": self.step,
            "weights": self.weights,
            "figures": [_figure(figure) for figure in self.figures],
            "unfit": self.unfit,
            "failed": self.failed,
        }


def _figure(figure: Figure) -> Json:
    return {
        "name": figure.name,
        "value": _number(figure.value),
        "better": figure.better,
        "floor": _number(figure.floor),
        "error": _number(figure.error),
        "protocol": {key: _number(value) for key, value in figure.protocol.items()},
        "note": figure.note,
    }


def _number(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def dumped(content: object) -> str:
    """JSON for people and programs."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def stem(report: Report) -> str:
    """The name of its files, without ending: figures of raw weights have their own."""
    return f"step_{report.step:08d}{'-raw' if report.weights == 'raw' else ''}"


def write(report: Report, run: RunFolder) -> Path:
    """Put figures and pictures into the run's `evaluations/`, beside what is there already.

    A figure takes the place of an older one of the same name and protocol; others stay.

    Returns:
        The JSON file.

    Raises:
        UserError: it cannot be written.
        CheckpointError: the folder leads out of the run's.
    """
    run.refuse_links()
    folder = run.evaluations
    path = folder / f"{stem(report)}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", f"writes into {folder}"):
            atomic.write(path, dumped(_merged(_read(path), report.to_json())))
    except OSError as cause:
        raise atomic.cannot_write(path, cause) from cause
    for picture in report.pictures:
        name = re.sub(r"[^\w.=+-]+", "-", picture.name)
        write_png(folder / f"{stem(report)}-{name}.png", picture.image)
    return path


def read_pictures(run: RunFolder, step: int, weights: str) -> dict[str, ndarray]:
    """The pictures that `write` kept of one step, by name; one that cannot be read is left out."""
    start = f"{stem(Report('', step, weights, ()))}-"
    found = {}
    for path in sorted(run.evaluations.glob(f"{start}*.png")):
        name = path.stem.removeprefix(start)
        if weights != "raw" and name.startswith("raw-"):
            continue
        try:
            with foreign.open_file(path) as file, Image.open(file, formats=["PNG"]) as image:
                pixels = np.array(image.convert("L" if image.mode == "L" else "RGB"))
        except Exception as error:  # damaged bytes can fail in any way
            log.warning(f"{path}: cannot be read ({one_line(error)}), so it is left out")
            continue
        found[name] = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return found


def _read(path: Path) -> Json | None:
    try:
        content = foreign.read_json(path)
    except FileNotFoundError:
        return None
    except CheckpointError as cause:
        raise CheckpointError(f"{cause}; remove it to go on") from cause
    figures = content.get("figures") if isinstance(content, dict) else None
    if not isinstance(figures, list) or not all(isinstance(one, dict) for one in figures):
        raise CheckpointError(f"{path}: holds no figures; remove it to go on")
    return content


def _merged(old: Json | None, new: Json) -> Json:
    if old is None:
        return new
    fresh = {_key(figure) for figure in new["figures"]}
    figures = [figure for figure in old["figures"] if _key(figure) not in fresh]
    return {**new, "figures": [*figures, *new["figures"]]}


def _key(figure: Json) -> str:
    return json.dumps([figure.get("name"), figure.get("protocol")], sort_keys=True)
