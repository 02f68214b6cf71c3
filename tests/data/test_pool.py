import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pool_functions import deadly, faulty, process, squares

from gan_cli.data import pool
from gan_cli.data.pool import Pool
from gan_cli.errors import DataError


def flat(pieces) -> list[int]:
    return [result for piece in pieces for result in piece]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    with Pool(workers) as some:
        assert flat(some.map(squares, range(50), 7, abs)) == [n**2 for n in range(50)]
        assert flat(some.map(squares, [], 7, abs)) == []


def test_work_is_done_elsewhere_or_here() -> None:
    with Pool(2) as some:
        assert os.getpid() not in flat(some.map(process, range(4), 1, abs))
    with Pool(1) as alone:
        assert set(flat(alone.map(process, range(4), 1, abs))) == {os.getpid()}


def test_an_item_that_kills_its_worker_is_found_and_the_others_are_done() -> None:
    numbers = list(range(40))
    numbers[5] = -1
    numbers[33] = -2
    with Pool(2) as some:
        results = flat(some.map(deadly, numbers, 4, lambda number: number * 1000))
    assert results == [n**2 if n >= 0 else n * 1000 for n in numbers]


def test_endless_deaths_end_the_work(monkeypatch) -> None:
    monkeypatch.setattr(pool, "MOST_DEATHS", 2)
    with (
        Pool(2) as some,
        pytest.raises(DataError, match=r"data.workers = 2: .* set data.workers=1"),
    ):
        flat(some.map(deadly, [-1] * 8, 1, abs))


@pytest.mark.parametrize("workers", [1, 2])
def test_other_faults_are_not_hidden(workers: int) -> None:
    with Pool(workers) as some, pytest.raises(LookupError, match="no 3"):
        flat(some.map(faulty, [3, 4], 1, abs))


SCRIPT = """
import sys, time
from pool_functions import process
from gan_cli.data.pool import Pool
if __name__ == "__main__":
    with Pool(2) as some:
        for [pid] in some.map(process, range(4), 1, abs):
            print(pid, flush=True)
        print("end", flush=True)
        time.sleep(60)
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    places = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    job = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": places},
    )
    assert job.stdout is not None
    pids = {int(line) for line in iter(job.stdout.readline, "end\n")}
    assert pids
    assert all(alive(pid) for pid in pids)
    job.send_signal(signal.SIGKILL)
    job.wait()
    job.stdout.close()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended and waits to be collected does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")
