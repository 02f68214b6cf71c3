"""`gan-score`: images in the order of their realism, as a table, CSV, JSON and a sheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.commands import sample, score, train
from gan_cli.data.given import resized
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import load_model

QUICK = ["data.split=test", "steps=1", "sample_every=0", "batch_size=4", "network.width=4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "cgan"
    assert train.run(["model=cgan", *QUICK, f"run.dir={place}"]) == 0
    return place


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number, size in enumerate(((28, 28), (40, 30), (28, 28))):
        levels = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(levels).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        score.main([str(argument) for argument in (*arguments, "--samples", 64)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_scores_are_the_discriminator_s_sorted(folder: Path, images: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("s.csv", "s.json", "s.png")]
    options = zip(("--csv", "--json", "--sheet"), files, strict=True)
    assert run(folder, images, *(part for pair in options for part in pair), "--class", 3) == 0
    rows = list(csv.DictReader(files[0].read_text().splitlines()))
    values = [float(row["score"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert {row["label"] for row in rows} == {"3"}
    assert json.loads(files[1].read_text())["images"][0]["file"] == rows[0]["file"]
    model = load_model(RunFolder(folder), device="cpu").model
    given = resized([rows[0]["file"]], model.data.shape)
    with torch.no_grad():
        own = model.discriminator(given.values, torch.tensor([3]))  # type: ignore[operator]
    assert own.item() == pytest.approx(values[0], abs=1e-4)
    with Image.open(files[2]) as sheet:
        assert sheet.size == (3 * 90 + 6, 84 + 16 + 6 + 6)


def test_without_a_class_the_best_is_shown(
    folder: Path, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, images, "--json", "-") == 0
    found = json.loads(capfd.readouterr().out)["images"]
    assert run(folder, images, "--json", "-", "--class", found[0]["label"]) == 0
    again = {one["file"]: one["score"] for one in json.loads(capfd.readouterr().out)["images"]}
    assert again[found[0]["file"]] == pytest.approx(found[0]["score"])
    assert all(again[one["file"]] <= one["score"] + 1e-5 for one in found)


@pytest.mark.parametrize("options", [(), ("--class", "3")])
def test_own_samples_as_files_have_the_scores_of_own_samples(
    options: tuple[str, ...], folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sample.main([str(folder), "-n", "64", "--out", str(tmp_path / "own"), *options])
    capfd.readouterr()
    assert run(folder, tmp_path / "own", "--json", "-", *options) == 0
    above = [one["above"] for one in json.loads(capfd.readouterr().out)["images"]]
    assert sorted(above) == [place / 64 for place in range(64)]


def test_no_class_is_shown_where_none_is_seen(
    images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train.run(["model=acgan", *QUICK, f"run.dir={tmp_path / 'acgan'}"]) == 0
    capfd.readouterr()
    assert run(tmp_path / "acgan", images, "--json", "-") == 0
    assert {one["label"] for one in json.loads(capfd.readouterr().out)["images"]} == {""}


def test_json_has_no_nan() -> None:
    made = score.plain(score.Scored("a.png", float("nan"), 0.0))
    assert made == {"file": "a.png", "score": "nan", "above": 0.0, "label": ""}


def test_broken_files_are_named_and_the_rest_is_scored(
    folder: Path, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (images / "3.png").write_bytes(b"no image")
    assert run(folder, images) == 1
    said = capfd.readouterr()
    assert "3.png: not a PNG" in said.out + said.err
    assert "0.png" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png"], "none.png: no such file or folder"),
        (["IN", "--class", "12"], "unknown class"),
        (["IN", "--sheet", "s.jpg"], "--sheet s.jpg: a file must end in .png"),
        (["IN", "--csv", "missing/s.csv"], "is missing; make it first"),
    ],
)
def test_what_cannot_be(
    arguments: list[str],
    message: str,
    folder: Path,
    images: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(folder, *(str(images) if word == "IN" else word for word in arguments)) == 2
    assert message in capfd.readouterr().err
