"""gan-runs: what is listed, found, tagged, compared and removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from run_folders import write_run
from test_foreign import BOMB

from gan_cli.commands import report as report_command
from gan_cli.commands.runs import main
from gan_cli.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runs() -> list[RunFolder]:
    """Two finished runs and one that was killed."""
    return [
        write_run(Path("runs/a"), "model=gan", seed=1, values={20: 3.0, 40: 1.0}),
        write_run(Path("runs/b"), "model=wgan", seed=2, values={40: 2.0}),
        write_run(Path("runs/c"), "model=wgan", seed=3, values={20: 9.0}, status="running"),
    ]


def call(capsys, *arguments: object, status: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert exit_.value.code == status, err
    assert "Traceback" not in err
    return out, err


def report(capsys, *arguments: str) -> tuple[str, str]:
    with pytest.raises(SystemExit) as exit_:
        report_command.main(list(arguments))
    out, err = capsys.readouterr()
    assert exit_.value.code == 0, err
    return out, err


def paths(capsys, *arguments: object) -> list[str]:
    return [line[-1] for line in call(capsys, *arguments, "--paths")[0].splitlines()]


def test_the_list_shows_states_and_the_dead_as_killed(runs, capsys) -> None:
    with runs[1].lock():
        runs[1].write_status("running", 20)
        out, _ = call(capsys, "--show", "prior")
    lines = {word: line for line in out.splitlines() for word in line.split() if "runs/" in word}
    assert "finished" in lines["runs/a"]
    assert "40/40" in lines["runs/a"]
    assert "gaussian" in lines["runs/a"]
    assert "running" in lines["runs/b"]
    assert "killed" in lines["runs/c"]
    assert "3 runs, " in out


def test_finding_and_sorting(runs, capsys) -> None:
    assert paths(capsys, "--where", "model=wgan and metrics.energy<5") == ["b"]
    assert paths(capsys, "--where", "seed>1 and optimizer.lr<1") == ["b", "c"]
    assert paths(capsys, "--where", "state=killed or size>1GB") == ["c"]
    assert paths(capsys, "--sort=-metrics.energy_distance") == ["c", "b", "a"]
    assert paths(capsys, "runs", "--sort", "metrics.energy_distance") == ["a", "b", "c"]


def test_lists_and_settings_that_are_not_set_are_found_shown_and_sorted(runs, capsys) -> None:
    write_run(
        Path("runs/d"), "optimizer.betas=[0,0.9]", "evaluation.patience=3", "evaluation.every=9"
    )
    assert paths(capsys, "--where", "optimizer.betas!='[0, .9]'") == ["a", "b", "c"]
    assert paths(capsys, "--where", "evaluation.patience=null") == ["a", "b", "c"]
    assert paths(capsys, "--where", "evaluation.patience>1") == ["d"]
    assert paths(capsys, "--sort", "evaluation.patience")[0] == "d"
    out, _ = call(capsys, "--show", "optimizer.betas", "--show", "evaluation.patience")
    assert "[0,0.9]" in out
    assert "null" in out


def test_a_metric_s_first_part_means_the_same_in_all_runs(runs, capsys) -> None:
    write_run(Path("runs/d"), name="energy_score")
    for words in (["--where", "metrics.energy<5"], ["--sort", "metrics.energy"]):
        _, err = call(capsys, *words, status=2)
        assert "metrics.energy: may be energy_distance or energy_score; name one of them" in err


def test_runs_are_found_by_how_they_came_about(runs, capsys) -> None:
    runs[0].write_status("finished", 40, branched_from="runs/x/checkpoints/step_00000003.pt")
    runs[1].write_status("finished", 40, rollbacks=[{"from": 9, "to": 5, "factor": 0.5}])
    runs[2].write_status("finished", 40, forced=[{"step": 3, "before": ["seed=1"]}])
    assert paths(capsys, "--where", "branched_from~runs/x") == ["a"]
    assert paths(capsys, "--where", "rollbacks>0") == ["b"]
    assert paths(capsys, "--where", "forced=1") == ["c"]


def test_runs_are_found_by_their_alarms(runs, capsys) -> None:
    alarm = {"name": "mode_collapse", "step": 20, "words": "all alike"}
    runs[1].write_status("finished", 40, alarms=[alarm])
    assert paths(capsys, "--where", "alarm=mode_collapse") == ["b"]
    assert paths(capsys, "--where", "alarm~.") == ["b"]
    assert "mode_collapse" in call(capsys, "--show", "alarm")[0]


def test_a_key_that_no_run_has_is_an_error(runs, capsys) -> None:
    _, err = call(capsys, "--where", "modle=gan", status=2)
    assert "--where: no run has modle (did you mean model?)" in err
    _, err = call(capsys, "--sort", "metrics.energy_distanc", status=2)
    assert "no run has metrics.energy_distanc (did you mean metrics.energy_distance?)" in err


def test_tags_are_kept_and_found(runs, capsys) -> None:
    assert call(capsys, "tag", "runs/a", "paper", "best")[0] == "runs/a: best, paper\n"
    assert paths(capsys, "--where", "tag=paper") == ["a"]
    assert call(capsys, "tag", "runs/a", "paper", "--remove")[0] == "runs/a: best\n"
    assert paths(capsys, "--where", "tag=paper") == []
    _, err = call(capsys, "tag", "runs/a", "other", "--remove", status=2)
    assert "runs/a has best" in err


def test_two_runs_compared(runs, capsys) -> None:
    out, _ = call(capsys, "compare", "runs/a", "runs/b")
    lines = {line.split()[1]: line.split() for line in out.splitlines() if line.startswith("│")}
    assert lines["choices.model"][3::2] == ["gan", "wgan"]
    assert lines["energy_distance"][3::2] == ["1", "2"]
    assert "prior.dim" not in out


HOSTILE = {
    "a date that does not exist": ("config.yaml", "seed: 2020-02-30\n"),
    "an integer of 5,000 digits": ("config.yaml", f"seed: {'9' * 5000}\n"),
    "a recursive anchor": ("config.yaml", "seed: &me [*me]\n"),
    "900 levels": ("config.yaml", "a: " + "[" * 900 + "]" * 900),
    "a bomb of aliases": ("config.yaml", BOMB),
    "a step that is not finite": ("status.json", '{"status": "finished", "step": 1e999}'),
    "a step that is text": ("status.json", '{"status": "finished", "step": "x"}'),
    "a state with markup": ("status.json", '{"status": "[/red]<script>", "step": 1}'),
    "a best that is a list": ("status.json", '{"status": "finished", "step": 1, "best": [1]}'),
    "a best of text": (
        "status.json",
        '{"status": "finished", "step": 1, "best": {"figure": "fid", "value": "x"}}',
    ),
    "tags that are no list": ("tags.json", "{}"),
    "a tag that is no text": ("tags.json", "[[1]]"),
    "a metric without a name": ("evaluations/step_00000020.json", '{"step": 20, "figures": [3]}'),
    "a protocol that is a list": (
        "evaluations/step_00000020.json",
        '{"step": 20, "figures": [{"name": "energy_distance", "value": 1, "protocol": [1]}]}',
    ),
    "choices that are lists": ("config.yaml", "choices: {model: [1], data: {a: 1}, 3: 4}\n"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_one_damaged_run_gives_a_warning_and_the_others_are_listed(what, runs, capsys) -> None:
    name, text = HOSTILE[what]
    (runs[0].path / name).write_text(text)
    out, err = call(capsys, "--sort", "age", "--show", "seed")
    assert all(f"runs/{name}" in out for name in "abc")
    assert "3 runs, " in out
    lines = [line for line in err.splitlines() if "warning: runs/a/" in line]
    assert len(lines) == len(err.splitlines()) == (not what.startswith(("a protocol", "choices")))
    out, err = report(capsys, "--csv")
    assert all(f"runs/{name}" in out for name in "abc")


@pytest.mark.parametrize("name", ["config.yaml", "status.json", "metrics.jsonl", "tags.json"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_pipes_and_links_are_not_read(name, kind, runs, capsys) -> None:
    path = runs[0].path / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    out, err = call(capsys)
    listed = "runs/a" in out
    assert "runs/b" in out
    if name == "status.json":  # without it, and without checkpoints, the folder is no run
        assert not listed
    else:
        assert listed
        assert f"warning: {path}: cannot be read (is " in err
    assert "runs/b" in report(capsys, "--csv")[0]


def test_text_of_a_run_reaches_the_terminal_without_escapes(capsys) -> None:
    evil = "\x1b]0;owned\ud800"
    folder = Path(os.fsdecode(b"runs/\xff\x1b[31m"))
    run = write_run(folder, "model=gan", name=f"fid{evil}", status="failed", error=f"why{evil}")
    write_run(Path("runs/b"), "model=wgan", name=f"fid{evil}")
    run.write_config(run.config.read_text() + 'mark: "x\\e]0;owned"\n')
    (run.path / "tags.json").write_text(json.dumps([f"tag{evil}"]))
    shown = r"\x1b]0;owned\ud800"
    out, err = call(capsys, "--show", "mark", "--show", "error")
    assert f"tag{shown}" in out
    assert f"why{shown}" in out
    assert r"x\x1b]0;owned" in out
    assert r"\udcff\x1b[31m" in out
    compared = ("--metric", f"fid{evil}", "--lower")
    lines = [out, err, *call(capsys, "compare", folder, "runs/b"), *report(capsys, *compared)]
    lines += call(capsys, "remove", folder, status=2)
    lines += call(capsys, "tag", folder, "other")
    assert all(f"fid{shown}" in text for text in (lines[2], lines[4]))
    assert not any(sign in text for text in lines for sign in ("\x1b", "\ud800"))
    assert Path("runs/report.html").exists()
    report(capsys, *compared, "--csv", "-", "--json", "out.json", "--latex", "out.tex")
    assert json.loads(Path("out.json").read_text())[0]["metric"] == f"fid{evil}"


def test_paths_for_scripts_are_the_file_system_s_own(capsysbinary) -> None:
    write_run(Path(os.fsdecode(b"runs/\xff\x1b[31m")), "model=gan")
    with pytest.raises(SystemExit):
        main(["--paths"])
    assert capsysbinary.readouterr().out == b"runs/\xff\x1b[31m\n"
