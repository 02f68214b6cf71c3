"""What README, CONTRIBUTING, docs/ and --help tell users to type is what the programs take."""

from __future__ import annotations

import argparse
import importlib
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from data.pictures import noise, save
from documented import PAGES, PROJECT, README, commands, examples, mentions, readme_files
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from run_folders import write_run
from torch.distributed.run import get_args_parser

from gan_cli.commands import evaluate, interpolate, report, runs, sample, tune
from gan_cli.commands.train import compose, on_top_of_run
from gan_cli.config import settings
from gan_cli.config.command_line import open_path, prepare
from gan_cli.config.settings import composed, settings_of
from gan_cli.console import setup_logging
from gan_cli.evaluation.registry import parse, require_known
from gan_cli.managing import query
from gan_cli.runs import folder
from gan_cli.runs.folder import FINISHED, RunFolder
from gan_cli.tuning.plan import plan_of

PROGRAMS = {entry.name: entry for entry in entry_points(group="console_scripts")}
STUDY = ["model=wgan", "optimizer.lr=1e-3,1e-4", "tune.metric=metrics/fid_classifier"]
HELPS = [
    sample.EXAMPLES,
    interpolate.EXAMPLES,
    evaluate.EXAMPLES,
    report.EXAMPLES,
    runs.EXAMPLES,
    tune.HELP,
]
FOUND = {tuple(words): "--help" for text in HELPS for words in examples(text)}
FOUND |= {tuple(words): page.name for page in PAGES for words in mentions(page)}
FOUND |= {tuple(words): page.name for page in PAGES for words in commands(page)}
FOUND = {words: page for words, page in FOUND.items() if "--help" not in words}
# Letters that stand for a setting or a value in a page's sentences.
LETTERS = {"F": [], "network.width=W": ["network.width=8"], "prior=P": ["prior=uniform"]}


class Parsed(BaseException):  # past all that turns errors into exit statuses
    """A program has read its command line."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the README's own GAN, a run and a study in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(PROJECT)])
    for name, text in readme_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    write_run(tmp_path / "RUN")
    (tmp_path / "STUDY" / "experiment").mkdir(parents=True)
    (tmp_path / "STUDY/experiment/best.yaml").write_text("# @package _global_\nseed: 1\n")
    before = logging.getLogger().handlers[:]
    yield tmp_path
    setup_logging(None)
    logging.getLogger().handlers[:] = before
    for name in ("my_gan", "my_callback"):
        sys.modules.pop(name, None)


def filled(words: Sequence[str]) -> list[str]:
    """The words with something real where the page has a placeholder."""
    found: list[str] = []
    for word in words:
        if word == "...":
            found += STUDY if words[0] == "gan-tune" else []
        elif word in LETTERS:
            found += LETTERS[word]
        elif "..." in word:
            key, equals, _ = word.rpartition("=")
            found.append(f"{key}{equals}{'STUDY' if 'tune-' in word else 'RUN'}")
        else:
            found.append(word)
    return found


def check_training(words: list[str]) -> None:
    """Compose and validate the runs: the one, or of several the first and the last."""
    line = prepare(words)
    if not line.multirun:
        line = on_top_of_run(line)
        open_path(line)
        settings.read(composed(line), line)
        return
    parsed = OverridesParser.create().parse_overrides(line.for_hydra)
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    assert len(jobs) > 1
    for job in (jobs[0], jobs[-1]):
        settings_of(*line.sources, *job)


def check_torchrun(words: list[str]) -> None:
    options = get_args_parser().parse_args(words)
    assert options.module
    assert options.training_script == "gan_cli"
    command, *training = options.training_script_args
    assert command == "train"
    check_training(training)


def options_of(main: Callable[[], Any], words: list[str]) -> argparse.Namespace:
    """What a program's argparse makes of the words; the program gets no further."""
    known_args, depth = argparse.ArgumentParser.parse_known_args, []
    read: list[argparse.Namespace] = []

    def parse_known_args(self: Any, *args: Any, **named: Any) -> Any:
        found = known_args(self, *args, **named)
        if not depth:
            read.append(found[0])
            raise Parsed
        return found

    def parse_args(self: Any, args: Any = None, namespace: Any = None) -> Any:
        depth.append(self)
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        read.append(found)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", parse_known_args)
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patch.setattr(sys, "argv", ["program", *words])
        with pytest.raises(Parsed):
            main()
    return read[0]


