"""The interface for Python: training, opening, sampling, curves and metrics of a run."""

from __future__ import annotations

import ast
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import gan_cli
from gan_cli import UserError
from gan_cli.api import Samples
from gan_cli.commands import sample
from gan_cli.images import read_png, tile
from gan_cli.model import DataSpec

SMALL = ["network=mlp", "network.width=8", "runtime.device=cpu", "runtime.threads=1", "steps=4"]
SMALL += ["batch_size=8", "log_every=2", "checkpoint.every=2", "callbacks=none"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Iterator[gan_cli.Run]:
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield gan_cli.train(["model=cgan", "data=mnist", *SMALL])


@pytest.fixture(autouse=True)
def _inside(trained, monkeypatch) -> None:
    monkeypatch.chdir(trained.path.absolute().parents[2])


def test_training_returns_the_run(trained) -> None:
    assert trained.path.parent == Path("runs/cgan-mnist")
    assert trained.status["status"] == "finished"
    assert trained.step == 4
    assert trained.config["batch_size"] == 8
    assert trained.config["model"]["_target_"].startswith("gan_cli.models.")
    assert repr(trained) == f"Run('{trained.path}'): finished at step 4"


def test_a_run_is_opened_by_its_folder_or_as_the_latest(trained, capsys) -> None:
    for place in (trained.path, str(trained.path), "latest"):
        assert gan_cli.open_run(place).path == trained.path
    assert gan_cli.open_run(checkpoint=2).step == 2
    assert gan_cli.open_run(checkpoint="best" if trained.status["best"] else "last").step


def test_samples_are_those_of_the_command(trained) -> None:
    drawn = trained.sample(5, seed=3)
    with pytest.raises(SystemExit):
        sample.main([str(trained.path), "-n", "5", "--seed", "3", "--out", "one", "--flat"])
    for i, picture in enumerate(drawn.numpy()):
        assert np.array_equal(picture.repeat(3, 2), read_png(Path(f"one/{i:06d}.png")))
    assert drawn.labels is not None
    assert drawn.labels.tolist() == [0, 1, 2, 3, 4]
    assert len(drawn) == 5
    assert torch.equal(drawn[1:3].values, torch.stack(list(drawn))[1:3])
    assert drawn[-1].labels is not None
    assert drawn[-1].labels.tolist() == [4]


def test_one_sample_by_any_kind_of_number(trained) -> None:
    drawn = trained.sample(7)
    for one in (3, -4, np.int64(3), torch.tensor(3)):
        assert torch.equal(drawn[one].values, drawn.values[3:4])
        assert drawn[one].labels.tolist() == [3]
    assert torch.equal(drawn[torch.tensor([0, 3])].values, drawn.values[[0, 3]])
    for beyond in (7, -8, np.int64(100)):
        with pytest.raises(IndexError):
            drawn[beyond]


def test_classes_of_arrays_and_tensors(trained) -> None:
    for y in ([1, 2, 3], np.array([1, 2, 3]), torch.tensor([1, 2, 3])):
        assert trained.sample(3, y=y).labels.tolist() == [1, 2, 3]
    for y in (np.int64(2), torch.tensor(2)):
        assert trained.sample(3, y=y).labels.tolist() == [2, 2, 2]


def test_classes_by_number_and_name_for_all_or_each(trained) -> None:
    threes = trained.sample(3, y=3)
    assert torch.equal(threes.values, trained.sample(3, y="3").values)
    assert threes.labels is not None
    assert threes.labels.tolist() == [3, 3, 3]
    mixed = trained.sample(70, y=[3, "5"] * 35)
    assert torch.equal(mixed.values[::2], trained.sample(70, y=3).values[::2])
    assert mixed.labels is not None
    assert mixed.labels[:3].tolist() == [3, 5, 3]


def test_images_show_themselves(trained, tmp_path) -> None:
    drawn = trained.sample(6)
    content = drawn._repr_png_()
    assert content is not None
    with Image.open(io.BytesIO(content)) as picture:
        assert np.array_equal(np.asarray(picture), tile(drawn.values, 3, zoom=2)[:, :, 0])
    drawn.save(tmp_path / "grid.png", columns=2)
    assert read_png(tmp_path / "grid.png").shape == (3 * 58 + 2, 2 * 58 + 2, 3)
    assert repr(drawn) == "6 samples of mnist, each [1, 28, 28]"


def test_points_and_sentences_are_no_images() -> None:
    points = Samples(torch.zeros(3, 2), None, DataSpec("ring", (2,), 9))
    assert points._repr_png_() is None
    assert points.numpy().shape == (3, 2)
    with pytest.raises(UserError, match="images are needed"):
        points.grid()
    with pytest.raises(UserError, match="not sentences"):
        points.text()
    spec = DataSpec("text", (2,), 9, vocabulary=("a", "b"), separator=" ")
    assert Samples(torch.tensor([[0, 1]]), None, spec).text() == ["a b"]


def test_the_generator_is_a_network(trained) -> None:
    assert isinstance(trained.generator, nn.Module)
    assert not trained.generator.training
    z, y = torch.zeros(2, trained.model.prior.dim), torch.tensor([0, 1])
    with torch.no_grad():
        assert trained.generator(z, y).shape == (2, 1, 28, 28)


def test_curves_are_lists_of_one_length(trained) -> None:
    curves = trained.curves()
    assert curves["step"] == [2, 4]
    assert all(len(values) == 2 for values in curves.values())
    assert math.isfinite(curves["loss/generator"][0])
    with trained._folder.metrics.open("a") as file:
        file.write(json.dumps({"step": 6, "metrics/fid": 1.5}) + "\n")
    more = trained.curves()
    assert more["step"] == [2, 4, 6]
    assert more["metrics/fid"][2] == 1.5
    assert math.isnan(more["metrics/fid"][0])
    assert math.isnan(more["loss/generator"][2])


def test_metrics_are_rows_of_a_table(trained) -> None:
    folder = trained.path / "evaluations"
    assert not any(trained.metrics().values())
    folder.mkdir(exist_ok=True)
    figure = {"name": "fid", "value": "inf", "floor": 1.5, "error": None, "better": "lower"}
    record = {"step": 4, "weights": "ema", "figures": [{**figure, "note": "", "protocol": {}}]}
    (folder / "step_00000004.json").write_text(json.dumps(record))
    assert trained.metrics() == {
        "step": [4],
        "weights": ["ema"],
        "name": ["fid"],
        "value": [math.inf],
        "error": [None],
        "baseline": [1.5],
        "better": ["lower"],
        "note": [""],
    }
    (folder / "step_00000004.json").write_text('{"figures": 3}')
    with pytest.raises(UserError, match="holds no values of metrics"):
        trained.metrics()


def test_training_resumes(trained) -> None:
    again = gan_cli.train([f"resume={trained.path}", "steps=6"])
    assert again.path == trained.path
    assert again.step == 6


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["model=no"], "no"),
        (["model=gan", "typo=1"], "typo"),
        (["-m", "seed=1,2"], "one run is trained"),
        (["dry_run=true"], "makes no run"),
        ("model=gan", "a list of settings is required"),
    ],
)
def test_wrong_settings_are_errors_with_the_command_s_message(overrides, says) -> None:
    with pytest.raises(UserError, match=says):
        gan_cli.train(overrides)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n": 0}, "n = 0"),
        ({"y": 10}, "^y = 10: unknown class"),
        ({"n": 3, "y": [1, 2]}, "2 classes for 3 samples"),
    ],
)
def test_samples_that_cannot_be_drawn_are_refused(trained, arguments, says) -> None:
    with pytest.raises(UserError, match=says):
        trained.sample(**arguments)


