"""Every kind of data, read back through TensorBoard's own server."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contexts import context
from PIL import Image

from gan_cli.callbacks.tensorboard import TensorBoard
from gan_cli.errors import UserError

DCGAN, WGAN = "dcgan-mnist/20260101-120000-aaaaaaaa", "wgan-mnist/20260101-130000-bbbbbbbb"
CONFIG = "model:\n  _target_: gan_cli.models.gan.GAN\nlist: [a_b, '*c*', <d>]\n"
GREY = np.arange(20 * 30, dtype=np.uint32).reshape(20, 30, 1).astype(np.uint8)
COLOR = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)


def scalars(step: int, player: str) -> dict[str, float]:
    own = {"wasserstein_estimate": 3 / step} if player == "critic" else {"accuracy/all": 0.75}
    return {
        f"loss/{player}": 1.0 + step,
        "loss/generator": math.nan if step == 20 else -0.5 * step,
        "output/real": 0.25,
        "output/fake": -0.25,
        f"gradient_norm/{player}": 1e-30,
        "speed/images_per_second": 1e6,
        **own,
    }


def outputs(step: int) -> dict[str, torch.Tensor]:
    return {
        "output/real": torch.tensor([1.0, 2.0, 2.5, 9.0], dtype=torch.bfloat16),
        "output/fake": torch.full((8,), float(step)),
    }


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    settings = {
        DCGAN: ("discriminator", {"model": "dcgan", "optimizer.lr": 2e-4, "ema.on": True}),
        WGAN: (
            "critic",
            {
                "model": "wgan",
                "optimizer.lr": 5e-5,
                "penalty.limit": 0.01,
                "betas": [0.5, 1],
                "clip": None,
            },
        ),
    }
    for name, (player, hparams) in settings.items():
        (root / name).mkdir(parents=True)
        board = TensorBoard(context(root / name, config=CONFIG, hparams=hparams))
        board.start(0)
        board.drawn(0, {"real": COLOR, "samples/fixed": GREY})
        if name == WGAN:
            board.evaluated(0, {"metrics/kid": math.nan}, {})
            board.evaluated(20, {"metrics/kid": 0.5}, {"metrics/nearest": GREY})
        for step in (10, 20, 30):
            board.logged(step, scalars(step, player), outputs(step))
        board.drawn(30, {"samples/fixed": GREY[::-1]})
        board.end(30, "finished" if name == DCGAN else "interrupted")
    return root


@pytest.fixture(scope="module")
def server(logs: Path, serving: Any) -> Iterator[Any]:
    def ready(server: Any) -> bool:
        tags = server.get("plugin/scalars/tags")
        return all("loss/generator" in tags.get(run, {}) for run in (DCGAN, WGAN))

    with serving(logs, ready) as server:
        yield server


def test_every_scalar_is_a_curve_under_its_own_name(server: Any) -> None:
    tags = server.get("plugin/scalars/tags")
    assert set(tags[DCGAN]) == set(scalars(10, "discriminator"))
    assert set(tags[WGAN]) == set(scalars(10, "critic")) | {"metrics/kid"}
    assert server.curve(DCGAN, "loss/discriminator") == [(10, 11), (20, 21), (30, 31)]
    estimate = server.curve(WGAN, "wasserstein_estimate")
    assert estimate == [
        (10, pytest.approx(0.3)),
        (20, pytest.approx(0.15)),
        (30, pytest.approx(0.1)),
    ]
    assert server.curve(WGAN, "gradient_norm/critic")[0] == (10, pytest.approx(1e-30))


def test_what_an_evaluation_found(server: Any) -> None:
    assert server.curve(WGAN, "metrics/kid") == [(0, "NaN"), (20, 0.5)]
    assert "metrics/nearest" in server.get("plugin/images/tags")[WGAN]


def test_nan_is_shown_and_not_left_out(server: Any) -> None:
    assert server.curve(DCGAN, "loss/generator") == [(10, -5), (20, "NaN"), (30, -15)]


def test_curves_that_need_a_word_have_one(server: Any) -> None:
    tags = server.get("plugin/scalars/tags")[WGAN]
    assert "Wasserstein-1 distance" in tags["wasserstein_estimate"]["description"]
    assert all(tag["description"] for tag in tags.values())


def test_pictures_come_back_pixel_by_pixel(server: Any) -> None:
    tags = server.get("plugin/images/tags")[DCGAN]
    assert set(tags) == {"images/real", "samples/fixed"}
    for tag, pictures in {"images/real": [COLOR], "samples/fixed": [GREY, GREY[::-1]]}.items():
        shown = server.get("plugin/images/images", run=DCGAN, tag=tag, sample=0)
        assert [entry["step"] for entry in shown] == [0, 30][: len(pictures)]
        for entry, picture in zip(shown, pictures, strict=True):
            png = server.bytes(f"plugin/images/individualImage?{entry['query']}&x=")
            pixels = np.asarray(Image.open(BytesIO(png)))
            np.testing.assert_array_equal(pixels.reshape(picture.shape), picture)


def test_distributions_of_outputs_are_histograms_beside_the_scalars_of_the_same_name(
    server: Any,
) -> None:
    tags = server.get("plugin/histograms/tags")[DCGAN]
    assert set(tags) == {"histogram/output/real", "histogram/output/fake"}
    points = server.get("plugin/histograms/histograms", run=DCGAN, tag="histogram/output/real")
    assert [step for _, step, _ in points] == [10, 20, 30]
    buckets = points[0][2]  # [left, right, count]
    assert sum(count for _, _, count in buckets) == 4
    assert (buckets[0][0], buckets[-1][1]) == (1.0, 9.0)
    flat = server.get("plugin/histograms/histograms", run=DCGAN, tag="histogram/output/fake")
    assert sum(count for _, _, count in flat[2][2]) == 8
    assert min(left for left, _, _ in flat[2][2]) <= 30 <= max(right for _, right, _ in flat[2][2])


def test_the_configuration_is_a_block_of_text_with_its_characters_untouched(server: Any) -> None:
    (page,) = server.get("plugin/text/text", run=DCGAN, tag="config")
    assert page["step"] == 0
    assert "<code" in page["text"]
    assert CONFIG.strip() in html.unescape(page["text"])


def test_all_losses_are_one_chart_of_the_custom_page(server: Any) -> None:
    sections = server.get("plugin/custom_scalars/layout")["category"]
    charts = {chart["title"]: chart for section in sections for chart in section["chart"]}
    assert len(charts) == sum(len(section["chart"]) for section in sections), "merged, not doubled"
    patterns = charts["losses"]["multiline"]["tag"]
    found = server.get("plugin/custom_scalars/scalars", run=WGAN, tag=patterns[0])
    assert set(found["tag_to_events"]) == {"loss/critic", "loss/generator"}
    assert {"D's accuracy", "Wasserstein estimate", "gradient norms", "images per second"} <= set(
        charts
    )
    assert "mutual information, nats" not in charts, "neither run has such a curve"


def test_runs_of_different_models_compare_in_one_table(server: Any) -> None:
    table = server.post("plugin/hparams/experiment", {"experimentName": ""})
    columns = {column["name"]: column for column in table["hparamInfos"]}
    assert set(columns) == {"model", "optimizer.lr", "ema.on", "penalty.limit", "betas", "clip"}
    assert sorted(columns["model"]["domainDiscrete"]) == ["dcgan", "wgan"]
    metrics = [{"metric": metric["name"]} for metric in table["metricInfos"]]
    request = {
        "experimentName": "",
        "colParams": [{"hparam": name} for name in columns] + metrics,
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN"],
        "startIndex": 0,
        "sliceSize": 10,
    }
    rows = {
        row["name"]: row
        for row in server.post("plugin/hparams/session_groups", request)["sessionGroups"]
    }
    assert rows[DCGAN]["hparams"] == {"model": "dcgan", "optimizer.lr": 2e-4, "ema.on": "true"}
    assert rows[WGAN]["hparams"] == {
        "model": "wgan",
        "optimizer.lr": 5e-5,
        "penalty.limit": 0.01,
        "betas": "[0.5, 1]",
        "clip": "null",
    }
    values = {
        run: {entry["name"]["tag"]: entry["value"] for entry in row["metricValues"]}
        for run, row in rows.items()
    }
    assert values[DCGAN]["loss/discriminator"] == 31
    assert values[WGAN]["wasserstein_estimate"] == pytest.approx(0.1)
    states = {run: row["sessions"][0]["status"] for run, row in rows.items()}
    assert states == {DCGAN: "STATUS_SUCCESS", WGAN: "STATUS_UNKNOWN"}


def test_a_deleted_folder_shows_at_the_next_point(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    board = TensorBoard(context(folder, config=CONFIG))
    board.start(0)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(UserError, match=r"tfevents.*deleted while the run was writing to it"):
        board.logged(1, {"loss/generator": 1.0}, {})
    board.end(1, "failed")


def test_end_without_start_does_no_harm(tmp_path: Path) -> None:
    TensorBoard(context(tmp_path, config=CONFIG)).end(0, "failed")
    assert list(tmp_path.iterdir()) == []
