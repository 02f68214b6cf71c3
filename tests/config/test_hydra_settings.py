"""What a preset may say of Hydra itself: settings of our launchers, and nothing that runs code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gan_cli.commands.train import compose
from gan_cli.config import settings
from gan_cli.config.command_line import prepare
from gan_cli.errors import ConfigError

WRITES = "{_target_: gan_cli.files.write, _partial_: false, path: MARKER, text: ran}"
FILE = "{class: logging.FileHandler, filename: MARKER}"
HANDLER = f"{{version: 1, root: {{handlers: [x]}}, handlers: {{x: {FILE}}}}}"
FILE_ALONE = "a config file may set hydra.launcher and hydra.sweeper.params, and nothing else"
HYDRA_ALONE = "only hydra/launcher, hydra.launcher and hydra.sweeper.params can be set of Hydra"


def study(folder: Path, text: str, **files: str) -> list[str]:
    """The options for a preset with this text, and for other files of the same folder."""
    files = {"experiment/best.yaml": f"# @package _global_\n{text}\n"} | {
        name.replace("__", "/") + ".yaml": body for name, body in files.items()
    }
    for name, body in files.items():
        file = folder / "study" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(body.replace("MARKER", str(folder / "marker")))
    return [f"--config-dir={folder / 'study'}", "experiment=best", "dry_run=true"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["gan-train"])
    return tmp_path


@pytest.mark.parametrize("mode", [[], ["-m"], ["--cfg=job"], ["--info=config"]])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"hydra: {{callbacks: {{x: {WRITES}}}}}", "hydra.callbacks: "),
        (f"hydra: {{job_logging: {HANDLER}}}", "hydra.job_logging: "),
        (f"hydra: {{hydra_logging: {HANDLER}}}", "hydra.hydra_logging: "),
    ],
)
def test_a_preset_runs_no_code(work: Path, text: str, fault: str, mode: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*study(work, text), *mode])
    assert str(caught.value) == f"experiment/best.yaml: {fault}{FILE_ALONE} of Hydra's"
    assert not (work / "marker").exists()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hydra: {job: {chdir: true}}", "hydra.job: "),
        ("hydra: {run: {dir: /tmp}}", "hydra.run: "),
        ("hydra: {mode: MULTIRUN}", "hydra.mode: "),
        (
            "hydra: {overrides: {hydra: ['hydra.searchpath=[pkg://antigravity]']}}",
            "hydra.overrides",
        ),
        ("hydra: {runtime: {choices: {model: x}}}", "hydra.runtime: "),
        ("hydra: {launcher: {_target_: os.system}}", "hydra.launcher._target_ = os.system: in a c"),
        ("hydra: {launcher: {n_jobs: '${oc.env:HOME}'}}", "hydra.launcher.n_jobs = ${oc.env:HOME}"),
        ("hydra: {launcher: {address: evil:1}}", "hydra.launcher.address = evil:1: in a config"),
        ("hydra: {launcher: {options: {setup: [evil]}}}", "hydra.launcher.options.setup = [evil]"),
        (
            'hydra: {launcher: {options: {qos: "a\\nevil"}}}',
            'hydra.launcher.options.qos = "a\\nevil": in a config file must be one of account',
        ),
        ("hydra: {sweeper: {_target_: os.system}}", "hydra.sweeper: "),
        (
            "hydra: {sweeper: {params: {hydra.searchpath: '[pkg://antigravity]'}}}",
            "hydra.sweeper.params.hydra.searchpath: must be a setting of the run",
        ),
        (
            "hydra: {sweeper: {params: {'+hydra.callbacks': x}}}",
            "hydra.sweeper.params.+hydra.callbacks: must be a setting of the run",
        ),
    ],
)
def test_a_preset_sets_numbers_of_our_launchers_alone(work: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.composed(prepare(study(work, text)))
    assert str(caught.value).startswith(f"experiment/best.yaml: {fault}")


@pytest.mark.filterwarnings("ignore:[^$]*is validated against ConfigStore schema")
@pytest.mark.parametrize(
    ("text", "files", "fault"),
    [
        (
            "defaults: [override /hydra/callbacks: evil]",
            {"hydra__callbacks__evil": f"x: {WRITES}"},
            "hydra/callbacks/evil.yaml: hydra.callbacks: ",
        ),
        (
            "defaults: [/data@hydra.callbacks: evil]",
            {"data__evil": f"x: {WRITES}"},
            "data/evil.yaml: hydra.callbacks: ",
        ),
        ("defaults: [/loss@hydra.callbacks.x: hinge]", {}, "loss/hinge.yaml: hydra.callbacks: "),
        (
            "defaults: [/hydra/job_logging@hydra.callbacks: default]",
            {},
            f"hydra/job_logging@hydra.callbacks = default: {HYDRA_ALONE}",
        ),
        (
            "seed: 1",
            {"hydra__launcher__local": "_target_: os.system"},
            "hydra/launcher/local.yaml: hydra.launcher._target_ = os.system: in a config file",
        ),
    ],
)
def test_no_defaults_list_leads_around_that(
    work: Path, text: str, files: dict[str, str], fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.composed(prepare(study(work, text, **files)))
    assert str(caught.value).startswith(fault)


def test_a_swept_preset_is_checked_too(work: Path) -> None:
    options = study(work, f"hydra: {{callbacks: {{x: {WRITES}}}}}", experiment__good="seed: 1")
    with pytest.raises(ConfigError, match=r"experiment/best\.yaml: hydra\.callbacks: "):
        compose([options[0], "experiment=good,best", "dry_run=true", "-m"])
    assert not (work / "marker").exists()


def test_settings_of_launchers_and_values_to_sweep_over_may_be_in_a_preset(work: Path) -> None:
    text = """
