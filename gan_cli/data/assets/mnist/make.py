"""Pack the raw MNIST files for the program: `python make.py FOLDER_WITH_THE_IDX_FILES`.

Checks each raw file, writes `<name>.gz` beside this script (no name, no time, level 9, so that
the same zlib gives the same bytes) and prints the table of hashes for README.md.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

RAW_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def main(source: Path) -> None:
    """Pack the four files of `source`; stop at the first that is not the original."""
    for name, expected in RAW_SHA256.items():
        raw = (source / name).read_bytes()
        if hashlib.sha256(raw).hexdigest() != expected:
            sys.exit(f"{source / name}: not the original MNIST file")
        packed = gzip.compress(raw, compresslevel=9, mtime=0)
        (Path(__file__).parent / f"{name}.gz").write_bytes(packed)
        print(f"| {name}.gz | {len(packed):,} | {hashlib.sha256(packed).hexdigest()} |")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
