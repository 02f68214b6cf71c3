"""`gan-translate RUN IMAGES...`: translate new images by a trained model."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from gan_cli.exits import command
from gan_cli.options import RUN, Parser, add_model_options

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
EXAMPLES = """\
examples:
  gan-translate latest photo.png --out translated
  gan-translate RUN photos/ --out translated        all below photos/, by name
  gan-translate RUN photos/ --backwards --out back  CycleGAN, DiscoGAN, DualGAN

Images keep their size, whatever size the model was trained on; those of
super-resolution (srgan) grow by its factor. Where a model draws noise, an
image's depends on --seed and the file's name alone. Files that cannot be read
are listed at the end, and the exit status is then 1.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-translate", "Translate images by a run of a translation model.", EXAMPLES)
    add = made.add_argument
    add("run", metavar="RUN", help=RUN)
    add("images", nargs="+", metavar="IMAGE", help="image files, or folders of them")
    add("--out", required=True, metavar="DIR", help="the folder to write PNG files to")
    add("--backwards", action="store_true", help="from targets to inputs")
    text = "seed of the model's noise (default: 0)"
    add("--seed", type=int, default=0, metavar="N", help=text)
    add_model_options(made)
    return made


def translate(options: argparse.Namespace) -> int:
    """Write the translations; 1 where some files could not be read.

    Raises:
        UserError: the run is of no translation model, or the folder cannot be written.
    """
    import torch

    from gan_cli import files
    from gan_cli.console import print_path, progress_bar, setup_logging
    from gan_cli.data.given import listed
    from gan_cli.errors import ConfigError
    from gan_cli.images import to_uint8, write_png
    from gan_cli.model import Translates
    from gan_cli.runs.load import load_for, wanted
    from gan_cli.seeding import mix

    setup_logging(None)
    found = list(listed(options.images))
    targets = targets_of(found, Path(options.out))
    folder, which = wanted(options.run, options.checkpoint)
    loaded = load_for(options, folder, which)
    model = loaded.model
    if not isinstance(model, Translates):
        name = loaded.settings.choices.get("model", type(model).__name__)
        raise ConfigError(
            f"{folder.path}: model={name} translates no images; gan-sample draws from it"
        )
    shape = model.data.shape if options.backwards else model.data.source
    broken: list[str] = []
    with progress_bar("images", len(found)) as advance, torch.no_grad():
        probe = torch.rand(1, *shape, device=model.device)
        twice = [model.translate(probe, options.backwards) for _ in range(2)]
        most = options.batch_size if torch.equal(*twice) else 1  # each with noise of its own
        for places, images in batches(found, shape[0], most, broken, advance):
            torch.manual_seed(mix(options.seed, crc32(os.fsencode(found[places[0]][0].name))))
            made = model.translate(images.to(model.device), options.backwards)
            for place, picture in zip(places, to_uint8(made), strict=True):
                try:
                    targets[place].parent.mkdir(parents=True, exist_ok=True)
                except OSError as cause:
                    raise files.cannot_write(targets[place].parent, cause) from cause
                write_png(targets[place], picture, durable=False)
    for line in broken:
        log.error(line)
    if len(broken) == len(found):
        return 1
    print_path(Path(options.out))
    return 1 if broken else 0


def targets_of(found: Sequence[tuple[Path, Path]], folder: Path) -> list[Path]:
    """Where to write each image.

    Raises:
        ConfigError: two would have one name, or one would be written over its own input.
    """
    from gan_cli.errors import ConfigError

    targets = [folder / name.with_suffix(".png") for _, name in found]
    taken: dict[Path, Path] = {}
    for (path, _), target in zip(found, targets, strict=True):
        if target in taken:
            raise ConfigError(
                f"--out {folder}: {taken[target]} and {path} would both become {target.name}; "
                "translate them in two calls"
            )
        taken[target] = path
        if target.exists() and target.resolve() == path.resolve():
            raise ConfigError(f"--out {folder}: {path} would be written over; name another folder")
    return targets


def batches(
    found: Sequence[tuple[Path, Path]],
    channels: int,
    most: int,
    broken: list[str],
    advance: Callable[[int], object],
) -> Iterator[tuple[list[int], Tensor]]:
    """Images of one size after each other, as places in `found` and [n, channels, H, W].

    Args:
        found: the files.
        channels: 1 or 3.
        most: in a batch.
        broken: gets a line for each file that cannot be read.
        advance: is told of each file.
    """
    import numpy as np
    import torch

    from gan_cli.data.dataset import scaled
    from gan_cli.data.decode import decode_whole

    places: list[int] = []
    images: list[np.ndarray] = []

    def ready() -> tuple[list[int], Tensor]:
        made = places.copy(), scaled(torch.from_numpy(np.stack(images)))
        places.clear()
        images.clear()
        return made

    for place, (path, _) in enumerate(found):
        pixels, reason = decode_whole(path, channels)
        advance(1)
        if pixels is None:
            broken.append(f"{path}: {reason}")
            continue
        if images and (pixels.shape != images[0].shape or len(images) == most):
            yield ready()
        places.append(place)
        images.append(pixels)
    if images:
        yield ready()


main = command(parser, translate)

if __name__ == "__main__":
    main()