def check_python(words: list[str]) -> None:
    name = words.pop(0)
    if name == "-m":
        name = words.pop(0)
    assert (PROJECT / name.removesuffix(".py").replace(".", "/")).parent.is_dir()
    module = importlib.import_module(name.removesuffix(".py").replace("/", "."))
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{module.__name__}.__main__")
    options_of(module.main, words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        # The generated page has many, which tests/benchmarks holds to the tables.
        pytest.param(words, marks=[pytest.mark.slow] if page == "published.md" else [])
        for words, page in FOUND.items()
    ],
    ids=[f"{page}: {' '.join(words)}" for words, page in FOUND.items()],
)
def test_a_command_that_a_page_shows_is_taken(place: Path, words: tuple[str, ...]) -> None:
    program, *rest = filled(words)
    if program == "gan-train":
        check_training(rest)
    elif program == "torchrun":
        check_torchrun(rest)
    elif program == "python":
        check_python(rest)
    elif program == "gan-tune":
        plan_of(rest)
    else:
        options = options_of(PROGRAMS[program].load(), rest)
        if program == "gan-eval" and options.metrics != "list":
            require_known(parse(options.metrics))
        if getattr(options, "where", None):
            query.parse(options.where)


SHORT = ["steps=2", "max_time=null", "log_every=1", "sample_every=2", "checkpoint.every=2"]
SHORT += ["batch_size=8", "network.width=8", "runtime.threads=1", "runtime.device=cpu"]
SHORT += ["evaluation.metrics=[diversity]", "evaluation.samples=32"]
SHORTENED = {
    "gan-sample": ["-n", "4"],
    "gan-neighbors": ["-n", "2", "--among", "100", "--features", "none", "--no-score"],
    "gan-traverse": ["-n", "2", "--steps", "3"],
    "gan-interpolate": ["-n", "2", "--frames", "3", "--steps", "3"],
    "gan-eval": ["--metrics", "diversity", "--samples", "32", "--checkpoint", "last"],
    "gan-report": ["--metric", "loss/generator"],
    "gan-watch": ["--metric", "loss/generator"],
    "gan-runs": [],
}
# A metric that takes minutes of training, codes of an InfoGAN, images of other programs, and runs
# that are wanted below.
NEED_MORE = ("metrics.fid<20", "category=3", "REAL FAKE", "remove", "--config-dir DIR")


@pytest.mark.slow
def test_the_readme_s_commands_run_one_after_the_other(place: Path) -> None:
    for number in range(8):
        save(place / "photos" / f"{number}.png", noise(20, 20, 3, number))
    shutil.rmtree(place / "RUN")
    found = list(commands(README))
    one, sweep = Path("runs/cgan-mnist"), Path("runs/sweeps")
    for program, *words in found:
        if program == "gan-train" and not words[0].startswith("resume="):
            assert compose([*words, *SHORT]) == 0, words
    run, asked = folder.below(one)[0], sum("-m" in words for words in found) * 11
    asked += sum(w[0] == "gan-train" and not w[1].startswith("resume=") for w in found)
    for program, *words in found:
        if program not in SHORTENED or any(part in " ".join(words) for part in NEED_MORE):
            continue
        placed = {"RUN": str(run), "runs/cgan-mnist/...": str(run), "SWEEP": str(sweep)}
        rest = [placed.get(word, word) for word in words]
        with pytest.raises(SystemExit) as ended:
            PROGRAMS[program].load()([*rest, *SHORTENED[program]])
        assert ended.value.code == 0, (program, rest)
    assert compose([f"resume={run}", "steps=4"]) == 0
    runs = [RunFolder(path) for path in folder.below(Path("runs"), depth=4)]
    assert len(runs) == asked > 12
    assert {one.read_status()["status"] for one in runs} == {FINISHED}
    assert sorted(one.read_status()["step"] for one in runs)[-2:] == [2, 4]
