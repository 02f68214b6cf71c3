"""Every kind of data, read back through TensorBoard's own server."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contexts import context
from PIL import Image

from gan_cli.callbacks.loggers import main_metric
from gan_cli.callbacks.tensorboard import TensorBoard
from gan_cli.config.schema import Run
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
        "learning_rate/generator": 1e-4,
        "learning_rate/critic": 1e-4 * step,
        "weight_norm/generator": 25.04 + step / 1000,
        "gap": 0.5,
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
    runs = {
        DCGAN: ("discriminator", {"model": "dcgan", "seed": 1, "optimizer.lr": 2e-4, "ema": True}),
        WGAN: (
            "critic",
            {
                "model": "wgan",
                "seed": 2,
                "optimizer.lr": 5e-5,
                "penalty.limit": 0.01,
                "betas": [0.5, 1],
                "clip": None,
            },
        ),
    }
    for name, (player, hparams) in runs.items():
        (root / name).mkdir(parents=True)
        settings = {"run": Run(root=str(root), dir=None, name=None)}
        run = context(
            root / name,
            settings,
            config=CONFIG,
            hparams=hparams,
            command=f"gan-train model={hparams['model']}",
            data=lambda: "mnist-0123",
            constant={"learning_rate/generator"},
        )
        board = TensorBoard(run)
        board.start(0)
        board.drawn(0, {"real": COLOR, "samples/fixed": GREY})
        if name == WGAN:
            board.evaluated(0, {"metrics/kid_inception": math.nan, "metrics/a": 1.0}, {})
            board.evaluated(20, {"metrics/kid_inception": 0.5}, {"metrics/nearest": GREY})
        for step in (10, 20, 30):
            board.logged(step, scalars(step, player), outputs(step))
        board.drawn(30, {"samples/fixed": GREY[::-1]})
        board.end(30, "finished" if name == DCGAN else "interrupted")
    return root


@pytest.fixture(scope="module")
def server(logs: Path, serving: Any) -> Iterator[Any]:
    def ready(server: Any) -> bool:
        tags = server.get("plugin/scalars/tags")
        return all("main/loss/generator" in tags.get(run, {}) for run in (DCGAN, WGAN))

    with serving(logs, ready) as server:
        yield server


COMMON = {"main/loss/generator", "output/real", "output/fake", "system/images_per_second"}
COMMON |= {"update/learning_rate_critic", "update/weight_norm_generator", "objective/gap"}


def test_curves_lie_in_sections_of_which_the_first_has_losses_and_the_main_metric(
    server: Any,
) -> None:
    tags = server.get("plugin/scalars/tags")
    own = {"main/loss/discriminator", "update/gradient_norm_discriminator", "output/accuracy_all"}
    assert set(tags[DCGAN]) == COMMON | own
    own = {"main/loss/critic", "update/gradient_norm_critic", "objective/wasserstein_estimate"}
    own |= {"main/metric/kid_inception", "metrics/kid_inception", "metrics/a"}
    assert set(tags[WGAN]) == COMMON | own
    drawn = {tag for run in server.get("plugin/histograms/tags").values() for tag in run}
    every = sorted({tag.partition("/")[0] for run in (DCGAN, WGAN) for tag in [*tags[run], *drawn]})
    assert every[:2] == ["main", "metrics"]
    assert server.curve(DCGAN, "main/loss/discriminator") == [(10, 11), (20, 21), (30, 31)]
    estimate = server.curve(WGAN, "objective/wasserstein_estimate")
    assert estimate == [
        (10, pytest.approx(0.3)),
        (20, pytest.approx(0.15)),
        (30, pytest.approx(0.1)),
    ]
    assert server.curve(WGAN, "update/gradient_norm_critic")[0] == (10, pytest.approx(1e-30))


def test_no_curve_moves_by_less_than_its_axis_can_label(server: Any) -> None:
    norms = server.curve(DCGAN, "update/weight_norm_generator")
    assert norms == [(10, 25), (20, 25), (30, 25)]
    rates = server.curve(DCGAN, "update/learning_rate_critic")
    assert [value for _, value in rates] == pytest.approx([1e-3, 2e-3, 3e-3])
    assert "update/learning_rate_generator" not in server.get("plugin/scalars/tags")[DCGAN]


def test_what_an_evaluation_found(server: Any) -> None:
    assert server.curve(WGAN, "metrics/kid_inception") == [(0, "NaN"), (20, 0.5)]
    assert server.curve(WGAN, "main/metric/kid_inception") == [(0, "NaN"), (20, 0.5)]
    assert "samples_evaluated/nearest" in server.get("plugin/images/tags")[WGAN]


@pytest.mark.parametrize(
    ("best", "values", "main"),
    [
        (None, ["metrics/energy_distance", "metrics/fid_classifier"], "fid_classifier"),
        ("recall", ["metrics/fid_classifier", "metrics/recall"], "recall"),
        ("recall", ["metrics/fid_classifier"], None),
        (None, ["metrics/recall"], None),
    ],
)
def test_the_main_metric_is_the_chosen_one_or_the_most_sensible(
    best: str | None, values: list[str], main: str | None
) -> None:
    assert main_metric(dict.fromkeys(values, 1.0), best) == main


def test_nan_is_shown_and_not_left_out(server: Any) -> None:
    assert server.curve(DCGAN, "main/loss/generator") == [(10, -5), (20, "NaN"), (30, -15)]


def test_curves_that_need_a_word_have_one(server: Any) -> None:
    tags = server.get("plugin/scalars/tags")[WGAN]
    assert "Wasserstein-1 distance" in tags["objective/wasserstein_estimate"]["description"]
    assert [name for name, tag in tags.items() if not tag["description"]] == ["objective/gap"]


def test_pictures_come_back_pixel_by_pixel(server: Any) -> None:
    tags = server.get("plugin/images/tags")[DCGAN]
    assert set(tags) == {"samples/fixed"}
    for tag, pictures in {"samples/fixed": [GREY, GREY[::-1]]}.items():
        shown = server.get("plugin/images/images", run=DCGAN, tag=tag, sample=0)
        assert [entry["step"] for entry in shown] == [0, 30][: len(pictures)]
        for entry, picture in zip(shown, pictures, strict=True):
            png = server.bytes(f"plugin/images/individualImage?{entry['query']}&x=")
            pixels = np.asarray(Image.open(BytesIO(png)))
            np.testing.assert_array_equal(pixels.reshape(picture.shape), picture)


def test_real_images_are_shown_once_for_each_data_set(server: Any, logs: Path) -> None:
    tags = server.get("plugin/images/tags")
    assert {run for run in tags if "training_data/real" in tags[run]} == {"real/mnist-0123"}
    shown = server.get(
        "plugin/images/images", run="real/mnist-0123", tag="training_data/real", sample=0
    )
    assert [entry["step"] for entry in shown] == [0]
    assert [path.name for path in (logs / "real").iterdir()] == ["mnist-0123"], "nothing partial"


def test_a_run_outside_of_the_root_shows_its_own_real_images(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    board = TensorBoard(
        context(folder, {"run": Run(root=str(tmp_path / "runs"), dir=None, name=None)})
    )
    board.start(0)
    board.drawn(0, {"real": COLOR})
    board.end(0, "finished")
    (file,) = folder.iterdir()
    assert b"training_data/real" in file.read_bytes()
    assert not (tmp_path / "runs").exists()


def test_distributions_of_outputs_are_histograms_beside_the_scalars_of_the_same_name(
    server: Any,
) -> None:
    tags = server.get("plugin/histograms/tags")[DCGAN]
    assert set(tags) == {"output_histogram/real", "output_histogram/fake"}
    points = server.get("plugin/histograms/histograms", run=DCGAN, tag="output_histogram/real")
    assert [step for _, step, _ in points] == [10, 20, 30]
    buckets = points[0][2]  # [left, right, count]
    assert sum(count for _, _, count in buckets) == 4
    assert (buckets[0][0], buckets[-1][1]) == (1.0, 9.0)
    flat = server.get("plugin/histograms/histograms", run=DCGAN, tag="output_histogram/fake")
    assert sum(count for _, _, count in flat[2][2]) == 8
    assert min(left for left, _, _ in flat[2][2]) <= 30 <= max(right for _, right, _ in flat[2][2])


def test_the_command_stands_above_the_configuration_with_its_characters_untouched(
    server: Any,
) -> None:
    (page,) = server.get("plugin/text/text", run=DCGAN, tag="config")
    assert page["step"] == 0
    command, config = re.findall(r"<code[^>]*>(.*?)</code>", page["text"], re.DOTALL)
    assert command.strip() == "gan-train model=dcgan"
    assert html.unescape(config).strip() == CONFIG.strip()


def test_runs_of_different_models_compare_in_one_table(server: Any) -> None:
    table = server.post("plugin/hparams/experiment", {"experimentName": ""})
    columns = {column["name"]: column for column in table["hparamInfos"]}
    assert list(columns)[:2] == ["Model", "Seed"], "TensorBoard shows the first five"
    assert set(columns) == {
        "Model",
        "Seed",
        "optimizer.lr",
        "ema",
        "penalty.limit",
        "betas",
        "clip",
    }
    assert sorted(columns["Model"]["domainDiscrete"]) == ["dcgan", "wgan"]
    metrics = [{"metric": metric["name"]} for metric in table["metricInfos"]]
    first = ["main/loss/critic", "main/loss/discriminator", "main/loss/generator"]
    tags = [metric["name"]["tag"] for metric in table["metricInfos"]]
    assert tags[:4] == [*first, "main/metric/kid_inception"]
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
    assert rows[DCGAN]["hparams"] == {
        "Model": "dcgan",
        "Seed": "1",
        "optimizer.lr": 2e-4,
        "ema": "true",
    }
    assert rows[WGAN]["hparams"] == {
        "Model": "wgan",
        "Seed": "2",
        "optimizer.lr": 5e-5,
        "penalty.limit": 0.01,
        "betas": "[0.5, 1]",
        "clip": "null",
    }
    values = {
        run: {entry["name"]["tag"]: entry["value"] for entry in row["metricValues"]}
        for run, row in rows.items()
    }
    assert values[DCGAN]["main/loss/discriminator"] == 31
    assert values[WGAN]["objective/wasserstein_estimate"] == pytest.approx(0.1)
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
