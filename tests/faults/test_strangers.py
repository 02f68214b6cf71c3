"""Random files and overrides of a stranger are used or refused with a message, and do no harm.

A short form of `strangers.py`, with Hypothesis, which also makes a failing case small. Each kind
runs in a process of its own: what watches it cannot be removed from a process again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="needs the package hypothesis")
pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[1]
PROGRAM = """
import sys, tempfile, itertools
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/faults"]
import strangers
from hypothesis import HealthCheck, Phase, given, settings, strategies

kind, most, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
strangers.install()
run, numbers = strangers.base_run(folder / "base"), itertools.count()

@settings(derandomize=True, database=None, deadline=None, max_examples=most,
          phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(strategies.randoms(use_true_random=False, note_method_calls=False))
def check(some):
    found = strangers.judged(kind, some, folder / str(next(numbers)), run)
    assert found.kind != strangers.FAULT, found

check()
print(next(numbers), "cases")
"""


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        *(("overrides", 25), ("lines", 4), ("checkpoints", 40), ("data", 60), ("folders", 25)),
        *(("studies", 12), ("sweeps", 12)),
    ],
)
def test_what_a_stranger_made_is_used_or_refused(kind: str, most: int, tmp_path: Path) -> None:
    words = [PROGRAM.format(tests=str(TESTS)), kind, str(most), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", *words], capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[0]) >= most
