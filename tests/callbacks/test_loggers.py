"""CSV, MLflow and Weights & Biases: what a run sends is read back."""

from __future__ import annotations

import csv
import importlib.util
import math
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contexts import context

from gan_cli.callbacks.callback import Callback, check_callbacks
from gan_cli.callbacks.loggers import CSVFile, MLflow, WandB
from gan_cli.callbacks.metrics import MetricsFile
from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.config.trust import MOVED, resolve
from gan_cli.errors import ConfigError

GREY = np.arange(20 * 30, dtype=np.uint32).reshape(20, 30, 1).astype(np.uint8)


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed: .[{package}]")


def run_of(folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    return context(
        folder,
        config="seed: 3\n",
        command="gan-train model=gan seed=3",
        hparams={"model": "gan", "seed": 3},
    )


def play(callback: Callback, first: int = 0, last: int = 4, status: str = "finished") -> None:
    """A run as the loop would tell it."""
    callback.start(first)
    for step in range(first + 1, last + 1):
        callback.logged(step, {"loss/generator": step / 2, "gap": math.nan}, {})
    callback.drawn(last, {"samples/fixed": GREY, "samples/text": "one\n<two>"})
    callback.evaluated(last, {"metrics/fid_classifier": 7.5}, {"metrics/nearest": GREY})
    callback.saved(last)
    callback.end(last, status)


def test_the_table_has_a_row_for_each_step(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    curves, table = MetricsFile(run), CSVFile(run)
    play(curves)
    play(table)
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "time", "loss/generator", "gap", "metrics/fid_classifier"]
    assert [(row["step"], row["loss/generator"]) for row in rows] == [
        ("1", "0.5"),
        ("2", "1.0"),
        ("3", "1.5"),
        ("4", "2.0"),
    ]
    assert [row["metrics/fid_classifier"] for row in rows] == ["", "", "", "7.5"]
    assert {row["gap"] for row in rows} == {"nan"}


@needs("mlflow")
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of others' packages
def test_mlflow_has_curves_settings_pictures_and_one_run_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database needs mlflow's large part
    uri = (tmp_path / "store").as_uri()
    play(MLflow(run_of(tmp_path / "run"), uri=uri), status="interrupted")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("gan-train")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "KILLED"

    play(MLflow(run_of(tmp_path / "run"), uri=uri), first=4, last=6)
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.data.params) == ("FINISHED", {"model": "gan", "seed": "3"})
    assert found.data.tags["gan_train.command"] == "gan-train model=gan seed=3"
    curve = client.get_metric_history(found.info.run_id, "loss/generator")
    assert [(point.step, point.value) for point in curve] == [(n, n / 2) for n in range(1, 7)]
    assert found.data.metrics["main_metric/fid_classifier"] == 7.5
    assert "gap" not in found.data.metrics, "MLflow's databases hold no NaN"
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert {"config.yaml", "images", "samples"} <= files
    images = [file.path for file in client.list_artifacts(found.info.run_id, "images")]
    assert sum("samples_fixed" in path for path in images) >= 2


@needs("wandb")
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_wandb_writes_files_when_it_is_offline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    play(WandB(run_of(tmp_path / "run"), mode="offline"))
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert f"wandb sync {folder}" in caplog.text
    (record,) = folder.glob("*.wandb")
    deadline = time.monotonic() + 60  # wandb's own process closes the file
    while len(written := record.read_bytes()) < 100 and time.monotonic() < deadline:
        time.sleep(0.1)
    for part in (b"loss/generator", b"main_metric/fid_classifier", b"gan-train model=gan seed=3"):
        assert part in written
    pictures = sorted((folder / "files" / "media" / "images").rglob("*.png"))
    assert [path.parent.name for path in pictures] == ["metrics", "samples"]
    (page,) = (folder / "files" / "media" / "html").rglob("*.html")
    assert "<pre>one\n&lt;two&gt;</pre>" in page.read_text()


@pytest.mark.parametrize("spec", [None, ModuleSpec("a folder of that name", None)])
@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_missing_is_named_before_training(
    name: str, spec: ModuleSpec | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = settings_of(f"callbacks=[default,{name}]").callbacks
    assert list(nodes)[-1] == name
    monkeypatch.setattr("gan_cli.callbacks.callback.find_spec", lambda package: spec)
    with pytest.raises(ConfigError) as raised:
        check_callbacks(nodes, Trust())
    assert str(raised.value) == (
        f'callbacks.{name}: needs {name}; run: pip install "gan-cli[{name}]"'
    )


def test_the_loggers_of_earlier_runs_are_found() -> None:
    found = {resolve(name, Trust(), "callbacks.x") for name in MOVED}
    assert found == {CSVFile, MLflow, WandB}
