"""Train, compare and understand GANs, from the shell and from Python.

The names in `__all__` are the stable interface for Python. They are imported when they are first
used, as they need torch.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_cli.api import Run, Samples, load_model, open_run, train
    from gan_cli.errors import UserError

__all__ = ["Run", "Samples", "UserError", "__version__", "load_model", "open_run", "train"]
__version__ = "0.1.0"

# How long a thread of OpenMP's spins before it sleeps, read when torch is loaded. By libgomp's own
# count threads take the cores from each other for milliseconds wherever other programs run too:
# docs/performance.md has the figures. LLVM's OpenMP reads another variable.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "8000")


def __getattr__(name: str) -> Any:
    """Import a name of the interface."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "UserError":
        from gan_cli.errors import UserError

        return UserError
    from gan_cli import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
