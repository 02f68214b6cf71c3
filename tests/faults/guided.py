"""Fuzzing guided by coverage (Atheris) of whatever parses text and bytes of a stranger.

    pip install atheris
    python tests/faults/guided.py json|yaml|config|query|point|idx|cifar|npz|journal [-runs=N ...]

Options are libFuzzer's, such as -max_total_time=60. It ends with a traceback and the input that is
at fault: an exception that is no UserError.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

PARSERS = ("json", "yaml", "config", "query", "point", "idx", "cifar", "npz", "journal")
Target = Callable[[bytes], object]


def targets(atheris: Any) -> tuple[dict[str, Target], type[Exception]]:
    """The parsers by name, instrumented, and the exception that refuses."""
    with atheris.instrument_imports(include=["gan_cli", "yaml", "json", "pickletools"]):
        from gan_cli import foreign
        from gan_cli.config.settings import from_yaml
        from gan_cli.data import cifar10_pickle, idx
        from gan_cli.errors import UserError
        from gan_cli.evaluation.image_files import ImageArray
        from gan_cli.managing.query import parse
        from gan_cli.tuning.integrity import check_journal
    file = Path(tempfile.mkdtemp()) / "x.npz"

    def npz(data: bytes) -> None:
        file.write_bytes(data)
        ImageArray(file)

    def journal(data: bytes) -> None:
        file.write_bytes(data)
        with suppress(ValueError):  # which `open_study` puts into its message
            check_journal(file)

    found: list[Target] = [
        lambda data: foreign.parse_json(data, "x"),
        lambda data: foreign.parse_yaml(data.decode(errors="replace"), "x"),
        lambda data: from_yaml(data.decode(errors="replace")),
        lambda data: parse(data.decode(errors="replace")),
        foreign.point,
        lambda data: idx.parse_idx(bytearray(data), Path("x")),
        lambda data: cifar10_pickle.binary_form(data, Path("x")),
        npz,
        journal,
    ]
    return dict(zip(PARSERS, found, strict=True)), UserError


def main() -> None:
    """Fuzz the parser that the command line names."""
    made = argparse.ArgumentParser(description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("parser", choices=PARSERS)
    options, rest = made.parse_known_args()
    atheris: Any = import_module("atheris")
    known, refusal = targets(atheris)
    target = known[options.parser]

    def once(data: bytes) -> None:
        try:
            target(data)
        except refusal as error:
            if not str(error).strip():
                raise

    atheris.Setup([sys.argv[0], *rest], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
