"""What an evaluation found: as JSON, and as files in the run folder."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray
from PIL import Image

from gan_cli import files, foreign
from gan_cli.errors import CheckpointError
from gan_cli.evaluation.metric import HIGHER, LOWER, MetricValue, Plot
from gan_cli.evaluation.registry import DEAR
from gan_cli.exits import one_line
from gan_cli.files import locked
from gan_cli.formatting import number
from gan_cli.images import write_png
from gan_cli.runs.folder import RunFolder

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

log = logging.getLogger(__name__)
Json = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """The values of one model at one step."""

    run: str
    step: int
    weights: str
    values: Sequence[MetricValue]
    unfit: dict[str, str] = field(default_factory=dict)  # metric -> why
    failed: dict[str, str] = field(default_factory=dict)
    pictures: Sequence[Plot] = ()

    def to_json(self) -> Json:
        """Plain values; numbers that JSON does not know are text: "nan", "inf", "-inf"."""
        return {
            "run": self.run,
            "step": self.step,
            "weights": self.weights,
            "figures": [_figure(figure) for figure in self.values],
            "unfit": self.unfit,
            "failed": self.failed,
        }


def _figure(figure: MetricValue) -> Json:
    return {
        "name": figure.name,
        "value": _number(figure.value),
        "better": figure.better,
        "floor": _number(figure.baseline),
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
            files.write(path, dumped(_merged(_read(path), report.to_json())))
    except OSError as cause:
        raise files.cannot_write(path, cause) from cause
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
            log.warning(f"{path}: cannot be read ({one_line(error)}), so it is skipped")
            continue
        found[name] = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return found


def _read(path: Path) -> Json | None:
    try:
        content = foreign.read_json(path)
    except FileNotFoundError:
        return None
    except CheckpointError as cause:
        raise CheckpointError(f"{cause}; remove it to continue") from cause
    figures = content.get("figures") if isinstance(content, dict) else None
    if not isinstance(figures, list) or not all(isinstance(one, dict) for one in figures):
        raise CheckpointError(f"{path}: holds no values; remove it to continue")
    return content


def _merged(old: Json | None, new: Json) -> Json:
    if old is None:
        return new
    fresh = {_key(figure) for figure in new["figures"]}
    figures = [figure for figure in old["figures"] if _key(figure) not in fresh]
    return {**new, "figures": [*figures, *new["figures"]]}


def _key(figure: Json) -> str:
    return json.dumps([figure.get("name"), figure.get("protocol")], sort_keys=True)


DIRECTIONS = {LOWER: "lower", HIGHER: "higher"}
WEIGHTS = {"ema": "averaged weights", "raw": "raw weights"}


def show(console: Console, report: Report, named: Collection[str] = ()) -> None:
    """Print a report.

    Args:
        console: where to.
        report: what.
        named: metrics that were asked for by name: if they say nothing, the reason is told.
    """
    from rich.padding import Padding
    from rich.text import Text

    title = Text.assemble((report.run, "bold"))
    if report.weights:
        title.append(f" at step {report.step:,}, {WEIGHTS[report.weights]}")
    if report.values:
        console.print(_table(report, title))
        for line in told(report):
            console.print(Padding(Text(line, "dim"), (0, 0, 0, 2)))
    else:
        console.print(title.append(": no values"))
    for name, reason in report.failed.items():
        text = Text.assemble("  ", (f"{name} failed:", "bold red"), f" {reason}")
        console.print(text, soft_wrap=True)
    for name in named:
        if name in report.unfit:
            reason = report.unfit[name]
            text = Text.assemble("  ", (f"{name} was not computed:", "yellow"), f" {reason}")
            console.print(text, soft_wrap=True)
    dear = [name for name, reason in report.unfit.items() if reason == DEAR]
    if dear:
        text = (
            f"  skipped (slow; name them to compute them): {', '.join(dear)} (--metrics {dear[0]})"
        )
        console.print(text, style="dim", highlight=False, soft_wrap=True)
    if "fid" in dear and "classifier" in report.unfit and not named:  # the fast one is missing
        text = f"  no fid_classifier: {report.unfit['classifier']}"
        console.print(text, style="dim", highlight=False, soft_wrap=True)


def _table(report: Report, title: Text) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("metric", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("better")
    table.add_column("baseline", justify="right", no_wrap=True)
    table.add_column("note", ratio=1)
    baselines = any(figure.baseline is not None for figure in report.values)
    for figure in report.values:
        value = Text.assemble((number(figure.value), "bold"))
        if figure.error is not None:
            value.append(f" ± {number(figure.error)}")
        baseline = "" if figure.baseline is None else number(figure.baseline)
        better = Text(DIRECTIONS.get(figure.better, ""), "green")
        table.add_row(figure.name, value, better, baseline, figure.note)
    if baselines:
        table.caption = "baseline: the same metric between real data and real data"
        table.caption_justify = "left"
    return table


def told(report: Report) -> Iterator[str]:
    """The protocol in sentences, each once, with the values that it holds for if not for all."""
    users: dict[str, list[int]] = {}
    for i, figure in enumerate(report.values):
        for line in _lines(figure.protocol):
            users.setdefault(line, []).append(i)
    for line, places in users.items():
        everybody = len(places) == len(report.values)
        yield line if everybody else f"{line} ({_named(report, places)})"


def _named(report: Report, places: list[int]) -> str:
    """The values at `places`, neighbours in short as the first to the last."""
    stretches: list[list[int]] = []
    for i in places:
        if stretches and stretches[-1][-1] == i - 1:
            stretches[-1].append(i)
        else:
            stretches.append([i])
    names = [figure.name for figure in report.values]
    return ", ".join(
        names[some[0]] if len(some) == 1 else f"{names[some[0]]} to {names[some[-1]]}"
        for some in stretches
    )


def _lines(protocol: Mapping[str, str | int | float]) -> Iterator[str]:
    if {"samples", "seed", "data", "split", "real_samples"} <= protocol.keys():
        yield (
            f"{protocol['samples']:,} samples of seed {protocol['seed']} against "
            f"{protocol['real_samples']:,} real ones: {protocol['data']}, {protocol['split']}"
        )
    if "fake" in protocol:
        count = protocol["real_samples"]
        real = f"{count:,} of {protocol['data']}" if count else f"{protocol['data']}, of any number"
        yield f"{protocol['samples']:,} images of {protocol['fake']} against {real}"
        if count and protocol["fake_shape"] != protocol["real_shape"]:
            yield (
                f"caution: the fakes are {protocol['fake_shape']}, the real ones "
                f"{protocol['real_shape']} (channels, height, width); part of the distance may be "
                "due to that"
            )
    if "extractor" in protocol:
        sha = str(protocol.get("extractor_sha256", ""))[:8]
        yield f"{protocol['extractor']} {sha}; size: {protocol.get('resize', 'as it is')}"
