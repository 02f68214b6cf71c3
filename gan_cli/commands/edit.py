"""`gan-edit RUN`: samples edited on a page in the browser."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from gan_cli.exits import command
from gan_cli.options import Parser, add_model_options, add_run, whole

if TYPE_CHECKING:
    from gan_cli.model import Model
    from gan_cli.sampling.directions import Direction

FOUND = 6  # directions by default
EXAMPLES = """\
examples:
  gan-edit latest                       opens a page in the browser
  gan-edit RUN --pca 6                  with sliders for GANSpace's directions
  gan-edit RUN --directions d.npy       with those of gan-traverse --save
  gan-edit RUN --port 8000 --no-browser     on a server, behind
                                            ssh -L 8000:127.0.0.1:8000 SERVER

Sliders move InfoGAN's codes, and the latent along directions: of SeFa (Shen and
Zhou 2021), GANSpace (Haerkoenen et al. 2020: --pca takes a while) or a file.
Strokes of colour and of shape are followed by the latent (Zhu et al. 2016).
The page shows the image and z.npy for download, which gan-sample --z takes.
The address has a random token and is reached from this machine alone. Ctrl-C
ends it.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-edit", "Edit samples of a run on a page in the browser.", EXAMPLES)
    add = made.add_argument
    add_run(made)
    add("--sefa", type=whole(0), metavar="N", help="directions of the first layer (default: 6)")
    add("--pca", type=whole(1), metavar="N", help="principal components of its features")
    add("--directions", metavar="FILE", help="more vectors [k, dim], of a .npy file")
    add(
        "--port",
        type=whole(0),
        default=0,
        metavar="N",
        help="of the address (default: any that is free)",
    )
    add("--no-browser", action="store_true", help="only print the address")
    add_model_options(made, batches=False)
    return made


def edit(options: argparse.Namespace) -> int:
    """Serve the page until it is interrupted.

    Raises:
        UserError: the run has no images of latents, or the port is taken.
    """
    from gan_cli.console import setup_logging
    from gan_cli.errors import ConfigError
    from gan_cli.runs.load import open_for
    from gan_cli.sampling import latents
    from gan_cli.sampling.editor import Editor
    from gan_cli.sampling.editor_server import EditorServer
    from gan_cli.sampling.output import require_images

    setup_logging(None)
    folder, loaded = open_for(options)
    model = loaded.model
    latents.prior_of(model, "gan-edit")
    require_images(model, "gan-edit")
    vectors = chosen(options, model)
    weights = "averaged" if loaded.weights == "ema" else "raw"
    about = f"step {loaded.step:,}, {weights} weights"
    try:
        server = EditorServer(Editor(model, vectors), folder.path.name, about, options.port)
    except (OSError, OverflowError) as cause:
        raise ConfigError(f"--port {options.port}: {cause}; another one may be free") from cause
    with server:
        print(server.url, flush=True)
        if not options.no_browser:
            open_browser(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def chosen(options: argparse.Namespace, model: Model) -> list[Direction]:
    """The directions of the sliders: by default SeFa's, or GANSpace's where SeFa has none.

    Raises:
        UserError: the model has no such directions, or the file holds none.
    """
    import torch

    from gan_cli.errors import ConfigError
    from gan_cli.sampling import directions
    from gan_cli.sampling.samples import SampleRequest

    amounts = torch.tensor([-directions.REACH, directions.REACH])
    found: list[Direction] = []
    pca, few = options.pca, min(FOUND, model.prior.dim)
    if options.sefa is None:
        try:
            found += directions.sefa(model, few, amounts)
        except ConfigError:
            pca = pca or few
    elif options.sefa:
        found += directions.sefa(model, options.sefa, amounts)
    if pca:
        found += directions.ganspace(model, SampleRequest(), pca, amounts)
    if options.directions:
        found += directions.given(model.prior, options.directions, amounts)
    return found


def open_browser(url: str) -> None:
    """Show a page in the user's browser, where there is a screen for one."""
    import webbrowser

    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if not sys.platform.startswith("linux") or any(map(os.environ.get, screens)):
        webbrowser.open(url)


main = command(parser, edit)

if __name__ == "__main__":
    main()
