"""Run folders of an earlier version load, give the same samples and resume.

`golden/` holds a run of three steps of each model as version 0.1 left it on 2026-11-21 (tiny
networks, seed 5), and in `expected.json` values of its first sample and the losses of two more
steps, by that version.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import load_model
from gan_cli.sampling.drawing import Wish, draw
from gan_cli.train import compose

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.name for path in GOLDEN.iterdir())
# Labels in training come from the data's shares now, where they were all equally likely.
OTHER_LABELS = ("acgan", "cgan", "cvae", "projection_gan")


def expected(name: str) -> dict:
    return json.loads((GOLDEN / name / "expected.json").read_text(encoding="utf-8"))


def test_every_model_has_a_run() -> None:
    models = Path(__file__).parents[2] / "conf" / "model"
    first = {path.stem for path in models.glob("*.yaml")}
    assert set(NAMES) <= first
    assert len(NAMES) >= 16


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_the_same_samples(name: str) -> None:
    then = expected(name)
    model = load_model(RunFolder(GOLDEN / name), device="cpu").model
    first = next(draw(model, 1, Wish(seed=1, label=then["label"]))).flatten()
    values = first[:: max(1, len(first) // 8)][:8]
    torch.testing.assert_close(values, torch.tensor(then["values"]), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_it_resumes_with_the_same_losses(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(GOLDEN / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert compose([f"resume={name}", "steps=5"]) == 0
    points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = {point["step"]: point for point in points}
    for step, losses in expected(name)["losses"].items():
        for loss, value in losses.items():
            if name in OTHER_LABELS:
                assert abs(found[int(step)][loss]) < 10 + 2 * abs(value)
            else:
                assert found[int(step)][loss] == pytest.approx(value, rel=1e-3, abs=1e-5), loss
