"""metrics.jsonl."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
from contexts import context

from gan_cli.callbacks.metrics import MetricsFile
from gan_cli.errors import UserError


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_one_object_per_point_that_strict_readers_take(tmp_path: Path) -> None:
    before = time.time()
    metrics = MetricsFile(context(tmp_path))
    metrics.start(0)
    metrics.logged(50, {"loss/generator": 0.7, "output/real": math.nan}, {})
    metrics.logged(100, {"loss/generator": math.inf, "output/real": -math.inf}, {})
    text = (tmp_path / "metrics.jsonl").read_text()  # before the end: lines are there at once
    metrics.end(100, "finished")
    assert text.endswith("}\n")
    first, second = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert before - 1 <= first.pop("time") <= second.pop("time") <= time.time() + 1
    assert first == {"step": 50, "loss/generator": 0.7, "output/real": "nan"}
    assert second == {"step": 100, "loss/generator": "inf", "output/real": "-inf"}
    assert math.isnan(float(first["output/real"]))


def test_a_resumed_run_appends(tmp_path: Path) -> None:
    for step in (0, 50):
        metrics = MetricsFile(context(tmp_path))
        metrics.start(step)
        metrics.logged(step + 50, {"x": 1.0}, {})
        metrics.end(step + 50, "interrupted")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [50, 100]


def test_an_evaluation_has_a_line_of_its_own(tmp_path: Path) -> None:
    metrics = MetricsFile(context(tmp_path))
    metrics.start(0)
    metrics.logged(50, {"x": 1.0}, {})
    metrics.evaluated(50, {"metrics/kid": math.nan}, {})
    metrics.end(50, "finished")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line.get("metrics/kid")) for line in lines] == [(50, None), (50, "nan")]


def test_a_deleted_file_ends_the_run(tmp_path: Path) -> None:
    metrics = MetricsFile(context(tmp_path))
    metrics.start(0)
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"metrics\.jsonl: cannot be written: deleted"):
        metrics.logged(50, {"x": 1.0}, {})
    metrics.end(50, "failed")
    metrics.end(50, "failed")
