"""gan-train: train, compare and understand GANs from the shell."""

import os

__version__ = "0.1.0"

# How long a thread of OpenMP's spins before it sleeps, read when torch is loaded. By libgomp's own
# count threads take the cores from each other for milliseconds wherever other programs run too:
# docs/performance.md has the figures. LLVM's OpenMP reads another variable.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "8000")
