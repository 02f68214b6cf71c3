"""`gan-traverse RUN`: what a trained model makes of latents that move in one direction."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

from gan_cli.exits import command
from gan_cli.options import (
    Parser,
    add_latent_options,
    add_model_options,
    add_picture_options,
    add_run,
    integers,
    positive,
    whole,
)

if TYPE_CHECKING:
    from torch import Tensor

    from gan_cli.runs.load import Loaded
    from gan_cli.sampling.directions import Direction, Sweep
    from gan_cli.sampling.samples import SampleRequest

FEW = 32  # dimensions of a latent that are all swept by default
FOUND = 5  # directions that are looked for by default
WIDTH = 80  # columns of notes
ROWS = 8  # of a sheet of few sweeps
LABELLED = 200  # samples at each step whose classes are counted

EXAMPLES = """\
examples:
  gan-traverse latest                   codes, or few dimensions, else --sefa
  gan-traverse RUN --dims 0-9 -n 3      ten dimensions, of three samples each
  gan-traverse RUN --sefa 8 --out sefa.png      of the generator's first layer
  gan-traverse RUN --pca 8 --save pca.npy       of its features on samples
  gan-traverse RUN --toward class=7     across the boundary of a class
  gan-traverse RUN --directions pca.npy --out pca.gif

One row for each sweep and sample. --codes and --dims put values into the
latent, the others add a vector, from -3 to 3 of the prior's deviations along
it. --sefa is the closed form of Shen and Zhou 2021, --pca GANSpace (Haerkoenen
et al. 2020), --toward the linear boundary of InterFaceGAN (Shen et al. 2020);
its labels are those of the evaluation's classifier (class=NAME), or of an
InfoGAN's recognition (category=K). They may be combined. --out ends in .png,
.gif, .webp or .mp4.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-traverse", "Sweep codes, dimensions and directions of a run.", EXAMPLES)
    add = made.add_argument
    add_run(made)
    add("--codes", action="store_true", help="each code of InfoGAN and the like")
    add("--dims", type=integers, metavar="LIST", help="dimensions of the latent, as 3,5 or 0-9")
    count = {"nargs": "?", "const": FOUND, "type": whole(1), "metavar": "N"}
    add("--sefa", **count, help=f"so many directions of the first layer ({FOUND})")
    add("--pca", **count, help=f"so many principal components of its features ({FOUND})")
    add(
        "--toward",
        action="append",
        default=[],
        metavar="class=NAME",
        help="the direction that leads to a class (or category=K); may be given again",
    )
    add("--directions", metavar="FILE", help="vectors [k, dim] of a .npy file")
    add("--steps", type=whole(2), default=9, metavar="N", help="steps of a sweep (default: 9)")
    add("--reach", type=positive, metavar="X", help="from -X to X (default: 3; of uniform codes 1)")
    add_latent_options(made)
    add("-n", "--number", type=whole(1), metavar="N", help="samples that are swept")
    add("--samples", type=whole(2), default=6000, metavar="N", help="labelled (default: 6000)")
    add("--data-root", metavar="DIR", help="where the data is now, if it has moved")
    add_picture_options(made, 8)
    add("--save", metavar="FILE", help="write the directions' vectors to a .npy file")
    add_model_options(made)
    return made


