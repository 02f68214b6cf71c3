"""Weights to begin a training with: what fits, what is refused, and why."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch
from composing import session_of

from gan_cli.commands import train
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.model import Model
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.weights import SavedWeights, located, read, start_from

QUICK = ["data.split=test", "steps=1", "sample_every=0", "batch_size=4", "network.width=4"]


def made(*overrides: str) -> Model:
    torch.manual_seed(len(overrides))
    return session_of("data.split=test", *overrides).model


def saved(model: Model) -> SavedWeights:
    return SavedWeights("there", model.state_dict(), model.data, model.conditional)


def test_all_weights_are_taken() -> None:
    first, second = made("model=dcgan"), made("model=dcgan", "seed=1")
    assert start_from(second, saved(first)) == []
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))  # noqa: B905


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("data.size=32",), "trained on images of 1x28x28, and these are 1x32x32 .data.size="),
        (("network.discriminator_norm=layer",), "tensors not as in this model"),
        (("model=cgan",), "generator.layers.0.weight: .100,.* there, .110,.* here"),
    ],
)
def test_other_networks_are_refused_with_the_reason(
    overrides: tuple[str, ...], reason: str
) -> None:
    other = made("model=dcgan", *overrides)
    with pytest.raises(ConfigError, match=reason) as caught:
        start_from(other, saved(made("model=dcgan")))
    assert "weights.strict=false to take what fits" in str(caught.value)


def test_classes_count_where_the_model_knows_them() -> None:
    model = made("model=cgan")
    weights = saved(model)
    fewer = SavedWeights("there", weights.tensors, _with_classes(model, 5), True)
    with pytest.raises(ConfigError, match="trained on 5 classes, and this data has 10"):
        start_from(model, fewer)
    unlabelled = made("model=dcgan")
    start_from(unlabelled, SavedWeights("x", unlabelled.state_dict(), fewer.data, False))


def _with_classes(model: Model, classes: int):
    from dataclasses import replace

    return replace(model.data, classes=classes)


def test_without_strict_the_rest_is_listed() -> None:
    source, target = made("model=dcgan"), made("model=cgan")
    before = target.state_dict()["generator.layers.0.weight"].clone()
    left = start_from(target, saved(source), strict=False)
    assert [line.partition(":")[0].split()[0] for line in left] == [
        "generator.layers.0.weight",
        "discriminator.label.table.weight",
    ]
    after = target.state_dict()
    assert torch.equal(after["generator.layers.0.weight"], before)
    name = "discriminator.first.weight"
    assert torch.equal(after[name], source.state_dict()[name])


def test_weights_of_another_kind_of_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="none of its 1 tensors"):
        start_from(made("model=dcgan"), SavedWeights("x", {"a": torch.zeros(1)}), strict=False)


def test_there_must_be_such_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^weights.source = none is not a run folder"):
        located("none")
    with pytest.raises(CheckpointError, match="no such file"):
        located("x.safetensors")
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"name its file: .*exported/model.safetensors"):
        located(str(exported))
    pytest.importorskip("safetensors", reason="weights in .safetensors need the extra `export`")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(CheckpointError, match="is not an intact safetensors file"):
        read(str(bad))


def test_a_run_begins_with_the_weights_of_another_and_resumes_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert train.run(["model=dcgan", *QUICK, f"run.dir={first}"]) == 0
    begin = ["model=dcgan", *QUICK, f"weights={first}", f"run.dir={second}", "optimizer.lr=1e-9"]
    with caplog.at_level(logging.INFO):
        assert train.run(begin) == 0
    assert f"begins with the weights of {first} at step 1" in caplog.text
    states = [checkpoint.load(checkpoint.find(RunFolder(run))) for run in (first, second)]
    mine, theirs = (state["model"]["discriminator.first.weight"] for state in states)
    assert torch.allclose(mine, theirs, atol=1e-7)
    ours, average = (state["averages"]["0.layers.0.weight"] for state in states)
    assert torch.allclose(ours, average, atol=1e-7)
    first.rename(tmp_path / "gone")
    assert train.run([f"resume={second}", "steps=2"]) == 0


@pytest.mark.parametrize("wish", ["weights", "resume"])
def test_a_strangers_run_cannot_have_its_own_code_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wish: str,
) -> None:
    """Also not where its module lies in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert train.run(["model=dcgan", *QUICK, "run.dir=stranger"]) == 0
    file = checkpoint.find(RunFolder("stranger"))
    state = checkpoint.load(file)
    state["config"] = state["config"].replace("gan_cli.models.gan.GAN", "evil.Bad")
    torch.save(state, file)
    Path("evil.py").write_text("open('ran', 'w').close()\nclass Bad: pass\n")
    begin = ["model=dcgan", *QUICK, "weights=stranger"]
    assert train.run(begin if wish == "weights" else ["resume=stranger", "steps=2"]) == 2
    assert "evil.Bad: not part of gan_cli; if you trust it, add" in capsys.readouterr().err
    assert not Path("ran").exists()
