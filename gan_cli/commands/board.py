"""`gan-board RUNS`: runs in TensorBoard."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from gan_cli.options import Parser, whole

EXAMPLES = """\
examples:
  gan-board                   all below runs/, at the address that is printed
  gan-board latest            one run: a folder, part of its name, or latest
  gan-board runs/wgan-mnist --port 6007

Ctrl-C ends it. gan-watch shows a table in the terminal instead.
"""
KEPT = "images=100,scalars=10000"  # of each tag; TensorBoard alone keeps ten images
REFRESH = 5.0  # seconds between looks for new runs


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-board", "Show runs in TensorBoard.", EXAMPLES)
    text = "a run, or a folder of runs (default: runs)"
    made.add_argument("runs", nargs="?", metavar="RUNS", help=text)
    made.add_argument(
        "--port", type=whole(0, 65_535), default=6006, metavar="N", help="default: 6006"
    )
    made.add_argument("--host", default="localhost", help="0.0.0.0: also for other machines")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 1 where TensorBoard fails, or 2 where there is no such run."""
    from gan_cli.exits import program

    program(lambda: board(parser().parse_args(arguments)))


def board(options: argparse.Namespace) -> int:
    """Serve runs until TensorBoard is stopped; the exit status.

    Raises:
        CheckpointError: there is no such run.
        ConfigError: no run was trained here.
    """
    from gan_cli.errors import ConfigError
    from gan_cli.runs.folder import DEFAULT_ROOT
    from gan_cli.runs.lookup import find

    folder = Path(options.runs or DEFAULT_ROOT)
    if not folder.is_dir():
        if options.runs is None:
            raise ConfigError(f"{folder}/: no such folder here; gan train makes the first run")
        folder = find(folder).path
    words = ["--samples_per_plugin", KEPT, "--port", str(options.port), "--host", options.host]
    with TemporaryDirectory(prefix="gan-board-") as place:
        links = Links(folder, Path(place))
        try:
            links.refresh()
        except OSError:  # a system without links for everybody
            return serve(folder, words)
        Thread(target=links.keep_fresh, daemon=True).start()
        return serve(links.place, words)


def serve(folder: Path, words: Sequence[str]) -> int:
    """Run TensorBoard in this process, with further options; the exit status."""
    from tensorboard import default, program

    from gan_cli.exits import DONE, FAILED

    server = program.TensorBoard(default.get_plugins())
    server.configure(("gan-board", "--logdir", str(folder), *words))
    sys.stdout.flush()
    return FAILED if server.main() else DONE  # its own failure is -1


DATED = re.compile(r"\d{4}(?P<day>\d{4})-(?P<minute>\d{4})(?P<second>\d{2})-.*")  # a run's own name


class Links:
    """A folder with a link to each run, under a short name: TensorBoard shows names of folders.

    Args:
        root: a run, or a folder of runs.
        place: an empty folder for the links.
    """

    def __init__(self, root: Path, place: Path) -> None:
        self.root, self.place = root.absolute(), place
        self._linked: dict[Path, Path] = {}  # link of each run

    def keep_fresh(self) -> None:
        """Link new runs as they come."""
        while True:
            time.sleep(REFRESH)
            with suppress(OSError):
                self.refresh()

    def refresh(self) -> None:
        """Link the runs that are new, and the real samples beside them; unlink removed ones."""
        from gan_cli.runs.folder import REAL, below, is_run

        if is_run(self.root):
            found, base = [self.root], self.root.parent.parent
        else:
            found, base = [*below(self.root), *(self.root / REAL).glob("[!.]*")], self.root
        for run in found:
            if run not in self._linked:
                self._link(run, base)
        for run in [run for run in self._linked if not run.is_dir()]:
            self._linked.pop(run).unlink()

    def _link(self, run: Path, base: Path) -> None:
        """Link a run under its shortest name that is no other one's."""
        path = run.relative_to(base)
        names = [name for name in short_names(path) if name == path or not (base / name).exists()]
        links = (self.place / name for name in names)
        link = next((link for link in links if not link.is_symlink()), None)
        if link is None or any(
            self.place in one.parents and one.is_symlink() for one in link.parents
        ):
            return  # a link would lead into another run
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(run, target_is_directory=True)
        self._linked[run] = link


def short_names(path: Path) -> Iterator[Path]:
    """Names for the run at `path`, shortest first: of a dated one month, day and time alone."""
    if dated := DATED.fullmatch(path.name):
        short = f"{dated['day']}-{dated['minute']}"
        yield path.with_name(short)
        yield path.with_name(short + dated["second"])
    yield path


if __name__ == "__main__":
    main()
