"""`gan-score RUN IMAGES...`: how real images look to a run's discriminator."""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gan_cli.exits import command
from gan_cli.formatting import user_path
from gan_cli.options import (
    RUN,
    Parser,
    add_model_options,
    check_output,
    whole,
    write_output,
)

if TYPE_CHECKING:
    from torch import Tensor

    from gan_cli.model import Model

log = logging.getLogger(__name__)
EXAMPLES = """\
examples:
  gan-score latest photo.png more/             a table, the most real first
  gan-score RUN images/ --sheet sorted.png     and the images in that order
  gan-score RUN images/ --csv scores.csv --json scores.json
  gan-score RUN images/ --class 3              a discriminator that sees classes

The score is the discriminator's output: higher is more real, and the scale is
that of the run's loss. above is the share of the run's own samples with a lower
score. A discriminator that sees classes scores an image as each class, and the
best is shown, unless --class is given; the run's own samples (with --class,
those of this class) are scored in the same way. Images are cut and resized to
the size that the run was trained on. A discriminator knows real and generated
images alone: of pictures of anything else its score says nothing, and noise may
have a high one.
"""
ROWS = 40  # of the table in the terminal


@dataclass(frozen=True)
class Scored:
    """An image and its score."""

    file: str
    score: float
    above: float  # share of the run's own samples with a lower score
    label: str = ""  # the class that it was scored as


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-score", "Score images by a run's discriminator.", EXAMPLES)
    add = made.add_argument
    add("run", metavar="RUN", help=RUN)
    add("images", nargs="+", metavar="IMAGE", help="image files, or folders of them")
    add("--class", dest="label", metavar="CLASS", help="a class by name, else by number")
    add("--csv", metavar="FILE", help="all scores as a table; - for the screen")
    add("--json", metavar="FILE", help="the same as JSON; - for the screen")
    add("--sheet", metavar="FILE.png", help="the images with their scores, the most real first")
    text = "columns of the sheet (default: 10)"
    add("--columns", type=whole(1), default=10, metavar="N", help=text)
    add("--samples", type=whole(1), default=512, metavar="N", help="to compare with (512)")
    add("--seed", type=int, default=0, metavar="N", help="seed of these samples (default: 0)")
    add_model_options(made)
    return made


def score(options: argparse.Namespace) -> int:
    """Print and write the scores; 1 where some files could not be read.

    Raises:
        UserError: the run has no discriminator for it, or files cannot be read or written.
    """
    import torch

    from gan_cli.console import print_path, setup_logging
    from gan_cli.data.dataset import scaled
    from gan_cli.data.given import resized
    from gan_cli.errors import ConfigError
    from gan_cli.images import to_uint8, write_png
    from gan_cli.plots.sheet import sheet
    from gan_cli.runs.load import open_for
    from gan_cli.sampling.codes import class_of
    from gan_cli.sampling.samples import SampleRequest, draw

    setup_logging(None)
    for option in ("csv", "json", "sheet"):
        if (place := getattr(options, option)) is not None:
            check_output(f"--{option}", place)
    sheet_file = None if options.sheet is None else user_path(options.sheet)
    if sheet_file is not None and sheet_file.suffix.lower() != ".png":
        raise ConfigError(f"--sheet {options.sheet}: a file must end in .png")
    run, loaded = open_for(options)
    model = loaded.model
    if not model.data.is_image:
        raise ConfigError(f"{run.path}: makes {model.data.kind}, and images are scored")
    found = resized(options.images, model.data.shape)
    label = None if options.label is None else class_of(options.label, model)
    scores, classes = scored(model, found.values, label, options.batch_size)
    request = SampleRequest(options.seed, () if label is None else (label,))
    samples = torch.cat(list(draw(model, options.samples, request, options.batch_size)))
    levels = torch.from_numpy(to_uint8(samples)).permute(0, 3, 1, 2)  # what a file would hold
    own = scored(model, scaled(levels), label, options.batch_size)[0].sort().values
    names = dict(enumerate(model.data.class_names))
    above = torch.searchsorted(own, scores) / len(own)
    order = scores.argsort(descending=True, stable=True).tolist()
    rows = [
        Scored(
            str(found.paths[i]),
            scores[i].item(),
            above[i].item(),
            "" if classes is None else names.get(int(classes[i]), str(int(classes[i]))),
        )
        for i in order
    ]
    if "-" not in (options.csv, options.json):
        show(rows, classes is not None)
    if options.csv is not None:
        write_output(options.csv, table(rows))
    if options.json is not None:
        head = {"run": str(run.path), "step": loaded.step, "weights": loaded.weights}
        write_output(options.json, json.dumps({**head, "images": list(map(plain, rows))}) + "\n")
    if sheet_file is not None:
        captions = [f"{row.score:.3g}  {row.label}" for row in rows]
        write_png(sheet_file, sheet(found.values[order], captions, options.columns))
        print_path(sheet_file)
    for line in found.broken:
        log.error(line)
    return 1 if found.broken else 0


def scored(
    model: Model, images: Tensor, label: int | None, batch: int
) -> tuple[Tensor, Tensor | None]:
    """Scores [n] of images, and the classes [n] that they were scored as, where it sees any."""
    import torch

    n = len(images)
    if not model.conditional:
        return outputs(model, images, None, batch), None
    if label is not None:
        y = torch.full((n,), label)
        return outputs(model, images, y, batch), y
    each = [
        outputs(model, images, torch.full((n,), one), batch) for one in range(model.data.classes)
    ]
    if all(torch.equal(one, each[0]) for one in each):  # such as ACGAN's, which sees none
        return each[0], None
    best = torch.stack(each).max(0)
    return best.values, best.indices


def outputs(model: Model, images: Tensor, y: Tensor | None, batch: int) -> Tensor:
    """The discriminator's outputs [n] on images [n, C, H, W], on the CPU.

    Raises:
        ConfigError: the model has none that scores images one by one.
    """
    import torch

    from gan_cli.sampling.refinement import scores

    found = []
    with torch.no_grad():
        for start in range(0, len(images), batch):
            x = images[start : start + batch].to(model.device)
            some = None if y is None else y[start : start + batch].to(model.device)
            found.append(scores(model, x, some).cpu())
    return torch.cat(found)


def plain(row: Scored) -> dict[str, object]:
    """A row for JSON, which knows no NaN."""
    return {**asdict(row), "score": row.score if math.isfinite(row.score) else str(row.score)}


def table(rows: Sequence[Scored]) -> str:
    """The scores as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return text.getvalue()


def show(rows: Sequence[Scored], classes: bool) -> None:
    """Print the scores, of many the first and the last."""
    from rich.table import Table

    from gan_cli.console import PIPED_WIDTH, clean_console
    from gan_cli.formatting import number, percent

    screen = clean_console(PIPED_WIDTH)
    made = Table()
    made.add_column("score", justify="right")
    made.add_column("above", justify="right")
    if classes:
        made.add_column("class")
    made.add_column("image", overflow="fold")
    few = len(rows) <= ROWS
    shown = rows if few else [*rows[: ROWS // 2], None, *rows[-ROWS // 2 :]]
    for row in shown:
        if row is None:
            made.add_row(*["..."] * (4 if classes else 3))
            continue
        value = number(row.score) if math.isfinite(row.score) else str(row.score)
        cells = [value, percent(row.above, 0), *([row.label] if classes else []), row.file]
        made.add_row(*cells)
    screen.print(made)


main = command(parser, score)

if __name__ == "__main__":
    main()