def traverse(options: argparse.Namespace) -> int:
    """Write a sheet, or an animation, of all sweeps, and print where it is.

    Raises:
        UserError: it cannot be drawn or written.
    """
    import torch

    from gan_cli.console import print_path, setup_logging
    from gan_cli.errors import ConfigError
    from gan_cli.exits import say
    from gan_cli.images import write_animation, write_png
    from gan_cli.sampling import latents
    from gan_cli.sampling.directions import Direction
    from gan_cli.sampling.output import opened, stem
    from gan_cli.sampling.samples import requested
    from gan_cli.sampling.sweeps import Sheet

    setup_logging(None)
    output, folder, loaded = opened(options, "gan-traverse")
    model = loaded.model
    request = requested(options, model)
    sweeps = chosen(options, loaded, request)
    vectors = [sweep.vector for sweep in sweeps if isinstance(sweep, Direction)]
    if options.save and not vectors:
        raise ConfigError(
            f"--save {options.save}: there are no vectors without --sefa, --pca, --toward or "
            "--directions"
        )
    for sweep in sweeps:
        if sweep.note:
            say(textwrap.fill(f"{sweep.name}: {sweep.note}", WIDTH, subsequent_indent="  "))
    number = options.number or max(1, ROWS // len(sweeps))
    if request.z is not None and number > len(request.z):
        if options.number:
            raise ConfigError(f"-n {number}: {options.z} holds {len(request.z)} latents")
        number = len(request.z)
    sheet = Sheet.draw(model, sweeps, request, number)
    suffix = output.suffix or ".png"
    path = output.path(folder, stem("traversal", loaded, request, options.code), suffix)
    if suffix == ".png":
        write_png(path, sheet.picture(options.zoom))
    else:
        frames = sheet.frames(options.zoom)
        write_animation(path, frames + frames[-2:0:-1], 1 / options.fps)
    print_path(path)
    if options.save:
        print_path(latents.write(options.save, torch.stack(vectors)))
    return 0


def chosen(options: argparse.Namespace, loaded: Loaded, request: SampleRequest) -> list[Sweep]:
    """The sweeps that the options ask for; without any, codes, few dimensions or SeFa.

    Raises:
        UserError: the model has no such codes, dimensions, directions or classes.
    """
    from dataclasses import replace

    import torch

    from gan_cli.sampling import directions
    from gan_cli.sampling.codes import places

    model, steps = loaded.model, options.steps
    reach = options.reach or directions.REACH
    amounts = torch.linspace(-reach, reach, steps)
    asked = (options.dims, options.sefa, options.pca, options.directions)
    by_codes, dims, sefa = options.codes, options.dims or [], options.sefa
    if not options.codes and not options.toward and not any(asked):
        by_codes = bool(places(model.prior))
        dims = [] if by_codes or model.prior.dim > FEW else list(range(model.prior.dim))
        sefa = None if by_codes or dims else FOUND
    found: list[Sweep] = []
    if by_codes:
        found += directions.codes(model.prior, steps, options.reach)
    found += directions.coordinates(model.prior, dims, steps, options.reach)
    if sefa:
        found += directions.sefa(model, sefa, amounts)
    if options.pca:
        found += directions.ganspace(model, replace(request, z=None), options.pca, amounts)
    for target in options.toward:
        found.append(toward(target, options, loaded, replace(request, z=None), amounts))
    if options.directions:
        found += directions.given(model.prior, options.directions, amounts)
    return found


def toward(
    target: str,
    options: argparse.Namespace,
    loaded: Loaded,
    request: SampleRequest,
    amounts: Tensor,
) -> Direction:
    """The direction to a class or category; its note says how many samples arrive.

    Raises:
        UserError: there is no such class, the samples cannot be labelled, or too few are of it.
    """
    from dataclasses import replace

    import torch

    from gan_cli.console import progress_bar
    from gan_cli.formatting import percent
    from gan_cli.sampling import samples as sampling
    from gan_cli.sampling.directions import boundary
    from gan_cli.sampling.latents import CHUNK

    model, n = loaded.model, options.samples
    is_of = labeller(target, options, loaded)
    chunks = -(-n // CHUNK)
    z = torch.cat([sampling.latents(model, request, number) for number in range(chunks)])[:n]
    positive = []
    with progress_bar(f"samples for {target}", n) as advance:
        for images in sampling.draw(model, n, request, options.batch_size):
            positive.append(is_of(images))
            advance(len(images))
    made = boundary(model.prior, z, torch.cat(positive), target, amounts)
    few = made.along(z[:LABELLED])  # [samples, steps, dim]
    y = sampling.labels(model, request, 0, len(few))
    shares = []
    with torch.no_grad():
        for step in range(few.shape[1]):
            images = sampling.decode(model, few[:, step].contiguous(), y).float().cpu()
            shares.append(percent(is_of(images).double().mean().item(), 0))
    told = (
        f"from {amounts[0]:+g} to {amounts[-1]:+g}, {', '.join(shares)} of {len(few)} samples are"
    )
    return replace(made, note=f"{made.note}; {told}")


def labeller(
    target: str, options: argparse.Namespace, loaded: Loaded
) -> Callable[[Tensor], Tensor]:
    """A function from images [n, C, H, W] to whether they are of the class or category, bool [n].

    Raises:
        UserError: there is no such class or category, or nothing that could recognise it.
    """
    from gan_cli.errors import ConfigError
    from gan_cli.evaluation.features import quantised
    from gan_cli.evaluation.metric import Options
    from gan_cli.evaluation.run_data import with_data
    from gan_cli.model import Recognises
    from gan_cli.sampling.codes import code_named, known_class

    model = loaded.model
    name, equals, value = (word.strip() for word in target.partition("="))
    if not equals or not value:
        raise ConfigError(f"--toward {target}: class=NAME or category=K is required")
    if name != "class":
        place = code_named(name, f"--toward {target}", model.prior)
        if not place.categories or not isinstance(model, Recognises):
            raise ConfigError(f"--toward {target}: a class or a category is required")
        category = int(place.read(value)[0].argmax())

        def in_category(images: Tensor) -> Tensor:
            found = model.recognise(images.to(model.device))[place.name]
            return found.logits.argmax(1).cpu() == category  # type: ignore[attr-defined]

        return in_category
    if model.conditional:
        raise ConfigError(
            f"--toward {target}: the class of this model is no part of its latent; "
            f"gan-interpolate --class FROM,{value} goes from class to class"
        )
    data = model.data
    number = known_class(value, data.class_names, data.classes, f"--toward {target}")
    about = Options(options.samples, options.seed, batch_size=options.batch_size)
    classifier = with_data(loaded, about, options.data_root).classifier()

    def in_class(images: Tensor) -> Tensor:
        logits = classifier.features(quantised(images))[1]
        assert logits is not None
        return logits.argmax(1).cpu() == number

    return in_class


main = command(parser, traverse)

if __name__ == "__main__":
    main()
