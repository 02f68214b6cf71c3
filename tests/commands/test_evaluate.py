"""gan-eval: figures of run folders; one line where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from gan_cli.commands import evaluate
from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of, to_yaml
from gan_cli.errors import DataError, UserError
from gan_cli.evaluation.measures.toy import Points
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder, create
from gan_cli.runs.load import describe_data
from gan_cli.training.setup import assemble

SMALL = ["model=gan", "network=mlp", "network.width=4", "data=ring", "data.points=600"]
SMALL += ["runtime.device=cpu", "runtime.threads=1"]
FEW = ["--samples", "300", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))


def make(name: str, *overrides: str) -> RunFolder:
    """A run of untrained weights at steps 20 (kept) and 30 (last, and other weights)."""
    settings = settings_of(*SMALL, *overrides)
    session = assemble(settings, Trust())
    run = create(to_yaml(settings), model="gan", data="ring", name=name)
    state = session.trainer.state_dict() | {
        "config": to_yaml(settings),
        "data": describe_data(session.dataset.spec, session.dataset.fingerprint),
    }
    checkpoint.save(run.checkpoints, state, 20, keep_step=True, keep=3, best=True)
    with torch.no_grad():
        for value in state["averages"].values():
            value.mul_(2)
    checkpoint.save(run.checkpoints, state, 30, keep_step=False, keep=3)
    run.write_status("finished", 30)
    return run


@pytest.fixture
def run() -> RunFolder:
    return make("ring")


def call(capsys, *arguments: object, status: int = 0) -> tuple[str, str]:
    """What the command prints on stdout and stderr."""
    with pytest.raises(SystemExit) as exit_:
        evaluate.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert exit_.value.code == status, err
    assert "Traceback" not in err
    return out, err


def report(capsys, *arguments: object, status: int = 0):
    return json.loads(call(capsys, *arguments, "--json", status=status)[0])


def test_figures_of_a_run(run, capsys) -> None:
    out, _ = call(capsys, run.path, *FEW)
    assert "energy_distance" in out
    assert "modes_captured" in out
    assert "300 samples of seed 0 against 300 real ones: ring" in out
    kept = json.loads((run.evaluations / "step_00000030.json").read_text())
    assert (kept["run"], kept["step"], kept["weights"]) == (str(run.path), 30, "ema")
    assert "fid" in kept["unfit"]


def test_a_bar_counts_the_metrics(run, capsys, monkeypatch) -> None:
    told: list[tuple[str, int]] = []
    done: list[int] = []

    @contextmanager
    def bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
        told.append((text, total))
        yield done.append

    monkeypatch.setattr("gan_cli.console.progress_bar", bar)
    call(capsys, run.path, "--metrics", "points", "--samples", 100)
    assert told == [(f"metrics of {run.path.name}", 1)]
    assert done == [1]


def test_the_batch_size_changes_no_figure(run, capsys) -> None:
    common = (run.path, *FEW, "--metrics", "points")
    one = report(capsys, *common, "--batch-size", "2")
    other = report(capsys, *common, "--batch-size", "999")
    assert one == other
    assert report(capsys, *common, "--seed", "1")["figures"] != one["figures"]


def test_checkpoints_and_weights(run, capsys) -> None:
    common = (run.path, *FEW, "--metrics", "points")
    last = report(capsys, *common)
    best = report(capsys, *common, "--checkpoint", "best")
    kept = report(capsys, *common, "--checkpoint", "20")
    raw = report(capsys, *common, "--weights", "raw")
    assert (last["step"], best["step"], raw["weights"]) == (30, 20, "raw")
    assert best == kept
    values = [found["figures"][0]["value"] for found in (last, best, raw)]
    # Untrained averages are the weights; those of step 30 have been doubled since.
    assert values[0] != values[1] == values[2]


def test_a_report_that_would_leave_the_run_s_folder_is_refused_before_any_work(
    run, capsys, monkeypatch, tmp_path
) -> None:
    (tmp_path / "outside").mkdir()
    run.evaluations.symlink_to(tmp_path / "outside")
    monkeypatch.setattr("gan_cli.runs.load.load_model", None)
    _, err = call(capsys, run.path, status=2)
    assert f"{run.evaluations}: is a link, which would lead out of {run.path}" in err


@pytest.mark.parametrize(("more", "status"), [([], 1), (["--json", "a.json"], 0)])
def test_values_are_shown_where_the_run_s_folder_cannot_be_written(
    run, capsys, monkeypatch, more: list[str], status: int
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("step_00000030.json: cannot be written: Read-only file system")

    monkeypatch.setattr("gan_cli.evaluation.report.write", refuse)
    arguments = (run.path, *FEW, "--metrics", "points", *more)
    out, err = call(capsys, *arguments, status=status)
    assert "energy_distance" in out
    assert "cannot be written: Read-only file system" in err
    assert ("--json FILE writes the values elsewhere" in err) is not bool(more)
    assert not more or json.loads(Path("a.json").read_text())["figures"]


def test_raw_weights_where_there_are_no_others(capsys) -> None:
    run = make("raw", "ema.decay=0")
    _, err = call(capsys, run.path, *FEW, "--metrics", "points")
    assert "no averaged weights" in err


def test_several_runs(run, capsys) -> None:
    other = make("other", "seed=1")
    found = report(capsys, run.path, other.path, *FEW, "--metrics", "points")
    assert [one["run"] for one in found] == [str(run.path), str(other.path)]


def test_one_of_several_that_fails(run, capsys) -> None:
    broken = make("broken")
    (broken.checkpoints / "last.pt").write_bytes(b"")
    arguments = (broken.path, run.path, *FEW, "--metrics", "points", "--json", "out.json")
    out, err = call(capsys, *arguments, status=2)
    assert "damaged" in err
    assert "energy_distance" in out
    assert [one["run"] for one in json.loads(Path("out.json").read_text())] == [str(run.path)]


def test_json_to_a_file_leaves_the_table_on_the_screen(run, capsys) -> None:
    out, _ = call(capsys, run.path, *FEW, "--metrics", "points", "--json", "a.json")
    assert "energy_distance" in out
    names = [figure["name"] for figure in json.loads(Path("a.json").read_text())["figures"]]
    assert "energy_distance" in names


def test_json_needs_a_place_before_any_work(run, capsys) -> None:
    _, err = call(capsys, "--json", run.path, status=2)  # a run taken for a file's name
    assert f"--json {run.path}: is a folder; name a file, or put RUN before --json" in err
    _, err = call(capsys, run.path, "--json", "no/where.json", status=2)
    assert "--json no/where.json: the folder no is missing; make it first" in err


def test_what_does_not_fit_is_told_when_asked_for(run, capsys) -> None:
    out, _ = call(capsys, run.path, *FEW, "--metrics", "points,fid")
    assert "fid was not computed: it is for images, and this data holds points" in out
    out, _ = call(capsys, run.path, *FEW, "--metrics", "fid", status=1)
    assert "no values" in out


def test_a_measure_that_fails(run, capsys, monkeypatch) -> None:
    def fail(self, subject):
        raise DataError("no weights anywhere")

    monkeypatch.setattr(Points, "measure", fail)
    out, _ = call(capsys, run.path, *FEW)
    assert "points failed: no weights anywhere" in out
    assert "modes_captured" in out
    call(capsys, run.path, *FEW, "--metrics", "modes,points", status=1)


def test_the_list_of_measures(capsys) -> None:
    out, _ = call(capsys, "--metrics", "list")
    assert "fid" in out
    assert "Wasserstein" in out


def test_data_that_has_moved_nowhere(run, capsys) -> None:
    _, err = call(capsys, run.path, "--data-root", "x", status=2)
    assert "--data-root x: Ring is read from no folder" in err


def test_data_that_is_another_now(run, capsys) -> None:
    state = checkpoint.load(run.checkpoints / "last.pt")
    state["data"]["fingerprint"] = "0" * 64
    checkpoint.save(run.checkpoints, state, 30, keep_step=False, keep=3)
    _, err = call(capsys, run.path, *FEW, "--metrics", "points")
    assert "the data has changed since training" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RUN is required"),
        (["ring", "--metrics", "pointz"], "unknown metric (did you mean points?)"),
        (["ring", "--checkpoint", "7"], "available: last, best, 20"),
        (["ring", "--split", "test"], "Ring has no test split"),
        (["rong"], "rong is not a run folder"),
    ],
    ids=["none", "metric", "step", "split", "run"],
)
def test_one_line_for_what_is_wrong(run, capsys, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(run.path.parent)
    _, err = call(capsys, *arguments, status=2)
    assert message in err
    assert err.startswith("error: ")


@pytest.mark.parametrize("text", ["0", "1", "-5", "many"])
def test_numbers_of_samples(run, capsys, text: str) -> None:
    _, err = call(capsys, run.path, f"--samples={text}", status=2)
    assert "a whole number from 2 on is required" in err
