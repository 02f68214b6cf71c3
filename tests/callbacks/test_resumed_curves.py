"""A run that is killed and goes on from a checkpoint shows the curves of one that was not."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contexts import context

from gan_cli.callbacks.metrics import MetricsFile
from gan_cli.callbacks.tensorboard import TensorBoard
from gan_cli.runs.curves import trim

RUN = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_resumed_curves import train
train({folder!r}, 0, 20)
os.kill(os.getpid(), signal.SIGKILL)
"""
LOADERS = ["slow"]
if importlib.util.find_spec("tensorboard_data_server"):
    LOADERS.append("fast")


def train(folder: str, first: int, last: int) -> None:
    """What the loop would tell the callbacks at steps first + 1 ... last, without an end."""
    picture = np.zeros((4, 4, 1), dtype=np.uint8)
    watchers = [
        TensorBoard(context(Path(folder), hparams={"model": "gan"})),
        MetricsFile(context(Path(folder))),
    ]
    for watcher in watchers:
        watcher.start(first)
        if first == 0:
            watcher.drawn(0, {"samples/fixed": picture})
    for step in range(first + 1, last + 1):
        for watcher in watchers:
            watcher.logged(step, {"loss/generator": step**2}, {"output/real": torch.ones(3)})
            if step % 5 == 0:
                watcher.drawn(step, {"samples/fixed": picture})
    for watcher in watchers:
        watcher.end(last, "finished" if last == 40 else "interrupted")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for name in ("straight", "resumed"):
        (root / name).mkdir()
    train(str(root / "straight"), 0, 40)
    folder = root / "resumed"
    # Killed at 20 while the last record was being written, with a checkpoint of step 10 ...
    code = RUN.format(tests=str(Path(__file__).parent), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == -9
    (events,) = folder.glob("events.out.tfevents.*")
    events.write_bytes(events.read_bytes()[:-7])
    # ... and interrupted once more, at 30 with a checkpoint of step 25.
    for checkpoint, last in ((10, 30), (25, 40)):
        trim(folder / "metrics.jsonl", checkpoint)
        train(str(folder), checkpoint, last)
    return root


@pytest.mark.parametrize("loader", LOADERS)
def test_the_curves_are_those_of_an_unbroken_run(logs: Path, loader: str, serving: Any) -> None:
    def ready(server: Any) -> bool:
        runs = server.get("runs")
        if set(runs) != {"straight", "resumed"}:
            return False
        return all(server.curve(run, "main/loss/generator")[-1:] == [(40, 1600)] for run in runs)

    with serving(logs, ready, fast=loader == "fast") as server:
        assert server.curve("straight", "main/loss/generator") == [(n, n * n) for n in range(1, 41)]
        for run in ("straight", "resumed"):
            assert server.curve(run, "main/loss/generator") == server.curve(
                "straight", "main/loss/generator"
            )
            pictures = server.get("plugin/images/images", run=run, tag="samples/fixed", sample=0)
            assert [p["step"] for p in pictures] == list(range(0, 41, 5))
            shapes = server.get(
                "plugin/histograms/histograms", run=run, tag="output_histogram/real"
            )
            assert [step for step, *_ in [(s, *r) for _, s, *r in shapes]] == list(range(1, 41))
        texts = server.get("plugin/text/text", run="resumed", tag="config")
        assert [text["step"] for text in texts] == [0, 10, 25], "the settings of each part"
        columns = server.post("plugin/hparams/experiment", {"experimentName": ""})["hparamInfos"]
        assert [column["name"] for column in columns] == ["Model"]


def test_so_is_metrics_jsonl(logs: Path) -> None:
    lines = (logs / "resumed" / "metrics.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    assert [(p["step"], p["loss/generator"]) for p in points] == [(n, n * n) for n in range(1, 41)]
