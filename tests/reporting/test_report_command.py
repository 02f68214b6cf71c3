"""gan-report: from run folders to tables, sentences and files."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from run_folders import sweep, write_run

from gan_cli.commands import report
from gan_cli.config.reproduce import Origin
from gan_cli.reporting import terminal
from gan_cli.reporting.findings import find
from gan_cli.reporting.terminal import watch
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.record import Gatherer


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(capsys, *arguments: object, status: int = 0) -> tuple[str, str]:
    """What the command prints on stdout and stderr."""
    with pytest.raises(SystemExit) as exit_:
        report.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert exit_.value.code == status, err
    assert "Traceback" not in err
    return out, err


def data_sets(capsys, *arguments: object) -> list[dict[str, Any]]:
    return json.loads(call(capsys, *arguments, "--json")[0])


def found(capsys, *arguments: object) -> dict[str, Any]:
    (one,) = data_sets(capsys, *arguments)
    return one


def test_runs_that_differ_by_the_seed_alone_are_one_configuration(capsys) -> None:
    sweep(Path("runs"))
    content = found(capsys)
    assert [one["label"] for one in content["configurations"]] == [
        "gan uniform",
        "gan gaussian",
        "wgan uniform",
        "wgan gaussian",
    ]
    first = content["configurations"][0]
    assert first["settings"] == {"model": "gan", "prior": "uniform"}
    # .83, .86, .89: mean .86, deviation .03, t 4.3027
    assert first["metric"]["mean"] == pytest.approx(0.86)
    assert first["metric"]["high"] == pytest.approx(0.86 + 4.302653 * 0.03 / 3**0.5)
    assert first["training_seconds"] == pytest.approx(4.0)  # 40 steps of .1 s
    assert [run["best_step"] for run in first["runs"]] == [40] * 3


def test_a_bar_counts_the_runs_that_are_compared(capsys, monkeypatch) -> None:
    sweep(Path("runs"))
    told: list[tuple[str, int]] = []
    done: list[int] = []

    @contextmanager
    def bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
        told.append((text, total))
        yield done.append

    monkeypatch.setattr("gan_cli.console.progress_bar", bar)
    content = found(capsys)
    runs = sum(len(one["runs"]) for one in content["configurations"])
    assert told == [("comparing runs", runs)]
    assert sum(done) == runs


def test_pairs_and_effects_in_words(capsys) -> None:
    sweep(Path("runs"))
    content = found(capsys)
    texts = [one["text"] for one in content["comparisons"]]
    assert (
        "no significant difference between gan uniform and wgan uniform on energy_distance, the "
        "first better in 3 of 3 seeds, p = 0.6 after Holm's correction for 6 comparisons" in texts
    )
    assert "With 3 seeds each, no test can reach p < 0.05" in content["power"]
    assert "at best p = 0.1, 0.6 after correction for 6 comparisons" in content["power"]
    assert "use 5 or more of each." in content["power"]
    prior = next(one for one in content["effects"] if one["setting"] == "prior")
    assert prior["difference"]["mean"] == pytest.approx(-0.2)
    assert (prior["levels"], prior["wins"], prior["of"]) == (["uniform", "gaussian"], 6, 6)
    # Six of six: 2 / 2^6, and twice that after Holm's correction for two settings.
    assert prior["p"] == pytest.approx(2 / 64)
    assert prior["corrected"] == pytest.approx(4 / 64)
    assert set(prior["within"]) == {"gan", "wgan"}


def test_a_run_without_readable_settings_adds_no_columns(capsys) -> None:
    sweep(Path("runs"))
    write_run(Path("runs/broken"), values={40: 9.0}).config.write_text("model: [")
    ring, unknown = data_sets(capsys)
    assert [one["label"] for one in ring["configurations"]][-1] == "wgan gaussian"
    assert ring["configurations"][0]["settings"].keys() == {"model", "prior"}
    assert unknown["data"] == "unknown data"
    assert [one["label"] for one in unknown["configurations"]] == ["broken"]
    assert any("config.yaml: cannot be read" in line for line in unknown["warnings"])


def test_a_setting_that_an_older_run_lacks_counts_as_its_default(capsys) -> None:
    for seed in range(2):
        run = write_run(Path(f"runs/{seed}"), "model=gan", seed=seed)
        if seed:
            config = yaml.safe_load(run.read_config() or "")
            del config["model"]["fake_labels"], config["evaluation"], config["network"]["width"]
            run.write_config(yaml.safe_dump(config))
    write_run(Path("runs/wide"), "model=gan", "network.width=7")
    content = found(capsys)
    labels = {one["label"]: len(one["runs"]) for one in content["configurations"]}
    assert labels == {"width=512": 2, "width=7": 1}


FORCED = {"forced": [{"step": 20, "before": ["optimizer.lr=0.0002"]}]}
ROLLED_BACK = {"rollbacks": [{"from": 30, "to": 20, "factor": 0.5}]}


@pytest.mark.parametrize(
    ("status", "history"),
    [
        (FORCED, "optimizer.lr=0.0002 before step 20"),
        (ROLLED_BACK, "rollback with rates times 0.5"),
    ],
)
@pytest.mark.parametrize("keys", [(), ("optimizer.lr",)])
def test_runs_with_other_settings_in_earlier_steps_are_a_configuration_of_their_own(
    status: dict[str, Any], history: str, keys: tuple[str, ...]
) -> None:
    for seed in range(2):
        write_run(Path(f"runs/fresh{seed}"), "model=gan", seed=seed)
        run = write_run(Path(f"runs/other{seed}"), "model=gan", seed=seed)
        run.write_status("finished", 40, **status)
    (one,) = find(Gatherer(["runs"])(), keys=keys)
    assert [len(c.records) for c in one.configurations] == [2, 2]
    faults = {c.origin.fault for c in one.configurations}
    assert faults == {"", f"earlier steps had other settings: {history}"}
    assert len({c.label for c in one.configurations}) == 2
    assert any("the command is not exact: earlier steps had" in line for line in one.warnings)


def test_a_run_that_went_back_to_its_start_equals_one_with_the_lower_rates(capsys) -> None:
    write_run(Path("runs/a"), "model=gan", seed=0)
    run = write_run(Path("runs/b"), "model=gan", seed=1)
    run.write_status("finished", 40, rollbacks=[{"from": 9, "to": 0, "factor": 0.5}])
    (only,) = found(capsys)["configurations"]
    assert only["exact"]


def test_a_time_limit_counts_only_where_it_ended_a_run(capsys) -> None:
    write_run(Path("runs/free"), "model=gan")
    write_run(Path("runs/minute"), "model=gan", "max_time=1m", seed=1)
    write_run(Path("runs/hour"), "model=gan", "max_time=1h", seed=2)
    write_run(Path("runs/short"), "model=gan", "max_time=5s", values={20: 2.0})
    write_run(Path("runs/quick"), "model=gan", "max_time=5s", seed=1)  # did all its 40 steps
    content = found(capsys)
    names = {
        one["label"]: {run["seed"] for run in one["runs"]} for one in content["configurations"]
    }
    assert names == {"gan": {0, 1, 2}, "max_time=5": {0, 1}}


def test_enough_seeds_make_a_difference_clear(capsys) -> None:
    for seed in range(4):
        write_run(Path(f"runs/a{seed}"), "model=gan", seed=seed, values={40: 1 + seed / 100})
        write_run(Path(f"runs/b{seed}"), "model=wgan", seed=seed, values={40: 2 + seed / 100})
    content = found(capsys)
    assert [one["text"] for one in content["comparisons"]] == [
        "gan beats wgan on energy_distance, better in 4 of 4 seeds, p = 0.029"
    ]
    assert content["power"] == ""


def test_the_screen_shows_it_all(capsys) -> None:
    sweep(Path("runs"))
    write_run(Path("runs/broken"), "model=dcgan", status="failed", error="no room left")
    out, err = call(capsys, "--out", "page.html")
    for text in ("model", "prior", "0.86 ± 0.07", "1 failed", "no room left"):
        assert text in out, text
    assert "runs/broken/train.log" in "".join(out.split())
    assert "prior: gaussian or uniform?" in out
    assert "page: page.html" in err


def test_runs_that_did_not_finish_do_not_count_and_are_listed(capsys) -> None:
    for seed, value in enumerate((1.0, 2.0, 3.0)):
        write_run(Path(f"runs/{seed}"), "model=gan", seed=seed, values={40: value})
    write_run(Path("runs/9"), "model=gan", seed=9, values={20: 99.0}, status="interrupted")
    write_run(Path("runs/8"), "model=gan", seed=8, values={20: 5.0, 40: "nan"})
    write_run(Path("runs/7"), "model=gan", seed=7, values={20: -1e308, 40: 1e308})
    content = found(capsys, "--out", "page.html")
    assert content["configurations"][0]["metric"]["mean"] == 2
    assert any("3 of 6 runs do not count" in line for line in content["warnings"])


def test_higher_is_better_where_the_metric_says_so(capsys) -> None:
    for seed, (good, bad) in enumerate(((8, 3), (7, 2))):
        more = {"name": "modes_captured", "better": "higher", "seed": seed}
        write_run(Path(f"runs/a{seed}"), "model=gan", values={20: good, 40: 6}, **more)
        write_run(Path(f"runs/b{seed}"), "model=wgan", values={40: bad}, **more)
    content = found(capsys)
    assert (content["metric"], content["better"]) == ("modes_captured", "higher")
    assert [one["label"] for one in content["configurations"]] == ["gan", "wgan"]
    assert content["configurations"][0]["metric"]["mean"] == 6
    assert found(capsys, "--at", "best")["configurations"][0]["metric"]["mean"] == 7.5
    assert found(capsys, "--lower")["configurations"][0]["label"] == "wgan"


def test_a_metric_can_be_named_by_its_first_part(capsys) -> None:
    write_run(Path("runs/a"), name="fid_classifier", values={40: 2.0})
    for wanted in ("fid", "metrics/fid", "fid_classifier"):
        content = found(capsys, "--metric", wanted)
        assert content["metric"] == "fid_classifier"
        assert content["configurations"][0]["metric"]["mean"] == 2
    write_run(Path("runs/b"), name="fid_inception", values={40: 3.0}, seed=1)
    _, err = call(capsys, "--metric", "fid", status=2)
    assert err == "error: --metric fid: may be fid_classifier or fid_inception; name one of them\n"


def test_a_loss_is_compared_only_by_its_name_and_with_a_warning(capsys) -> None:
    write_run(Path("runs/a"), values={})
    RunFolder("runs/a").metrics.write_text('{"step": 10, "loss/generator": 1.5}\n{"step": 2')
    assert found(capsys)["metric"] is None
    content = found(capsys, "--metric", "loss/generator", "--lower")
    assert content["configurations"][0]["metric"]["mean"] == 1.5
    assert any("does not measure quality" in line for line in content["warnings"])


def saved(run: RunFolder) -> RunFolder:
    """The run with a checkpoint, so that it could be evaluated."""
    (run.checkpoints / "last.pt").touch()
    return run


def test_without_evaluations_the_command_for_them_is_shown(capsys) -> None:
    """What step 0 was evaluated to, before training, is no value of the run."""
    for name, values in (("a", {}), ("b", {0: 3.0})):
        run = saved(write_run(Path(f"runs/{name}"), "model=gan", seed=ord(name), values=values))
        run.metrics.write_text('{"step": 40, "loss/generator": 1.5}\n')
    out, _ = call(capsys)
    assert "Not known yet: no run has been evaluated." in out
    assert "To evaluate them, run this:\n  gan-eval runs/a runs/b\n" in out
    content = found(capsys)
    assert content["configurations"][0]["metric"] is None
    assert content["not_evaluated"] == ["runs/a", "runs/b"]


def test_many_runs_to_evaluate_are_a_pattern_where_it_fits(capsys) -> None:
    for seed in range(6):
        saved(write_run(Path(f"runs/a b/{seed}"), seed=seed, values={}))
    assert found(capsys)["evaluate"] == "gan-eval 'runs/a b'/*/config.yaml"
    (one,) = data_sets(capsys, *(f"runs/a b/{seed}" for seed in range(5)))
    assert one["evaluate"].count("'runs/a b/") == 5  # all but one, so each by itself


def test_values_of_other_protocols_are_not_compared(capsys) -> None:
    """Two of three were evaluated with 100 samples, and so is the third if one asks for it."""
    for seed in (1, 2):
        write_run(Path(f"runs/a{seed}"), "model=gan", seed=seed, samples=100, values={40: 1.0})
    other = saved(write_run(Path("runs/b"), "model=wgan", samples=5000, values={40: 0.1}))
    content = found(capsys)
    assert [one["label"] for one in content["configurations"]] == ["gan", "wgan"]
    assert content["configurations"][1]["metric"] is None
    assert content["evaluate"] == "gan-eval runs/b --samples 100"
    out, _ = call(capsys)
    told = "1 run was evaluated with 5,000 samples and the others with 100 samples, so not compared"
    assert told in out
    evaluation = other.evaluations / "step_00000040.json"
    again = json.loads(evaluation.read_text())
    again["figures"][0]["protocol"]["samples"] = 100
    again["figures"][0]["value"] = 0.5
    (other.evaluations / "step_00000040-more.json").write_text(json.dumps(again))
    content = found(capsys)
    assert [one["label"] for one in content["configurations"]] == ["wgan", "gan"]
    assert content["configurations"][0]["metric"]["mean"] == 0.5
    assert content["evaluate"] is None


def test_data_sets_are_never_compared_with_each_other(capsys) -> None:
    for seed in (1, 2):
        write_run(Path(f"runs/r{seed}"), "model=gan", seed=seed, values={40: 1.0})
        write_run(Path(f"runs/g{seed}"), "model=gan", "data=grid", seed=seed, values={40: 9.0})
        write_run(Path(f"runs/w{seed}"), "model=wgan", "data=grid", seed=seed, values={40: 8.0})
        four = ("model=gan", "data.modes=4")
        write_run(Path(f"runs/f{seed}"), *four, seed=seed, values={40: 2.0})
    content = data_sets(capsys)
    assert [one["data"] for one in content] == ["grid", "ring (modes=4)", "ring (modes=8)"]
    assert [len(one["comparisons"]) for one in content] == [1, 0, 0]
    assert [one["label"] for one in content[0]["configurations"]] == ["wgan", "gan"]
    assert content[0]["configurations"][0]["settings"] == {"model": "wgan"}  # all have the data
    out, _ = call(capsys)
    assert "Which model is best on grid?" in out
    assert "How good is gan on ring (modes=4)?" in out


def test_a_run_that_a_study_pruned_is_not_to_be_resumed(capsys) -> None:
    for seed, state in enumerate(("finished", "interrupted", "interrupted")):
        run = saved(write_run(Path(f"runs/{seed}"), "model=gan", seed=seed, status=state))
        if seed == 1:
            status = json.loads(run.status.read_text())
            status["trial"] = {"state": "pruned", "why": "pruned at step 12"}
            run.status.write_text(json.dumps(status))
    out, _ = call(capsys)
    assert "gan-train resume=runs/2" in out
    assert "resume=runs/1" not in out


def test_mirroring_the_training_images_is_the_same_data(capsys) -> None:
    from gan_cli.reporting.configurations import Configuration, by_data

    def one(**data: Any) -> Configuration:
        return Configuration([], {"choices": {"data": "folder"}, "data": data}, Origin(()))

    plain, flipped = one(root="/a/photos", flip=False), one(root="/a/photos", flip=True)
    other = one(root="/b/faces", flip=False)
    assert by_data([plain, flipped, other]) == {"photos": [plain, flipped], "faces": [other]}
    twin = one(root="/b/photos", flip=False)
    assert list(by_data([plain, twin])) == ["photos (root=/a/photos)", "photos (root=/b/photos)"]


@pytest.mark.parametrize("width", [80, 100])
def test_the_screen_fits(capsys, monkeypatch, width: int) -> None:
    """Many settings that differ are one column, and what matters least is left out first."""
    monkeypatch.setattr(terminal, "PIPED_WIDTH", width)
    for seed, more in enumerate(("prior=uniform", "network.width=7", "optimizer.lr=0.001")):
        for model in ("gan", "wgan"):
            settings = (f"model={model}", more, "batch_size=32", "network.depth=2")
            state = "interrupted" if seed else "finished"
            run = write_run(Path(f"runs/{model}{seed}"), *settings, seed=seed, status=state)
            saved(run)
    out, _ = call(capsys)
    commands = [line for line in out.splitlines() if "gan-train resume=" in line]
    assert len(commands) == 4
    shown = [line for line in out.splitlines() if line not in commands]
    assert max(map(len, shown)) <= width
    assert "…" not in out
    assert "1 interrupted" in out


def test_interrupted_is_not_failed(capsys) -> None:
    write_run(Path("runs/a"), "model=gan", values={40: 1.0})
    saved(write_run(Path("runs/b"), "model=wgan", values={20: 0.5}, status="interrupted"))
    write_run(Path("runs/c"), "model=dcgan", values={}, status="failed", error="no room left")
    out, _ = call(capsys)
    interrupted, failed = out.split("Interrupted; to resume:\n")[1].split("Failed\n")
    assert "gan-train resume=runs/b" in interrupted
    assert "step 20 of 40; stopped by a signal" in interrupted
    assert "runs/c: failed at step 0: no room left" in failed
    assert "runs/b" not in failed
    assert "(0.5000)" in out
    assert "in brackets: not finished, so not compared" in out
    content = found(capsys)
    assert content["answer"] == ["Only gan has a value: energy_distance 1 (lower is better)."]


def test_alarms_are_listed_and_shown_as_plain_text(capsys) -> None:
    run = write_run(Path("runs/a"), "model=gan")
    alarm = {"name": "mode_collapse", "step": 1200, "words": "[red]all alike\x1b[31m"}
    run.write_status("finished", 40, alarms=[alarm])
    out, _ = call(capsys)
    assert "Alarms\n  runs/a: step 1,200: mode collapse: [red]all alike" in out
    assert "\x1b" not in out


def test_the_answer_says_how_sure_it_is(capsys) -> None:
    sweep(Path("runs"), seeds=1)
    content = found(capsys)
    assert content["question"] == "Which configuration is best on ring?"
    assert content["answer"] == [
        "gan uniform has the best energy_distance 0.8300. Without two seeds of each, there is no "
        "test."
    ]


def test_a_single_value_has_the_digits_of_its_error(capsys) -> None:
    run = write_run(Path("runs/a"), "model=gan", values={40: 1.23456})
    path = run.evaluations / "step_00000040.json"
    content = json.loads(path.read_text())
    content["figures"][0]["error"] = 0.0234
    path.write_text(json.dumps(content))
    assert found(capsys)["answer"] == ["energy_distance 1.235 (lower is better)."]
    content["figures"][0]["error"] = 0.06
    path.write_text(json.dumps(content))
    assert found(capsys)["answer"] == ["energy_distance 1.23 (lower is better)."]


@pytest.mark.parametrize(
    ("arguments", "page"),
    [
        ([], "runs/report.html"),
        (["runs/gan"], "runs/gan/report.html"),
        (["runs/gan/1", "runs/wgan/1"], "runs/report.html"),
        (["runs/*/1"], "runs/report.html"),
        (["runs/gan/1"], "runs/gan/1/report.html"),
        (["latest"], "runs/wgan/2/report.html"),
        (["--out", "mine.html"], "mine.html"),
    ],
)
def test_the_page_is_written_beside_the_runs(capsys, arguments, page: str) -> None:
    for model in ("gan", "wgan"):
        for seed in (1, 2):
            write_run(Path(f"runs/{model}/{seed}"), f"model={model}", seed=seed)
    _, err = call(capsys, *arguments)
    assert f"page: {page}\n" in err
    assert "energy_distance" in Path(page).read_text()


def test_no_page_is_written_through_a_link(capsys, tmp_path) -> None:
    write_run(Path("runs/a"))
    target = tmp_path / "elsewhere.html"
    Path("runs/report.html").symlink_to(target)
    _, err = call(capsys, status=2)
    assert "runs/report.html: is a link" in err
    assert not target.exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=wgan_gp", "prior.dim=7", "optimizer.lr=0.001"),
        ("experiment=gaussian_1d", "ema.decay=0"),
        ("model=gan", "epochs=3", "loss=hinge", "optimizer.generator.lr=0.01"),
        ("model=gan", "max_time=90s", "evaluation.every=5", "evaluation.metrics=[modes,points]"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_the_command_composes_to_the_same_settings(capsys, overrides) -> None:
    import shlex

    from gan_cli.config.settings import settings_of

    run = write_run(Path("runs/a"), *overrides, seed=5)
    one = found(capsys)["configurations"][0]
    assert one["exact"]
    program, *words = shlex.split(one["command"])
    assert program == "gan-train"
    from gan_cli.config.settings import from_yaml

    again, saved = settings_of(*words), from_yaml(run.read_config() or "")
    assert again.model_copy(update={"choices": {}}) == saved.model_copy(update={"choices": {}})


def test_a_sweep_is_one_command(capsys) -> None:
    sweep(Path("runs"), seeds=2)
    one = found(capsys)["configurations"][0]
    assert one["command"] == (
        "gan-train -m model=gan data=ring prior=uniform steps=40 runtime.threads=1 seed=1,2"
    )


def test_what_does_not_compose_here_is_shown(capsys) -> None:
    run = write_run(Path("runs/a"), "model=gan")
    text = (run.read_config() or "").replace("model: gan", "model: mine")
    run.write_config(text)
    content = found(capsys)
    assert not content["configurations"][0]["exact"]
    assert any("do not compose here" in line for line in content["warnings"])


def test_csv_has_a_line_a_run(capsys) -> None:
    sweep(Path("runs"), seeds=2)
    out, _ = call(capsys, "runs", "--csv", "--latex", "table.tex")
    lines = list(csv.DictReader(io.StringIO(out)))
    assert len(lines) == 8
    assert (lines[0]["data"], lines[0]["prior"]) == ("ring", "uniform")
    assert float(lines[0]["final"]) == pytest.approx(0.83)
    assert r"energy\_distance $\downarrow$" in Path("table.tex").read_text()
    assert not Path("report.html").exists()


def test_a_folder_that_is_called_as_a_home_is_named_with_its_place(capsys) -> None:
    write_run(Path("./~no-such-user/a"))
    assert len(found(capsys, "./~no-such-user")["configurations"]) == 1
    assert len(found(capsys, "~no-such-user")["configurations"]) == 1  # as a shell leaves it


def test_globs_and_folders(capsys) -> None:
    sweep(Path("runs"), seeds=2)
    content = found(capsys, "runs/gan-*-1", "runs/wgan-uniform-2/config.yaml")
    runs = [run["run"] for one in content["configurations"] for run in one["runs"]]
    names = ["gan-gaussian-1", "gan-uniform-1", "wgan-uniform-2"]
    assert sorted(runs) == [f"runs/{name}" for name in names]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runz"], "runz is not a run folder"),
        (["runs/x*"], "runs/x*: matches no run folder"),
        (["--metric", "enrgy_distance"], "no run has it (did you mean energy_distance?)"),
        (["--metric", "speed/seconds_per_step"], "add --lower or --higher"),
        (["--out", "runs"], "--out runs: is a folder"),
        (["--csv", "no/a.csv"], "the folder no is missing; make it first"),
        (["--out", "mine.html"], "is a file that no gan-report wrote"),
    ],
    ids=["place", "glob", "metric", "direction", "folder", "nowhere", "foreign"],
)
def test_one_line_for_what_is_wrong(capsys, arguments, message) -> None:
    write_run(Path("runs/a"))
    Path("mine.html").write_text("precious")
    _, err = call(capsys, *arguments, status=2)
    assert message in err
    assert err.startswith("error: ")
    assert Path("mine.html").read_text() == "precious"


def test_watching_goes_on_until_no_run_does(capsys) -> None:
    looks: list[str] = []
    run = write_run(Path("runs/a"), values={20: 1.0}, status="running")
    options = report.parser().parse_args(["runs"])

    from rich.console import Console

    from gan_cli.commands.report import findings
    from gan_cli.runs.record import Gatherer

    gatherer = Gatherer(["runs"])

    def look() -> Any:
        looks.append(run.read_status()["status"])
        return findings(options, gatherer())

    def wait(_: float) -> None:
        run.write_status("finished", 40)

    with run.lock():
        assert watch(Console(), look, 2.0, wait) == 0
    assert looks == ["running", "finished"]
    assert "How good is dcgan on ring?" in capsys.readouterr().out


def test_no_command_of_reports_imports_torch() -> None:
    write_run(Path("runs/a"))
    code = (
        "import sys; from gan_cli.commands import report\n"
        "try: report.main(['--json', 'a.json', '--out', 'a.html'])\n"
        "except SystemExit as end: assert not end.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("a.html").exists()


def test_a_real_run(capsys, monkeypatch) -> None:
    from gan_cli.commands import train

    words = "model=gan data=ring network.width=4 steps=4 log_every=1 sample_every=2 run.name=one"
    words += " runtime.threads=1 runtime.device=cpu evaluation.every=2 evaluation.samples=50"
    monkeypatch.setattr(sys, "argv", ["gan-train", *words.split(), "evaluation.metrics=points"])
    with pytest.raises(SystemExit) as exit_:
        train.main()
    assert exit_.value.code == 0
    capsys.readouterr()
    content = found(capsys, "--out", "a.html")
    one = content["configurations"][0]
    run = one["runs"][0]
    assert (content["metric"], one["label"]) == ("energy_distance", "gan")
    assert (run["state"], run["step"], run["counts"]) == ("finished", 4, True)
    assert run["final"] > 0
    assert run["images_per_second"] > 0
    assert one["exact"]
    assert "model=gan data=ring" in one["command"]
    assert Path("a.html").read_text().count("data:image/png") == 2  # steps 2 and 4


def protocol_of(run: RunFolder, step: int, value: float, **protocol: object) -> None:
    """Change an evaluation's value and protocol."""
    path = run.evaluations / f"step_{step:08}.json"
    content = json.loads(path.read_text())
    content["figures"][0]["value"] = value
    content["figures"][0]["protocol"].update(protocol)
    path.write_text(json.dumps(content))


