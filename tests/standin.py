"""A stand-in for a training, for tests of sweeps and processes.

    python -m standin run.dir=RUN act=finish|fail|hang|die|report

`hang` waits until SIGTERM or SIGINT asks it to save; `report` prints its environment.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from gan_cli.runs import folder
from gan_cli.runs.folder import RunFolder


def main() -> None:
    """Act as `act` names, in the run folder."""
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # until they are waited for
    values = dict(argument.split("=", 1) for argument in sys.argv[1:])
    act = values.get("act", "finish")
    if act == "report":
        print(json.dumps(dict(os.environ)))
        return
    run = RunFolder(values["run.dir"])
    run.path.mkdir(parents=True, exist_ok=True)
    with run.lock():
        before = run.read_status()["step"] or 0
        run.write_status(folder.RUNNING, before, steps=20, pid=os.getpid())
        if act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "fail":
            print("error: this never works")
            run.write_status(folder.FAILED, before + 10, error="it broke at step 10")
            sys.exit(1)
        if act == "hang":
            signal.sigwait(stops)
            run.write_status(folder.INTERRUPTED, before + 5)
            sys.exit(130)
        run.write_status(folder.FINISHED, 20)


if __name__ == "__main__":
    main()