hydra:
  launcher: {minutes: 30, options: {partition: gpu, signal_delay_s: 60}}
  sweeper: {params: {seed: '1,2', model: 'gan,wgan'}}
"""
    line = prepare([*study(work, text), "hydra/launcher=slurm", "-m"])
    with settings.hydra_for(line) as hydra:
        config = hydra.compose_config("train", line.for_hydra, settings.RunMode.MULTIRUN)
    assert config.hydra.launcher.minutes == 30
    assert config.hydra.launcher.options.partition == "gpu"
    assert config.hydra.sweeper.params.seed == "1,2"


def test_a_launcher_is_none_that_a_config_file_describes(work: Path) -> None:
    options = study(work, "seed: 1", hydra__launcher__evil="n_jobs: 2")
    with pytest.raises(ConfigError) as caught:
        settings.composed(prepare([*options, "hydra/launcher=evil"]))
    said = "hydra/launcher = evil: must be local, ray, slurm or basic"
    assert str(caught.value).splitlines()[0] == said


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("hydra.run.dir=X", "hydra.run.dir = X: run folders are named with run.dir, run.name and "),
        ("hydra.sweep.dir=X", "hydra.sweep.dir = X: a sweep's folder is named with sweep.dir or "),
        (
            "hydra.searchpath=[pkg://x]",
            "hydra.searchpath = [pkg://x]: a folder of config files is ",
        ),
        ("+hydra.callbacks.x={}", f"hydra.callbacks.x = {{}}: {HYDRA_ALONE}"),
        ("hydra/job_logging=default", f"hydra/job_logging = default: {HYDRA_ALONE}"),
        ("hydra/callbacks@hydra.x=y", f"hydra/callbacks = y: {HYDRA_ALONE}"),
        ("hydra.verbose=true", f"hydra.verbose = true: {HYDRA_ALONE}"),
        ("~hydra.launcher_x", f"hydra.launcher_x: {HYDRA_ALONE}"),
        ("hydra={}", f"hydra = {{}}: {HYDRA_ALONE}"),
        ("hydra.sweeper._target_=x", "hydra.sweeper._target_ = x: only hydra.sweeper.params and "),
        ("--experimental-rerun=x.pickle", "--experimental-rerun: unpickles a file, which can run "),
        ("--config-path=pkg://x", "--config-path: gan-train has a root config of its own; "),
        ("-cn=evil", "--config-name: gan-train has a root config of its own; "),
    ],
)
def test_what_a_user_cannot_set_of_hydra_is_refused(word: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare([word, "-m"])
    assert str(caught.value).startswith(fault)


def test_a_launcher_of_another_kind_cannot_be_typed(work: Path) -> None:
    with pytest.raises(ConfigError, match=r"hydra\.launcher\._target_ = os\.system: choose one"):
        settings.composed(prepare(["hydra.launcher._target_=os.system"]))


def test_a_plugin_that_lies_about_is_not_imported(work: Path) -> None:
    """Neither in the working directory nor in a folder of --config-dir."""
    options = study(work, "seed: 3")
    for folder in (work, work / "study"):
        plugin = folder / "hydra_plugins" / "evil"
        plugin.mkdir(parents=True)
        (plugin / "evil.py").write_text(f"open({str(work / 'marker')!r}, 'w').close()\n")
    assert settings.composed(prepare(options)).seed == 3
    assert not (work / "marker").exists()
