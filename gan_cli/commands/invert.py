"""`gan-invert RUN IMAGES...`: the latents of given images, or the missing parts of images."""

from __future__ import annotations

import argparse
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.exits import command
from gan_cli.formatting import user_path
from gan_cli.options import RUN, Parser, add_model_options, whole

if TYPE_CHECKING:
    from torch import Tensor

    from gan_cli.data.given import GivenImages
    from gan_cli.runs.load import Loaded
    from gan_cli.sampling.inversion import Inversion

log = logging.getLogger(__name__)
EXAMPLES = """\
examples:
  gan-invert latest photo.png       z.npy, sheet.png, report.json: RUN/inversion
  gan-invert RUN images/ --starts 16 --steps 500     more starts, each longer
  gan-invert RUN --held-out 32      of the data's test images
  gan-invert RUN photo.png --mask hole.png     complete the mask's dark pixels
  gan-invert RUN --held-out 32 --mask center   and the PSNR of the completed
  gan-sample RUN --z RUN/inversion/z.npy       the images of these latents

Images are cut and resized to the size that the run was trained on. Of a
conditional model the class is found too, unless --class is given. With --mask
only the known pixels count, the discriminator keeps the rest real, and all
is blended without a seam (Yeh et al. 2017).
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-invert", "Find the latents of images, or complete images.", EXAMPLES)
    add = made.add_argument
    add("run", metavar="RUN", help=RUN)
    add("images", nargs="*", metavar="IMAGE", help="image files, or folders of them")
    add("--held-out", type=whole(1), metavar="N", help="the first N test images of the run's data")
    add(
        "--mask",
        metavar="MASK",
        help="what to complete: a file with a dark hole, or center, left, right, top, bottom or "
        "random (80 %% of the pixels)",
    )
    add("--class", dest="label", metavar="CLASS", help="a class by name, else by number")
    add("--starts", type=whole(1), default=8, metavar="N", help="for each image (default: 8)")
    add("--steps", type=whole(1), default=300, metavar="N", help="of Adam (default: 300)")
    add("--out", metavar="DIR", help="the folder to write to (default: in RUN)")
    add("--seed", type=int, default=0, metavar="N", help="of the starts (default: 0)")
    add_model_options(made)
    return made


def invert(options: argparse.Namespace) -> int:
    """Write latents, pictures and a report; 1 where some files could not be read.

    Raises:
        UserError: the model has no latents of images, or files cannot be read or written.
    """
    from gan_cli.console import print_path, progress_bar, setup_logging
    from gan_cli.errors import ConfigError
    from gan_cli.runs.folder import made_folder
    from gan_cli.runs.load import open_for
    from gan_cli.sampling import inversion
    from gan_cli.sampling.archive import OTHERS
    from gan_cli.sampling.codes import class_of
    from gan_cli.sampling.completion import known_pixels

    setup_logging(None)
    run, loaded = open_for(options)
    model = loaded.model
    label = None if options.label is None else class_of(options.label, model)
    given = images_of(options, loaded)
    n, size = len(given.values), model.data.shape[1:]
    known = None
    if options.mask is not None:
        known = known_pixels(options.mask, (size[0], size[1]), n, options.seed)
    name = "inversion" if known is None else "completion"
    older = [] if known is None else numbered_from(n, Path(options.out or run.path / name))
    if options.out and older:
        raise ConfigError(
            f"--out {options.out}: holds other numbered images such as {older[0].name}, {OTHERS}"
        )
    with progress_bar("steps", n * options.steps) as advance:
        found = inversion.invert(
            model,
            inversion.Target(given.values, known, label),
            options.seed,
            options.starts,
            options.steps,
            options.batch_size,
            advance,
        )
    folder = made_folder(options.out, run.path / name)
    for path in older:
        path.unlink(missing_ok=True)
    about = {"run": str(run.path), "step": loaded.step, "weights": loaded.weights}
    about |= {"seed": options.seed, "starts": options.starts, "steps": options.steps}
    if known is None:
        write_inversion(folder, given, found, about)
    else:
        write_completion(folder, given, found, known, {**about, "mask": options.mask})
    print_path(folder)
    for line in given.broken:
        log.error(line)
    return 1 if given.broken else 0


def images_of(options: argparse.Namespace, loaded: Loaded) -> GivenImages:
    """The images that the options name.

    Raises:
        ConfigError: none are named, or both kinds; or the data has no test images.
        UserError: they cannot be read.
    """
    import torch

    from gan_cli.config.instantiate import build, resolve
    from gan_cli.data.given import GivenImages, resized
    from gan_cli.errors import ConfigError

    if bool(options.images) == bool(options.held_out):
        raise ConfigError("IMAGE or --held-out N is required, and not both")
    data = loaded.model.data
    if not data.is_image:
        raise ConfigError(f"{options.run}: makes {data.kind}, and images are inverted")
    if options.images:
        return resized(options.images, data.shape)
    node = loaded.settings.data
    kind = resolve(node.get("_target_"), loaded.trust, "data")
    if not kind.comes_in_parts(node) or node.get("split") not in (None, "train"):
        raise ConfigError(
            f"--held-out {options.held_out}: {data.name} has no images that training has not seen"
        )
    test = build({**node, "split": "test"}, "data", loaded.trust)
    n = min(options.held_out, test.spec.size)
    values = test.real(torch.arange(n)).float().cpu()
    return GivenImages(tuple(Path(f"test-{i:05}") for i in range(n)), values)


def numbered_from(n: int, folder: Path) -> list[Path]:
    """Completed images of an earlier call that `n` new ones would not replace."""
    found = sorted(user_path(folder).glob("[0-9]*.png"))
    return [path for path in found if re.fullmatch("[0-9]{5,}", path.stem) and int(path.stem) >= n]


def write_inversion(
    folder: Path, given: GivenImages, found: Inversion, about: dict[str, Any]
) -> None:
    """Write latents, originals beside reconstructions, and the report."""
    import torch

    from gan_cli.metrics.images import psnr

    values = psnr(found.images, given.values)
    pairs = torch.stack([given.values, found.images], 1).flatten(0, 1)
    captions = [
        text
        for path, value in zip(given.paths, values.tolist(), strict=True)
        for text in (path.stem, f"{value:.1f} dB")
    ]
    write(folder, found, pairs, captions, 8)
    log.info(f"PSNR {statement(values)}")
    report(folder, given, found, about, {"psnr": values})


def write_completion(
    folder: Path,
    given: GivenImages,
    found: Inversion,
    known: Tensor,
    about: dict[str, Any],
) -> None:
    """Write completed images, the same with what they were made of, and the report."""
    import torch

    from gan_cli.images import to_uint8, write_png
    from gan_cli.sampling.completion import blended, hole_psnr

    images = given.values
    done = blended(found.images, images, known)
    smooth = blended(torch.zeros_like(images), images, known)
    values, plain = hole_psnr(done, images, known), hole_psnr(smooth, images, known)
    holes = torch.where(known > 0, images, torch.zeros(()))
    rows = torch.stack([images, holes, found.images, done], 1).flatten(0, 1)
    captions = [
        text
        for path, value in zip(given.paths, values.tolist(), strict=True)
        for text in (path.stem, "known", "generated", f"{value:.1f} dB")
    ]
    write(folder, found, rows, captions, 8)
    for number, picture in enumerate(to_uint8(done)):
        write_png(folder / f"{number:05}.png", picture, durable=False)
    log.info(f"PSNR in the hole {statement(values)}; without a model, smoothly {statement(plain)}")
    report(folder, given, found, about, {"hole_psnr": values, "smooth_hole_psnr": plain})


def statement(values: Tensor) -> str:
    """A mean in dB, with its standard error of several."""
    mean = f"{values.mean():.2f} dB"
    n = len(values)
    return f"{mean} ± {values.std() / n**0.5:.2f} ({n} images)" if n > 1 else mean


def write(
    folder: Path, found: Inversion, images: Tensor, captions: Sequence[str], columns: int
) -> None:
    """Write the latents, and a sheet of images."""
    import io

    import numpy as np

    from gan_cli import files
    from gan_cli.images import write_png
    from gan_cli.plots.sheet import sheet

    content = io.BytesIO()
    np.save(content, found.z.numpy(), allow_pickle=False)
    files.write(folder / "z.npy", content.getvalue())
    write_png(folder / "sheet.png", sheet(images, captions, columns))


def report(
    folder: Path,
    given: GivenImages,
    found: Inversion,
    about: dict[str, Any],
    values: dict[str, Tensor],
) -> None:
    """Write report.json."""
    import math

    from gan_cli import files

    rows = []
    for place, path in enumerate(given.paths):
        row: dict[str, Any] = {"image": str(path)}
        if found.y is not None:
            row["class"] = int(found.y[place])
        for name, each in {"loss": found.loss, **values}.items():
            value = each[place].item()
            row[name] = value if math.isfinite(value) else str(value)
        rows.append(row)
    files.write(folder / "report.json", json.dumps({**about, "images": rows}, indent=1) + "\n")


main = command(parser, invert)

if __name__ == "__main__":
    main()