def test_values_of_raw_weights_are_not_those_of_a_run_with_averaged_ones(capsys) -> None:
    run = write_run(Path("runs/a"), "model=gan", values={40: 2.0})
    content = json.loads((run.evaluations / "step_00000040.json").read_text())
    content |= {"weights": "raw", "step": 43}
    content["figures"][0]["value"] = 1.0
    (run.evaluations / "step_00000043-raw.json").write_text(json.dumps(content))
    (only,) = found(capsys)["configurations"]
    assert only["runs"][0]["final"] == 2.0


def test_a_value_of_the_common_protocol_stands_in_place_of_the_run_s_own(capsys) -> None:
    values = {20: 3.0, 40: 2.0}
    for seed in range(2):
        write_run(Path(f"runs/a{seed}"), "model=gan", seed=seed, values=values)
    run = write_run(Path("runs/a2"), "model=gan", seed=2, values=values)
    protocol_of(run, 40, 2.0, samples=5000)  # what the run's own curve has
    content = json.loads((run.evaluations / "step_00000040.json").read_text())
    content["figures"][0] |= {
        "value": 7.0,
        "protocol": {"samples": 100, "seed": 0, "split": "train"},
    }
    (run.evaluations / "step_00000040-more.json").write_text(json.dumps(content))
    (only,) = found(capsys)["configurations"]
    assert [one["final"] for one in only["runs"]] == [2.0, 2.0, 7.0]


