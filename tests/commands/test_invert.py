"""`gan-invert`: latents for the other commands, reconstructions and completed images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.commands import invert, train
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import load_model

QUICK = ["data.split=train", "steps=1", "sample_every=0", "batch_size=4", "network.width=4"]
FEW = ["--starts", "2", "--steps", "3", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "cgan"
    assert train.run(["model=cgan", *QUICK, f"run.dir={place}"]) == 0
    return place


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        invert.main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def picture(path: Path) -> Path:
    levels = np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)
    Image.fromarray(levels).save(path)
    return path


def test_latents_and_what_they_make(folder: Path, tmp_path: Path) -> None:
    photo, out = picture(tmp_path / "photo.png"), tmp_path / "out"
    assert run(folder, photo, "--out", out, *FEW) == 0
    z = np.load(out / "z.npy", allow_pickle=False)
    assert z.shape == (1, 100)
    assert z.dtype == np.float32
    found = json.loads((out / "report.json").read_text())
    assert (found["step"], found["starts"], len(found["images"])) == (1, 2, 1)
    model = load_model(RunFolder(folder), device="cpu").model
    y = torch.tensor([found["images"][0]["class"]])
    with torch.no_grad():
        made = model.generate(torch.from_numpy(z), y)
    with Image.open(photo) as image:
        true = torch.from_numpy(np.array(image)).float() / 127.5 - 1
    value = 10 * np.log10(4 / (made[0, 0] - true).square().mean().item())
    assert found["images"][0]["psnr"] == pytest.approx(value, abs=1e-3)
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (2 * 90 + 6, 84 + 16 + 6 + 6)


def test_completion_of_held_out_images(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ("--held-out", 2, "--mask", "center", "--class", 3, "--out", out)
    assert run(folder, *options, *FEW) == 0
    assert "PSNR in the hole" in capfd.readouterr().err
    found = json.loads((out / "report.json").read_text())
    assert [one["class"] for one in found["images"]] == [3, 3]
    assert all(one["hole_psnr"] > 0 < one["smooth_hole_psnr"] for one in found["images"])
    with Image.open(out / "00000.png") as image:
        assert image.size == (28, 28)
    fewer = ("--held-out", 1, "--mask", "center", "--class", 3, *FEW)
    assert run(folder, *fewer, "--out", out) == 2
    message = f"--out {out}: holds other numbered images such as 00001.png, which would stay"
    assert message in capfd.readouterr().err
    assert run(folder, *options[:-2], *FEW) == run(folder, *fewer) == 0
    assert [path.name for path in (folder / "completion").glob("0*.png")] == ["00000.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "IMAGE or --held-out N is required, and not both"),
        (["none.png"], "none.png: no such file or folder"),
        (["--held-out", "1", "--mask", "circle"], "--mask circle: no such file, and none of"),
        (["--held-out", "1", "--class", "ten"], "unknown class"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *arguments, *FEW) == 2
    assert message in capfd.readouterr().err


def test_points_have_no_images(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    words = ["model=gan", "data=ring", "steps=1", "sample_every=0", "batch_size=4"]
    assert train.run([*words, "network.width=4", f"run.dir={folder}"]) == 0
    assert run(folder, picture(tmp_path / "x.png"), *FEW) == 2
    assert "makes points, and images are inverted" in capfd.readouterr().err
