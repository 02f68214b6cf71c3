"""A run that is killed at any moment and resumed leaves what one leaves that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (PROJECT / "benchmarks").is_dir(), reason="only in a checkout"),
]
# The last step has a checkpoint, but no point of the curves in its turn; so has the one before.
OFF_THE_CURVES = ("steps=6", "log_every=4", "sample_every=3", "checkpoint.every=3")
OFF_THE_CURVES += ("checkpoint.keep=1", "evaluation.every=3")
# The last step's pictures come out of turn, and no step has a checkpoint and an evaluation.
OFF_THE_PICTURES = ("steps=6", "log_every=2", "sample_every=4", "checkpoint.every=3")
OFF_THE_PICTURES += ("checkpoint.keep=2", "evaluation.every=4")


def told(*words: str) -> str:
    """What a module says that must succeed."""
    process = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def killed(folder: Path, *arguments: str) -> None:
    """Kill, resume and compare; fails with the differences."""
    words = arguments[-1].split()
    said = told("benchmarks.faults.kills", *arguments[:-1], str(folder), *words)
    assert " 0 wrong" in said


def test_a_run_killed_at_its_most_delicate_moments_is_resumed_exactly(tmp_path: Path) -> None:
    moments = (
        "os.rename run/config.yaml",  # the status is there already
        "rest run/metrics.jsonl",  # within a line
        "os.link run/checkpoints/.best.pt",  # the state says that it is the best
        "os.rename run/checkpoints/step_00000006.pt",
        "os.rename run/status.json",  # all but called finished
    )
    before = [word for moment in moments for word in ("--before", moment)]
    killed(tmp_path, *before, " ".join(OFF_THE_CURVES))


def test_a_run_killed_before_every_second_file_operation_is_resumed_exactly(tmp_path: Path) -> None:
    killed(tmp_path, "--every", "2", " ".join(OFF_THE_CURVES))


def test_so_is_one_whose_last_pictures_come_out_of_turn(tmp_path: Path) -> None:
    killed(tmp_path, "--every", "2", " ".join(OFF_THE_PICTURES))


def test_so_are_caches_sweeps_and_studies() -> None:
    """One seeded moment of each part; `benchmarks.faults` is the long form."""
    said = told("benchmarks.faults", "--kills", "8", "--seed", "1")
    assert "| all | 8 | 8 | 0 |" in said
