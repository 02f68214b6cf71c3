"""`gan-export RUN`: a trained model's networks as files for other programs, with a model card."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.exits import command
from gan_cli.options import RUN, Parser, add_model_options

if TYPE_CHECKING:
    from gan_cli.runs.load import Loaded

log = logging.getLogger(__name__)
WEIGHTS, SAMPLES, CARD, CONFIG = "model.safetensors", "samples.png", "README.md", "config.yaml"
DRAWN = 64
EXAMPLES = """\
examples:
  gan-export latest               model.safetensors and a card, into RUN/export
  gan-export RUN --format onnx    generator.onnx, discriminator.onnx ...
  gan-export RUN --format onnx --format torch_export --out DIR
  gan-export RUN --checkpoint best --licence CC-BY-4.0
  gan-train model=dcgan weights=RUN/export/model.safetensors     begin with such

ONNX needs onnxruntime and torch.export needs torch where they are loaded, and
neither needs gan-cli. Each file is read again and compared with the original
before it is written; it takes any number of samples at a time. README.md says
how to load it.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-export", "Write a run's networks for other programs.", EXAMPLES)
    add = made.add_argument
    add("run", nargs="?", metavar="RUN", help=RUN)
    add(
        "--format",
        dest="formats",
        action="append",
        choices=("safetensors", "onnx", "torch_export"),
        help="default: safetensors; may be given again",
    )
    add("--out", metavar="DIR", help="the folder to write to (default: RUN/export)")
    text = "licence of the weights, for the card"
    add("--licence", "--license", default="", metavar="NAME", help=text)
    text = "seed of the card's samples (default: 0)"
    add("--seed", type=int, default=0, metavar="N", help=text)
    add_model_options(made, computing=False)
    return made


def export(options: argparse.Namespace) -> int:
    """Write the files.

    Raises:
        UserError: they cannot be made or written.
    """
    from gan_cli import files
    from gan_cli.console import print_path, setup_logging
    from gan_cli.errors import ConfigError, UserError
    from gan_cli.export import formats
    from gan_cli.export.card import Card, config_text
    from gan_cli.export.networks import networks_of
    from gan_cli.runs.folder import made_folder
    from gan_cli.runs.load import load_for, wanted
    from gan_cli.runs.weights import file_bytes

    setup_logging(None)
    chosen = list(dict.fromkeys(options.formats or ["safetensors"]))
    run, which = wanted(options.run, options.checkpoint)
    options.device = "cpu"  # what is loaded from the files then needs no other
    loaded = load_for(options, run, which)
    others = [kind for kind in chosen if kind in formats.FORMATS]
    networks, missing = networks_of(loaded.model) if others else ([], [])
    if others and not networks:
        reasons = "; ".join(missing) or "it draws samples step by step"
        raise ConfigError(
            f"--format {others[0]}: {run.path} has no network that can stand alone ({reasons}); "
            "--format safetensors holds its weights"
        )
    folder = made_folder(options.out, run.path / "export")
    made = []
    for kind in others:
        for network in networks:
            try:
                made.append(formats.export(network, kind, folder, options.seed))
            except formats.UnfitError as error:
                missing.append(str(error))
                continue
            log.info(
                f"{made[-1].path.name}: read again, within {made[-1].difference:.1e} of the "
                f"original for batches of {', '.join(map(str, formats.BATCHES))}"
            )
    if chosen == others and not made:
        raise UserError("; ".join(missing))
    weights = None
    if "safetensors" in chosen:
        weights = folder / WEIGHTS
        text = config_text(loaded)
        files.write(
            weights,
            file_bytes(loaded.model, text, loaded.step, loaded.weights, loaded.fingerprint),
        )
    for reason in missing:
        log.info(f"no file of the {reason}")
    files.write(folder / CONFIG, config_text(loaded))
    pictures = draw(loaded, folder, options.seed)
    card = Card(run, loaded, options.licence, made, weights, missing, pictures)
    files.write(folder / CARD, card.text())
    print_path(folder)
    return 0


def draw(loaded: Loaded, folder: Path, seed: int) -> Path | None:
    """Write a grid of samples, where they are images; its path."""
    import torch

    from gan_cli.images import tile, write_png
    from gan_cli.sampling.samples import SampleRequest
    from gan_cli.sampling.samples import draw as drawn

    if not loaded.model.data.is_image:
        return None
    path = folder / SAMPLES
    images = torch.cat(list(drawn(loaded.model, DRAWN, SampleRequest(seed))))
    write_png(path, tile(images, 8, zoom=max(1, 56 // max(images.shape[2:]))))
    return path


main = command(parser, export)

if __name__ == "__main__":
    main()
