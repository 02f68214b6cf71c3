"""A metric of the user's own: one file and one YAML, by gan-eval and while training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from inprocess import gan_train

from gan_cli.commands import evaluate
from gan_cli.runs.folder import RunFolder

SMALL = ["model=gan", "network=mlp", "network.width=4", "network.depth=1", "data=ring"]
SMALL += ["data.points=200", "batch_size=4", "steps=4", "runtime.device=cpu", "run.dir=run"]
SMALL += ["evaluation.samples=50", "runtime.threads=1"]
DURING = ["evaluation.every=2", "evaluation.metrics=[mine]"]
CODE = """
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue
from gan_cli.evaluation.real_baseline import generated


class Spread(Metric):
    higher_is_better = True

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def unfit(self, subject):
        return "it is for points" if subject.data.is_image else ""

    def measure(self, subject):
        made = generated(subject, subject.options.samples).samples
        value = self.scale * made.std().item()
        return MetricResult([MetricValue("spread", value, protocol=subject.protocol())])
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch) -> Path:
    """The folder of --config-dir, as `mine`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)
    (tmp_path / "mine" / "metric").mkdir(parents=True)
    (tmp_path / "mine" / "my_metrics.py").write_text(CODE)
    target = "_target_: my_metrics.Spread\nscale: 100.0\n"
    (tmp_path / "mine" / "metric" / "mine.yaml").write_text(target)
    return tmp_path


def gan_eval(*arguments: str, status: int = 0) -> None:
    assert evaluate.evaluate(evaluate.parser().parse_args(arguments)) == status


def test_gan_eval_computes_it(own: Path, capsys) -> None:
    gan_train(*SMALL, cwd=own)
    gan_eval("run", "--metrics", "mine", "--config-dir", "mine", "--json", "a", "--device", "cpu")
    (found,) = json.loads(Path("a").read_text())["figures"]
    assert (found["name"], found["better"]) == ("spread", "higher")
    assert found["value"] > 1
    gan_eval("--metrics", "list", "--config-dir", "mine")
    assert "mine" in capsys.readouterr().out


def test_it_selects_the_best_step_while_training(own: Path) -> None:
    said = gan_train("--config-dir", "mine", *SMALL, *DURING, cwd=own)
    run = RunFolder(own / "run")
    best = run.read_status()["best"]
    assert (best["figure"], best["better"]) == ("spread", "higher")
    first, *_ = run.metrics.read_text().splitlines()
    assert json.loads(first)["metrics/spread"] > 1
    folder = str(own / "mine")
    assert f"gan-eval run --config-dir {folder}" in said
    assert f"gan-train resume=run steps=8 --config-dir {folder}" in said
    gan_train("resume=run", "steps=6", "--config-dir", folder, cwd=own)
    assert run.read_status()["step"] == 6


def test_without_its_folder_it_is_unknown(own: Path) -> None:
    said = gan_train(*SMALL, *DURING, cwd=own, expect=2)
    assert "evaluation.metrics = mine: unknown metric" in said
    said = gan_train(*SMALL, "metric=mine", cwd=own, expect=2)
    assert "metric = mine: is not a group of gan-train" in said
    assert "evaluation.metrics=[mine]" in said