def test_a_place_without_a_run_is_refused() -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        gan_cli.open_run("nowhere")
    with pytest.raises(UserError, match="ema or raw"):
        gan_cli.open_run(weights="averaged")


def test_the_code_of_the_page_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    train = gan_cli.train
    monkeypatch.setattr(gan_cli, "train", lambda words: train([*words, *SMALL]), raising=False)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["samples"].numpy().shape == (16, 28, 28, 1)
    assert names["images"].shape == (4, 1, 28, 28)
    assert Path("threes.png").is_file()
    assert names["curves"]["step"]


def test_the_interface_is_what_all_names() -> None:
    for name in gan_cli.__all__:
        assert getattr(gan_cli, name) is not None
    assert set(gan_cli.__all__) <= set(dir(gan_cli))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        gan_cli.trian  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code, in order, with fewer steps; each cell as Jupyter does it, the last value shown."""
    path = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
    cells = [one for one in json.loads(path.read_text())["cells"] if one["cell_type"] == "code"]
    assert all(one["outputs"] for one in cells)
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    shown = []
    for cell in cells:
        source = "".join(cell["source"])
        for long, short in (("steps=1200", "steps=2"), ('"2000"', '"100"'), ("=24", "=8")):
            source = source.replace(long, short)
        *lines, last = ast.parse(source).body
        exec(compile(ast.Module(lines, []), "cell", "exec"), space)
        assert isinstance(last, ast.Expr)
        shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), space))
    assert shown[1]._repr_png_().startswith(b"\x89PNG")
    assert shown[2] == (10, 1, 28, 28)
    assert shown[4][0][0] == "score_classifier"
