"""The measurements lie beside the package, and only in a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]

if (PROJECT / "benchmarks" / "published").is_dir():
    sys.path.append(str(PROJECT))
else:
    collect_ignore_glob = ["test_*.py"]
