"""`gan-export`: files that load again, with a card, also where this program is not installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gan_cli
from gan_cli.commands import export, train
from gan_cli.export import formats
from gan_cli.export.networks import Network
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import load_model
from gan_cli.sampling.samples import SampleRequest, latents

pytest.importorskip("safetensors", reason="gan-export needs the extra `export`")
QUICK = ["data.split=test", "steps=1", "sample_every=0", "batch_size=4", "network.width=4"]
ALONE = """\
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gan_cli":
            raise ImportError("gan_cli is not installed here")
sys.meta_path.insert(0, Missing())
"""


def trained(folder: Path, *overrides: str) -> Path:
    assert train.run([*QUICK, *overrides, f"run.dir={folder}"]) == 0
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        export.main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "cgan", "model=cgan", "prior=uniform")


def test_weights_and_their_card(conditional: Path, tmp_path: Path) -> None:
    figure = {"name": "fid", "value": 12.5, "error": 0.5, "better": "lower", "floor": 1.0}
    figure["protocol"] = {"samples": 100, "split": "train"}  # type: ignore[assignment]
    (conditional / "evaluations").mkdir(exist_ok=True)
    path = conditional / "evaluations" / "step_00000001.json"
    path.write_text(json.dumps({"step": 1, "weights": "ema", "figures": [figure]}))
    out = tmp_path / "out"
    assert run(conditional, "--out", out, "--licence", "CC0-1.0") == 0
    assert {one.name for one in out.iterdir()} == {
        *("model.safetensors", "README.md", "config.yaml", "samples.png"),
    }
    card = (out / "README.md").read_text(encoding="utf-8")
    assert card.startswith('---\nlicense: "CC0-1.0"\n')
    assert "| fid | 12.50 ± 0.5000 | lower | 1 | samples 100, split train |" in card
    assert "- mnist: 10,000 images of 1x28x28" in card
    original = load_model(RunFolder(conditional), device="cpu").model
    again = gan_cli.load_model(out / "model.safetensors")
    z, y = latents(original, SampleRequest(3), 0), torch.arange(64) % 10
    with torch.no_grad():
        assert torch.equal(original.generate(z, y), again.generate(z, y))


def test_a_training_begins_with_the_file(
    conditional: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(conditional, "--out", tmp_path) == 0
    file = tmp_path / "model.safetensors"
    other = ["model=cgan", "prior=uniform", *QUICK, "dry_run=true", f"weights={file}"]
    assert train.run(other) == 0
    assert train.run([*other, "data.size=32"]) == 2
    assert "trained on images of 1x28x28, and these are 1x32x32" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a run folder"),
        (["RUN", "--checkpoint", "7"], 'no checkpoint "7"'),
        (["RUN", "--out", "FILE"], "cannot be written"),
    ],
)
def test_what_cannot_be(
    arguments: list[str],
    message: str,
    conditional: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "FILE").write_text("a file")
    places = {"RUN": str(conditional), "FILE": str(tmp_path / "FILE")}
    assert run(*(places.get(word, word) for word in arguments)) != 0
    assert message in capfd.readouterr().err


def test_sentences_have_weights_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    words = ["model=seqgan", "steps=1", "sample_every=0", "batch_size=4", f"run.dir={folder}"]
    assert train.run([*words, "model.rollouts=1"]) == 0
    assert run(folder, "--format", "onnx") == 2
    assert "--format safetensors holds its weights" in capfd.readouterr().err
    assert run(folder) == 0
    assert "model.sample(16)" in (folder / "export" / "README.md").read_text(encoding="utf-8")


def test_a_network_that_a_format_cannot_hold_stops_no_other(
    conditional: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def make(network: Network) -> tuple[bytes, formats.Run]:
        if network.name == "generator":
            raise RuntimeError("\x1b[96mThis is step 3/3\x1b[0m") from ValueError("no eigh")
        return b"held", lambda inputs: network.module(*inputs)

    kinds = {"onnx": (".onnx", make), "torch_export": (".pt2", make)}
    monkeypatch.setattr(formats, "FORMATS", kinds)
    words = (conditional, "--out", tmp_path, "--format", "onnx", "--format", "torch_export")
    assert run(*words) == 0
    assert {one.name for one in tmp_path.iterdir() if one.suffix in (".onnx", ".pt2")} == {
        *("discriminator.onnx", "discriminator.pt2")
    }
    reason = "generator: --format onnx cannot hold it: ValueError: no eigh"
    assert f"no file of the {reason}" in capfd.readouterr().err
    assert reason in (tmp_path / "README.md").read_text(encoding="utf-8")
    only = {"onnx": (".onnx", lambda _: (b"held", lambda inputs: torch.zeros(1)))}
    monkeypatch.setattr(formats, "FORMATS", only)
    assert run(conditional, "--out", tmp_path / "none", "--format", "onnx") == 1
    assert "computes other values when it is read again" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "networks"),
    [
        (("model=cgan", "prior=uniform"), {"generator", "discriminator"}),
        (("model=vae",), {"generator", "encoder"}),
        (("model=infogan",), {"generator", "discriminator"}),
        (("model=gan", "network=sagan"), {"generator", "discriminator"}),
    ],
    ids=["cgan", "vae", "infogan", "sagan"],
)
def test_files_load_where_this_program_is_not(
    model: tuple[str, ...], networks: set[str], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    folder = trained(tmp_path / "run", *model)
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--format", "onnx", "--format", "torch_export") == 0
    files = {path.name for path in out.iterdir() if path.suffix in (".onnx", ".pt2")}
    assert files == {f"{name}{suffix}" for name in networks for suffix in (".onnx", ".pt2")}
    codes = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert len(codes) == 2
    for code in codes:  # the card's own lines
        assert len(code.splitlines()) <= 10
        printed = alone(f"{code}\nprint(tuple(x.shape))", out)
        assert printed == "(16, 1, 28, 28)\n"
    loaded = load_model(RunFolder(folder), device="cpu").model
    z = latents(loaded, SampleRequest(0), 0)[:5]
    y = torch.arange(5) if loaded.conditional else None
    with torch.no_grad():
        torch.save((z, y, loaded.generate(z, y)), tmp_path / "true.pt")
    code = f"""
import numpy as np, onnxruntime, torch
z, y, true = torch.load({str(tmp_path / "true.pt")!r})
inputs = [z] if y is None else [z, y]
found = torch.export.load("generator.pt2").module()(*inputs)
session = onnxruntime.InferenceSession("generator.onnx")
names = [one.name for one in session.get_inputs()]
[other] = session.run(None, {{n: x.numpy() for n, x in zip(names, inputs)}})
print(float((found - true).abs().max()) < 1e-4, float(np.abs(other - true.numpy()).max()) < 1e-4)
"""
    assert alone(code, out) == "True True\n"


def alone(code: str, folder: Path) -> str:
    """What Python prints in a process that cannot import gan_cli."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE + code], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
