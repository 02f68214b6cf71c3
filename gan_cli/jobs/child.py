"""`python -m gan_cli.jobs.child MODULE ...`: run a module, and end when its parent has ended.

On Linux the kernel then sends SIGTERM, at which a training saves its state. Elsewhere the process
runs to its end.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def follow_parent() -> None:
    """Ask for SIGTERM when the parent ends; exit now if it already has."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Become the module named first."""
    follow_parent()
    # The working directory comes before no module, not in torchrun's processes either.
    os.environ["PYTHONSAFEPATH"] = "1"
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
