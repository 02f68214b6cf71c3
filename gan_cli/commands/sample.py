"""`gan-sample RUN`: samples of a trained model, as a picture or as files."""

from __future__ import annotations

import argparse

from gan_cli.exits import command
from gan_cli.options import Parser, add_latent_options, add_model_options, add_run, whole

EXAMPLES = """\
examples:
  gan-sample latest                     a grid of 64, into the run's samples/
  gan-sample RUN -n 10000 --out DIR     DIR/000000.png to DIR/009999.png
  gan-sample RUN -n 10000 --out samples.npz     or .zip
  gan-sample RUN --class 3 --out three.png      conditional models; or 0-9
  gan-sample RUN -n 1000 --out DIR --flat       classes in DIR/labels.csv
  gan-sample RUN --code category=4 --code c1=-1:1:7     a row for each latent
  gan-sample RUN --truncation .7        fewer odd samples, and less variety
  gan-sample RUN --refine drs           what the discriminator takes for real
  gan-sample RUN --z z.npy              of given latents [n, dim]

Sample i depends on the weights, the seed and what is fixed: not on -n,
--batch-size or the output. Conditional models draw sample i of class i modulo
the number of classes, or of the classes of --class in turn. A range of a code,
FIRST:LAST:COUNT, shows each latent with each value. --out with -n continues
where an earlier command of the same samples was interrupted.
Points (toy data) become a plot, and with -n or an --out that ends in .csv a
table; sentences become a text file.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-sample", "Draw samples from a run.", EXAMPLES)
    add = made.add_argument
    add_run(made)
    add_latent_options(made)
    add("-n", "--number", type=whole(1), metavar="N", help="how many samples")
    add("--out", metavar="PATH", help="a file, or a folder (with -n for numbered PNGs)")
    add("--flat", action="store_true", help="no folders by class, but labels.csv beside the PNGs")
    add("--grid", action="store_true", help="one grid, even where -n and a folder are given")
    add("--columns", type=whole(1), metavar="N", help="columns of the grid")
    add("--zoom", type=whole(1), metavar="N", help="magnify pixels (default: of small images)")
    add("--save-z", metavar="FILE", help="write the samples' latents as well, to a .npy file")
    add("--refine", choices=("drs", "ddls"), help="reject or move samples by the discriminator")
    add("--refine-steps", type=whole(1), default=100, metavar="N", help="of ddls (default: 100)")
    add_model_options(made)
    return made


def draw(options: argparse.Namespace) -> int:
    """Write what was asked for, and print where it is.

    Raises:
        UserError: it cannot be drawn or written.
    """
    from gan_cli.console import print_path, setup_logging
    from gan_cli.runs.load import open_for
    from gan_cli.sampling.output import SAMPLES, Output, SampleWriter
    from gan_cli.sampling.refinement import with_refined_latents
    from gan_cli.sampling.samples import requested

    setup_logging(None)
    output = Output.parse(options.out, SAMPLES)
    folder, loaded = open_for(options)
    request = requested(options, loaded.model)
    if options.refine:
        request = with_refined_latents(options, loaded, request)
    for path in SampleWriter(options, output, folder, loaded, request).write():
        print_path(path)
    return 0


main = command(parser, draw)

if __name__ == "__main__":
    main()