def test_images_that_were_resized_by_another_rule_are_not_compared(capsys) -> None:
    for seed in range(4):
        for model, rule, value in (("gan", "bilinear", 1.0), ("wgan", "bicubic", 0.1)):
            path = Path(f"runs/{model}{seed}")
            run = saved(write_run(path, f"model={model}", seed=seed, values={40: 9}))
            protocol_of(run, 40, value + seed / 100, resize=rule)
    assert found(capsys)["comparisons"] == []
    out = " ".join(call(capsys)[0].split())
    assert "4 runs were evaluated with size bicubic and the others with size bilinear" in out


def test_runs_are_evaluated_by_the_resize_rule_of_the_others(capsys) -> None:
    clean = "antialiased bicubic to 299x299 by PIL, as clean-fid; grey as three channels"
    for seed in range(3):
        run = saved(write_run(Path(f"runs/a{seed}"), seed=seed, values={40: 1.0}))
        protocol_of(run, 40, 1.0, resize=clean if seed else "bilinear to 299x299")
    assert found(capsys)["evaluate"].endswith(" --resize clean")


def test_the_answer_is_by_the_ranks_where_an_outlier_decides_the_means(capsys) -> None:
    for seed in range(9):
        good = 400.0 if seed == 8 else 10 + seed / 10
        write_run(Path(f"runs/a{seed}"), "model=gan", seed=seed, values={40: good})
        write_run(Path(f"runs/b{seed}"), "model=wgan", seed=seed, values={40: 20 + seed / 10})
    (answer,) = found(capsys)["answer"]
    assert answer.startswith("wgan has the best mean, energy_distance 20.4")
    assert answer.endswith("but gan beats it by the ranks: an outlier decides a mean.")


def test_points_of_the_protocol_before_a_resume_alone_are_compared(capsys) -> None:
    """A run was resumed with more samples: its later point is drawn, and not compared."""
    for seed in range(4):
        write_run(Path(f"runs/a{seed}"), "model=gan", seed=seed, values={20: 3.0, 40: 2.0})
        run = write_run(Path(f"runs/b{seed}"), "model=wgan", seed=seed, values={20: 4.0, 40: 0.1})
        protocol_of(run, 40, 0.1, samples=5000)
    content = found(capsys)
    means = {one["label"]: one["metric"]["mean"] for one in content["configurations"]}
    assert means == {"gan": 2.0, "wgan": 4.0}
