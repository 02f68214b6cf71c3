"""`python -m gan_cli.jobs.child MODULE ...`: run a module, and end when who started it is gone.

On Linux the kernel then sends SIGTERM, at which a training saves its state. Elsewhere the process
goes on to its end.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def follow_parent() -> None:
    """Ask for SIGTERM when the parent ends; where it has ended already, exit now."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Become the module that is named first."""
    follow_parent()
    # The working directory goes before no module, also in what torchrun starts.
    os.environ["PYTHONSAFEPATH"] = "1"
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
