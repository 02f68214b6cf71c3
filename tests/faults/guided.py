"""Fuzzing guided by coverage (Atheris) of whatever parses text and bytes of a stranger.

    pip install atheris
    python tests/faults/guided.py json|yaml|config|query|point|idx|cifar|npz [-runs=N ...]

Options are libFuzzer's, such as -max_total_time=60. It ends with a traceback and the input that is
at fault: an exception that is no UserError.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

atheris: Any = import_module("atheris")
with atheris.instrument_imports(include=["gan_cli", "yaml", "json", "pickletools"]):
    from gan_cli import foreign
    from gan_cli.config.settings import from_yaml
    from gan_cli.data import cifar10_pickle, idx
    from gan_cli.errors import UserError
    from gan_cli.evaluation.image_files import ImageArray
    from gan_cli.managing.query import parse

FILE = Path(tempfile.mkdtemp()) / "x.npz"


def _npz(data: bytes) -> None:
    FILE.write_bytes(data)
    ImageArray(FILE)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "json": lambda data: foreign.parse_json(data, "x"),
    "yaml": lambda data: foreign.parse_yaml(data.decode(errors="replace"), "x"),
    "config": lambda data: from_yaml(data.decode(errors="replace")),
    "query": lambda data: parse(data.decode(errors="replace")),
    "point": foreign.point,
    "idx": lambda data: idx.parse_idx(bytearray(data), Path("x")),
    "cifar": lambda data: cifar10_pickle.binary_form(data, Path("x")),
    "npz": _npz,
}


def main() -> None:
    """Fuzz the target named first."""
    target = TARGETS[sys.argv.pop(1)]

    def once(data: bytes) -> None:
        try:
            target(data)
        except UserError as error:
            if not str(error).strip():
                raise

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
