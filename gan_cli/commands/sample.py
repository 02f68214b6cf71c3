"""`gan-sample RUN`: pictures from a trained model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gan_cli.options import Parser, add_model_options, whole

EXAMPLES = """\
examples:
  gan-sample runs/dcgan-mnist/20250601-120000-6a5a163c     a grid of 64 samples, into its samples/
  gan-sample RUN -n 1000 --out DIR                         DIR/000000.png to DIR/000999.png
  gan-sample RUN --class 3 --out three.png                 of a conditional model
  gan-sample RUN -n 1000 --out DIR --flat                  classes in DIR/labels.csv, not folders
  gan-sample RUN --code category=3,code1=-1.5,code2=0.5    of InfoGAN
  gan-sample RUN --interpolate slerp -n 6                  six paths between latents, PNG and GIF

Sample i depends on the checkpoint and the seed alone: not on -n, --batch-size or the output.
Conditional models draw sample i of class i modulo the number of classes, unless --class is given.
Points (toy data) become a plot, and with -n or an --out that ends in .csv a table; sentences become
a text file.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-sample", "Draw samples from a run.", EXAMPLES)
    add = made.add_argument
    add("run", nargs="*", metavar="RUN", help="a run folder, or a file in it")
    add("-n", "--number", type=whole(1), metavar="N", help="how many samples, or pairs of latents")
    add("--out", metavar="PATH", help="a file, or a folder (with -n for numbered PNGs)")
    add("--flat", action="store_true", help="no folders by class, but labels.csv beside the PNGs")
    add("--grid", action="store_true", help="one grid, even where -n and a folder are given")
    add("--columns", type=whole(1), metavar="N", help="of the grid")
    add("--zoom", type=whole(1), metavar="N", help="magnify pixels (default: of small images)")
    add("--seed", type=int, default=0, metavar="N", help="other samples (default: 0)")
    add(
        "--class",
        dest="label",
        metavar="CLASS",
        help="a class by name, else by number",
    )
    add(
        "--code",
        metavar="NAME=VALUE,...",
        help="fix latent codes: category=K, code1=X, code2=X ... (InfoGAN)",
    )
    add(
        "--interpolate",
        choices=("lerp", "slerp", "matched"),
        help="go from latent to latent, rows of ten",
    )
    add_model_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 2 (wrong input), 130 (interrupted) or 1 (anything else)."""
    from gan_cli.exits import program
    from gan_cli.signals import interrupt_program

    interrupt_program()
    program(lambda: draw(parser().parse_args(arguments)))


def draw(options: argparse.Namespace) -> int:
    """Write what was asked for, and print where it is.

    Raises:
        UserError: it cannot be drawn or written.
    """
    import torch

    from gan_cli.console import print_path, setup_logging
    from gan_cli.errors import ConfigError
    from gan_cli.runs.load import load_for, wanted
    from gan_cli.sampling.codes import Codes, class_of
    from gan_cli.sampling.output import Output, SampleWriter
    from gan_cli.sampling.samples import SampleRequest

    setup_logging(None)
    if len(options.run) > 1:
        raise ConfigError(f"{len(options.run)} runs are given; one is drawn from at a time")
    output = Output.parse(options.out)
    folder, which = wanted(next(iter(options.run), None), options.checkpoint)
    # Pictures shall come out the same again, on the same GPU at least.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    loaded = load_for(options, folder, which)
    request = SampleRequest(
        options.seed,
        label=None if options.label is None else class_of(options.label, loaded.model),
        codes=Codes() if options.code is None else Codes.parse(options.code, loaded.model.prior),
    )
    for path in SampleWriter(options, output, folder, loaded, request).write():
        print_path(path)
    return 0


if __name__ == "__main__":
    main()
