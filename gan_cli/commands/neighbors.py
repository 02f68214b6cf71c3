"""`gan-neighbors RUN`: the training images that a trained model's samples are closest to."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gan_cli.exits import command
from gan_cli.options import Parser, add_latent_options, add_model_options, add_run, whole

if TYPE_CHECKING:
    from gan_cli.evaluation.metric import Extractor
    from gan_cli.evaluation.trained_model import TrainedModel

EXAMPLES = """\
examples:
  gan-neighbors latest                  16 samples, each with its three nearest
  gan-neighbors RUN -n 8 -k 5 --out near.png
  gan-neighbors RUN --closest           of 512 samples the 16 that are closest
  gan-neighbors RUN --features inception --inception weights.pth
  gan-neighbors RUN --features none --no-score      pixels alone: quicker

A row for each sample: the sample, its nearest training images in pixels, and
its nearest in the features of the evaluation's classifier. The distance in
pixels is a root mean square in levels of 255. Beside the sheet, the metric
memorisation: whether samples are closer to training images than real images
are that were not trained on.
"""


SHOWN = 16  # samples


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-neighbors", "Show the training images nearest to samples.", EXAMPLES)
    add = made.add_argument
    add_run(made)
    add("-n", "--number", type=whole(1), metavar="N", help="samples (default: 16)")
    add("-k", type=whole(1), default=3, metavar="K", help="neighbours of each (default: 3)")
    add("--closest", action="store_true", help="the samples closest to a training image")
    add(
        "--samples",
        type=whole(1),
        default=512,
        metavar="N",
        help="samples that --closest draws (default: 512)",
    )
    add(
        "--features",
        choices=("auto", "classifier", "inception", "none"),
        default="auto",
        help="default: the classifier's, where the data has classes",
    )
    add("--among", type=whole(1), metavar="N", help="random training images (default: all)")
    add("--no-score", action="store_true", help="without the metric memorisation")
    add_latent_options(made)
    text = "file of Inception's weights, pt_inception-2015-12-05-6726825d.pth"
    add("--inception", metavar="PATH", help=text)
    add("--data-root", metavar="DIR", help="where the data is now, if it has moved")
    add("--out", metavar="PATH", help="a .png file, or a folder for one")
    add("--zoom", type=whole(1), metavar="N", help="magnify pixels (default: of small images)")
    add_model_options(made)
    return made


def neighbors(options: argparse.Namespace) -> int:
    """Write the sheet, print the score and where the sheet is.

    Raises:
        UserError: the model or its data cannot be had, or the sheet cannot be written.
    """
    import torch

    from gan_cli.console import PIPED_WIDTH, clean_console, print_path, setup_logging
    from gan_cli.errors import ConfigError
    from gan_cli.evaluation.evaluate import evaluate
    from gan_cli.evaluation.features import quantised
    from gan_cli.evaluation.metric import Options
    from gan_cli.evaluation.registry import choose
    from gan_cli.evaluation.report import show
    from gan_cli.evaluation.run_data import with_data
    from gan_cli.evaluation.training_neighbours import NeighbourSheet
    from gan_cli.images import write_png
    from gan_cli.runs.load import open_for
    from gan_cli.sampling import samples as sampling
    from gan_cli.sampling.output import Output, require_images, stem

    setup_logging(None)
    output = Output.parse(options.out, {".png": "pictures"})
    folder, loaded = open_for(options)
    require_images(loaded.model, "gan-neighbors")
    request = sampling.requested(options, loaded.model)
    shown = options.number or SHOWN
    n = max(shown, options.samples) if options.closest else shown
    if request.z is not None:
        most = len(request.z) * request.codes.count
        if (options.number or 0) > most:
            raise ConfigError(f"-n {shown}: {options.z} is enough for {most} samples")
        shown, n = min(shown, most), min(n, most)
    about = Options(seed=options.seed, batch_size=options.batch_size, inception=options.inception)
    subject = with_data(loaded, about, options.data_root)
    extractor = extractor_of(options, subject)
    drawn = torch.cat(list(sampling.draw(loaded.model, n, request, options.batch_size)))
    sheet = NeighbourSheet.find(
        subject.trained_on,
        quantised(drawn),
        shown,
        options.k,
        extractor,
        subject.device,
        options.among,
    )
    path = output.path(folder, stem("neighbours", loaded, request, options.code), ".png")
    write_png(path, sheet.picture(options.zoom))
    screen = clean_console(PIPED_WIDTH, stderr=True)
    screen.print(sheet.table())
    if not options.no_score:
        choice = choose(["memorisation"], subject)
        show(screen, evaluate(subject, choice, str(folder.path)), choice.named)
    print_path(path)
    return 0


def extractor_of(options: argparse.Namespace, subject: TrainedModel) -> Extractor | None:
    """The network whose features are compared; None for pixels alone.

    Raises:
        UserError: it cannot be had.
    """
    from gan_cli.evaluation.measures.classifier import no_classifier

    if options.features == "inception":
        return subject.inception()
    if options.features == "classifier" or (
        options.features == "auto" and not no_classifier(subject)
    ):
        return subject.classifier()
    return None


main = command(parser, neighbors)

if __name__ == "__main__":
    main()
