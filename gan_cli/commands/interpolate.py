"""`gan-interpolate RUN`: what a trained model makes of the latents between latents."""

from __future__ import annotations

import argparse

from gan_cli.exits import command
from gan_cli.options import (
    Parser,
    add_latent_options,
    add_model_options,
    add_picture_options,
    add_run,
    integers,
    whole,
)

EXAMPLES = """\
examples:
  gan-interpolate latest                eight paths between samples, PNG and GIF
  gan-interpolate RUN --method slerp -n 6       or lerp, matched
  gan-interpolate RUN --seeds 3,14,15 --loop --out loop.gif     a closed loop
  gan-interpolate RUN --class 0-9       one latent from class to class
  gan-interpolate RUN --code category=0:9       the same of InfoGAN's categories
  gan-interpolate RUN --z points.npy --out path.mp4     latents [n, dim]

Path i leads through samples 2i and 2i+1 (--points 3: 3i to 3i+2), with --seeds
through sample i of each. --z may hold several paths, [paths, n, dim].
Methods: lerp is the straight line, slerp the arc (Shoemake 1985), matched the
line whose points are distributed as the prior (Agustsson et al. 2019); by
default the prior's own. --out ends in .png (a row for each path), .gif, .webp
or .mp4 (all paths at once, there and back unless --loop). MP4 needs the extra
video.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-interpolate", "Interpolate between latents or classes of a run.", EXAMPLES)
    add = made.add_argument
    add_run(made)
    add("--method", choices=("lerp", "slerp", "matched"), help="default: the prior's")
    add("--seeds", type=integers, default=[], metavar="LIST", help="points, as 3,14,15 or 0-7")
    add("--points", type=whole(2), metavar="N", help="on each path (default: 2)")
    add("--loop", action="store_true", help="back to the first point")
    add_latent_options(made)
    add("-n", "--number", type=whole(1), metavar="N", help="how many paths (default: 8)")
    add("--steps", type=whole(2), metavar="N", help="images from point to point, of pictures")
    add("--frames", type=whole(2), default=24, metavar="N", help="the same of animations")
    add_picture_options(made, 16)
    add("--save-z", metavar="FILE", help="write the latents of the pictures to a .npy file")
    add_model_options(made)
    return made


def interpolate(options: argparse.Namespace) -> int:
    """Write a picture and an animation, or the one that is named, and print where they are.

    Raises:
        UserError: it cannot be drawn or written.
    """
    import math

    from gan_cli.console import print_path, setup_logging
    from gan_cli.exits import say
    from gan_cli.images import write_animation, write_png
    from gan_cli.sampling import latents
    from gan_cli.sampling.output import opened, picture, stem
    from gan_cli.sampling.paths import Paths, points_of
    from gan_cli.sampling.samples import requested

    setup_logging(None)
    output, folder, loaded = opened(options, "gan-interpolate")
    model = loaded.model
    request = requested(options, model, ndim=3)
    points, classes = points_of(model, request, options.number, options.seeds, options.points)
    paths = Paths(model.prior, points, options.method or "", options.loop, classes)
    for line in paths.report():
        say(line)
    name = stem(paths.method or "interpolation", loaded, request, options.code)
    steps = options.steps or (10 if paths.pieces == 1 else max(3, 20 // paths.pieces + 1))
    written = []
    if output.suffix in ("", ".png"):
        rows = paths.images(model, steps)
        written.append(output.path(folder, name, ".png"))
        write_png(written[-1], picture(rows.flatten(0, 1), rows.shape[1], options.zoom))
    if output.suffix != ".png":
        moments = paths.images(model, options.frames)
        across = math.ceil(math.sqrt(len(moments)))
        frames = [picture(moments[:, k], across, options.zoom) for k in range(moments.shape[1])]
        back = [] if options.loop else frames[-2:0:-1]
        written.append(output.path(folder, name, output.suffix or ".gif"))
        write_animation(written[-1], frames + back, 1 / options.fps)
    if options.save_z:
        written.append(latents.write(options.save_z, paths.at(steps)))
    for path in written:
        print_path(path)
    return 0


main = command(parser, interpolate)

if __name__ == "__main__":
    main()
