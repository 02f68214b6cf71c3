"""`gan-translate`: new images of any size through a trained run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_cli.commands import train, translate


def trained(tmp_path: Path, model: str, *overrides: str) -> Path:
    arguments = [
        *(f"model={model}", "data.split=test", "steps=2", "sample_every=0", "batch_size=4"),
        *("network.width=4", "network.discriminator_width=4", f"run.dir={tmp_path / 'run'}"),
        *overrides,
    ]
    assert train.run(arguments) == 0
    return tmp_path / "run"


def picture(path: Path, height: int, width: int, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(levels).convert(mode).save(path)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        translate.main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_folder_of_sizes_and_a_broken_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = trained(tmp_path, "pix2pix")
    for name, size in (("a", (28, 28)), ("b", (28, 28)), ("sub/c", (41, 20))):
        picture(tmp_path / "in" / f"{name}.png", *size)
    (tmp_path / "in" / "d.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert run(folder, tmp_path / "in", "--out", out, "--device", "cpu") == 1
    assert "d.png: not a PNG" in "".join(capfd.readouterr())
    sizes = {path.relative_to(out).as_posix(): size_of(path) for path in out.rglob("*.png")}
    assert sizes == {"a.png": (28, 28), "b.png": (28, 28), "sub/c.png": (20, 41)}


def test_super_resolution_of_any_size(tmp_path: Path) -> None:
    folder = trained(tmp_path, "srgan", "network.blocks=1", "model.pretrain=2")
    photo = picture(tmp_path / "photo.png", 10, 6, "L")
    assert run(folder, photo, "--out", tmp_path / "out", "--device", "cpu") == 0
    assert size_of(tmp_path / "out" / "photo.png") == (24, 40)
    for name, size in (("a", (1, 1)), ("b", (1, 3)), ("c", (3, 3))):
        picture(tmp_path / "small" / f"{name}.png", *size, "L")
    assert run(folder, tmp_path / "small", "--out", tmp_path / "out", "--device", "cpu") == 0
    assert [size_of(tmp_path / "out" / f"{name}.png") for name in "abc"] == [
        *((4, 4), (12, 4), (12, 12)),
    ]


def test_an_image_s_noise_depends_on_its_name_and_the_seed(tmp_path: Path) -> None:
    folder = trained(tmp_path, "pix2pix")
    for name in "abc":
        picture(tmp_path / "in" / f"{name}.png", 28, 28)
    calls = {
        "all": (tmp_path / "in",),
        "few": (tmp_path / "in", "--batch-size", "2"),
        "one": (tmp_path / "in" / "c.png",),
        "other": (tmp_path / "in", "--seed", "1"),
    }
    for out, words in calls.items():
        assert run(folder, *words, "--out", tmp_path / out, "--device", "cpu") == 0
    made = {out: (tmp_path / out / "c.png").read_bytes() for out in calls}
    assert made["all"] == made["few"] == made["one"] != made["other"]
    assert made["all"] != (tmp_path / "all" / "a.png").read_bytes()


def test_backwards(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photo = picture(tmp_path / "photo.png", 28, 28)
    folder = trained(tmp_path, "pix2pix")
    assert run(folder, photo, "--out", tmp_path / "out", "--backwards") == 2
    assert "--backwards: this model translates in one direction" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["none.png"], "none.png: no such file or folder"),
        (["one/x.png", "two/x.jpg"], "would both become x.png; translate them in two calls"),
        (["out/x.png"], "would be written over; name another folder"),
    ],
)
def test_what_cannot_be(
    images: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("one/x.png", "two/x.jpg", "out/x.png"):
        picture(tmp_path / name, 8, 8)
    names = [str(tmp_path / image) for image in images]
    assert run(tmp_path, *names, "--out", tmp_path / "out") == 2
    assert message in capfd.readouterr().err


def test_other_models_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["model=gan", "data.split=test", "steps=1", "network.width=4", "sample_every=0"]
    assert train.run([*arguments, f"run.dir={tmp_path / 'run'}"]) == 0
    photo = picture(tmp_path / "photo.png", 8, 8)
    assert run(tmp_path / "run", photo, "--out", tmp_path / "out") == 2
    assert "model=gan translates no images" in capfd.readouterr().err
