"""Run folders of an earlier version load, give the same samples and resume.

`golden/` holds a run of three steps of each model as version 0.1 left it on 2026-11-21 (tiny
networks, seed 5), and in `expected.json` values of its first sample and the losses of two more
steps, by that version.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from gan_cli.commands.train import compose
from gan_cli.errors import ConfigError
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import load_model
from gan_cli.sampling.samples import SampleRequest, draw

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
    classes = () if then["label"] is None else (then["label"],)
    first = next(draw(model, 1, SampleRequest(seed=1, classes=classes))).flatten()
    values = first[:: max(1, len(first) // 8)][:8]
    torch.testing.assert_close(values, torch.tensor(then["values"]), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
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


TYPED = ("batch_size", "log_every", "sample_every", "seed", "checkpoint.every", "network.width")
TYPED += ("prior.dim", "runtime.device", "runtime.precision", "runtime.threads", "run.dir")
ALSO = {"energy": ("network=mlp", "model.langevin_steps=3")}


def command(name: str) -> list[str]:
    """What was typed when the run was made, which nothing has kept: the same settings follow."""
    saved = yaml.safe_load((GOLDEN / name / "config.yaml").read_text(encoding="utf-8"))
    split = saved["data"].get("split", "train")
    words = [f"model={name}", f"data={saved['choices']['data']}", *ALSO.get(name, ())]
    words += [] if split == "train" else [f"data.split={split}"]
    for key in TYPED:
        node, _, last = key.rpartition(".")
        words.append(f"{key}={(saved[node] if node else saved)[last]}")
    return words


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_command_given_again_goes_on_with_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = shutil.copytree(GOLDEN / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("gan_cli"), "propagate", True)
    for steps in (3, 4):  # the same, and longer
        assert compose([*command(name), f"steps={steps}"]) == 0
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    warned = [r.message for r in caplog.records if r.message.startswith("resuming with")]
    if name == "acgan":
        assert warned[0] == (
            "resuming with model.fake_labels: uniform in the run, data now, which is the default "
            "of this version (classes in the shares of real samples); model.fake_labels=uniform "
            "keeps it"
        )
    else:
        assert warned == []


def test_what_its_command_sets_otherwise_now_is_left_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GOLDEN / "dcgan", tmp_path / "dcgan")
    monkeypatch.chdir(tmp_path)
    assert compose([*command("dcgan"), "steps=4", "optimizer.lr=0.1"]) == 2
    said = capsys.readouterr().err
    assert "(gan-train resume=dcgan takes the run's own settings)" in said
    assert "optimizer.lr: 0.0002 in the run, 0.1 now" in said
    assert compose(["resume=dcgan", "steps=4"]) == 0


@pytest.mark.parametrize("words", [["resume=gan", "steps=4"], ["run.dir=gan", "steps=4"]])
def test_a_run_of_a_newer_version_says_so_in_one_line(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = shutil.copytree(GOLDEN / "gan", tmp_path / "gan")
    monkeypatch.chdir(tmp_path)
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    newer = "# gan-cli's settings of a run, format 99\nnew: 1\n"
    torch.save({**state, "config": newer + state["config"]}, run / "checkpoints" / "last.pt")
    (run / "config.yaml").write_text(newer + state["config"], encoding="utf-8")
    with pytest.raises(ConfigError, match=r"its format 99 is newer than this program's 1; update"):
        load_model(RunFolder(run), device="cpu")
    assert compose([*command("gan")[:2], *words] if words[0] != "resume=gan" else words) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: gan: the run's config: its format 99 is newer than this program's 1; update "
        "gan-cli\n"
    )
