"""Runs on folders of images, from the command line to the evaluation's data."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from composing import session_of
from PIL import Image

from gan_cli.commands import evaluate
from gan_cli.config.command_line import prepare
from gan_cli.config.settings import composed
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation.trained_model import Real
from gan_cli.exits import DONE
from gan_cli.runs.folder import RunFolder
from gan_cli.training.run import settings_of, train_settings

FOLDER = {"_target_": "gan_cli.data.folder.Folder", "size": 16, "workers": 1}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))


def images(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_a_run_does_not_learn_from_where_runs_and_sweeps_are_written(
    tmp_path: Path, monkeypatch
) -> None:
    root = images(tmp_path / "own", 4)
    for output in ("runs", "jobs", "one"):
        images(root / output / "deeper", 3)
    monkeypatch.chdir(root)
    places = ["sweep.dir=jobs", "run.dir=one"]
    session = session_of("data=folder", "data.root=.", "data.size=16", "data.workers=1", *places)
    assert (len(session.dataset), session.dataset.spec.classes) == (4, 0)
    node = {**FOLDER, "root": "."}
    assert len(Real(node, outputs=session.settings.outputs).part("all")) == 4


SMALL = ["model=gan", "network=mlp", "network.width=4", "batch_size=4", "log_every=1"]
SMALL += ["data=folder", "data.size=8", "data.workers=1", "runtime.threads=1"]


def train(*arguments: str) -> int:
    """`gan-train` with these arguments."""
    line = prepare([*SMALL, *arguments])
    return train_settings(settings_of(composed(line), line), line)


def test_runs_inside_their_data_learn_from_the_same_images_each_time(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.chdir(images(tmp_path / "own", 4))
    for _ in range(2):
        assert train("data.root=.", "steps=1", "sample_every=1") == DONE
    pictures = list(Path("runs").rglob("samples/*.png"))
    assert len(pictures) >= 2
    assert caplog.text.count("1 steps on 4 samples of own") == 2
    assert "skipping folders that this program wrote (runs)" in caplog.text


def test_deleting_a_file_that_was_skipped_changes_no_data(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.chdir(images(tmp_path / "photos", 4))
    Path("broken.png").write_bytes(b"")
    run = f"run.dir={tmp_path / 'run'}"
    assert train("data.root=.", "data.skip_broken=true", "steps=1", run) == DONE
    Path("broken.png").unlink()
    assert train("data.root=.", "data.skip_broken=true", "steps=2", run) == DONE
    assert "step 1 to 2 on 4 samples" in caplog.text
    words = [str(tmp_path / "run"), "--metrics", "diversity", "--samples", "4"]
    evaluate.evaluate(evaluate.parser().parse_args(words))
    assert "the data has changed" not in caplog.text


def make_older(run: RunFolder) -> None:
    """Make a run on a folder what the version before would have left."""
    settings = yaml.safe_load(run.read_config() or "")
    for key in ("split", "labels", "background"):
        del settings["data"][key]
    text = yaml.safe_dump(settings)
    run.config.write_text(text, encoding="utf-8")
    for file in run.checkpoints.glob("*.pt"):
        state = torch.load(file, weights_only=True)
        data = {**state["data"], "fingerprint": "of names and dates"}
        torch.save({**state, "config": text, "data": data}, file)


@pytest.mark.parametrize("older", [True, False])
def test_a_folder_whose_fingerprint_an_older_version_computed_otherwise_needs_force_once(
    older: bool, tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.chdir(images(tmp_path / "photos", 4))
    path = tmp_path / "run"
    run = f"run.dir={path}"
    assert train("data.root=.", "steps=1", run) == DONE
    if older:
        make_older(RunFolder(path))
    else:
        Path("0.png").unlink()
        shutil.copyfile("1.png", "0.png")
    with pytest.raises(ConfigError) as caught:
        train("data.root=.", "steps=2", run)
    hint = (
        "an older version computed the fingerprints of folders in another way, so the images may "
        "be the same: force=true resumes, and is needed once"
        if older
        else "force=true resumes anyway"
    )
    message = str(caught.value)
    assert message.startswith(f"resume = {path}: the data is not what the run began with: finger")
    assert message.endswith(f"; {hint}")
    if older:
        words = [str(path), "--metrics", "diversity", "--samples", "4"]
        evaluate.evaluate(evaluate.parser().parse_args(words))
        assert "the older version computed its fingerprint in another way" in caplog.text
    assert train("data.root=.", "steps=2", run, "force=true") == DONE
    assert train("data.root=.", "steps=3", run) == DONE


def test_folders_train_and_test_are_compared_as_mnist_s_parts_are(tmp_path: Path) -> None:
    images(tmp_path / "d" / "train", 6)
    images(tmp_path / "d" / "test", 4)
    node = {**FOLDER, "root": str(tmp_path / "d"), "split": None}
    real = Real(node, split="test")
    assert (real.has_test, real.trained_on, real.described()) == (True, "train", "test")
    assert (len(real.part("train")), len(real.part("test"))) == (6, 4)
    assert Real({**node, "split": "all"}).trained_on == "all"
    whole = {**node, "root": str(tmp_path / "d" / "train")}
    assert not Real(whole).has_test
    with pytest.raises(ConfigError, match="split = test: Folder has no test split"):
        Real(whole, split="test")


def test_parts_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    images(tmp_path / "d" / "train", 4)
    grey = images(tmp_path / "d" / "test", 4)
    for path in grey.iterdir():
        Image.open(path).convert("L").save(path)
    real = Real({**FOLDER, "root": str(tmp_path / "d")})
    real.part("train")
    message = "d: the shape of its test samples, 1, 16, 16, and of its train samples, 3, 16, 16, d"
    with pytest.raises(DataError, match=message):
        real.part("test")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model=cgan"], "model.conditional = true: data=photos has no labels"),
        (
            ["model=acgan", "data.labels=labels.csv"],
            "model = acgan: data=photos has only one class, cat; use model=gan",
        ),
        (
            ["model=cvae", "data.labels=labels.csv"],
            "model.conditional = true: data=photos has only one class, cat; use model=vae",
        ),
    ],
)
def test_one_class_is_none_to_choose_from(
    settings: list[str], message: str, tmp_path: Path
) -> None:
    root = tmp_path / "photos"
    images(root / "cat", 4)
    (root / "labels.csv").write_text("".join(f"cat/{n}.png,cat\n" for n in range(4)))
    with pytest.raises(ConfigError, match=message):
        session_of("data=folder", f"data.root={root}", "data.size=16", "data.workers=1", *settings)


def test_pix2pix_refuses_sets_without_pairs(tmp_path: Path) -> None:
    for side, count in (("A", 4), ("B", 3)):
        images(tmp_path / "photos" / side, count)
    line = ["model=pix2pix", f"data.root={tmp_path / 'photos'}", "data.size=16"]
    with pytest.raises(ConfigError, match="data = photos: has no pairs, which this model"):
        session_of(*line, "data=unpaired", "network.discriminator_width=8")
    with pytest.raises(DataError, match=r"1 images have no partner .*or use data=unpaired"):
        session_of(*line, "data=pairs", "network.discriminator_width=8")
