"""Who may import whom: the house's rules, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gan_cli

PACKAGE = Path(gan_cli.__file__).parent
MODULES = {
    ".".join(("gan_cli", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in PACKAGE.rglob("*.py")
}
CONTRACT = {"gan_cli.model", "gan_cli.errors"}


def imported(path: Path, everywhere: bool = True) -> set[str]:
    """The modules of ours that a file imports; with `everywhere`, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in inside}
    return found


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] == "gan_cli"}


def room(name: str) -> set[str]:
    return {module for module in MODULES if module.startswith(f"gan_cli.{name}.")}


PLAIN = {"gan_cli.losses", "gan_cli.penalties", "gan_cli.priors", "gan_cli.augment"}
PLAIN |= {"gan_cli.labels"} | room("losses") | room("penalties")


@pytest.mark.parametrize("module", sorted(PLAIN))
def test_losses_penalties_and_priors_import_torch_and_their_own_room_alone(module: str) -> None:
    kind = ".".join(module.split(".")[:2])
    assert {".".join(name.split(".")[:2]) for name in ours(imported(MODULES[module]))} <= {kind}


@pytest.mark.parametrize("module", sorted(room("networks")))
def test_networks_know_the_contract_and_each_other(module: str) -> None:
    assert ours(imported(MODULES[module])) <= CONTRACT | room("networks") | {"gan_cli.labels"}


@pytest.mark.parametrize("module", sorted(room("models")))
def test_games_know_the_contract_networks_losses_penalties_and_priors(module: str) -> None:
    games = {  # none of which knows another
        name for name in room("models") if "(Model):" in MODULES[name].read_text("utf-8")
    }
    assert games
    helpers = (room("models") - games) | {"gan_cli.memory"}
    assert ours(imported(MODULES[module])) <= CONTRACT | PLAIN | room("networks") | helpers


def test_the_contract_imports_torch_alone() -> None:
    assert ours(imported(MODULES["gan_cli.model"])) == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_gate_reaches_a_concrete_model_or_network(module: str) -> None:
    if module.split(".")[1:2] in (["models"], ["networks"]):
        return
    assert not ours(imported(MODULES[module])) & (room("models") | room("networks"))


ENTRIES = {
    f"gan_cli.{name}" for name in ("train", "sample", "evaluate", "report", "manage", "tune")
}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_an_entry_point(module: str) -> None:
    assert not ours(imported(MODULES[module])) & ENTRIES


@pytest.mark.parametrize("module", sorted(room("sweeps")))
def test_sweeps_know_runs_by_their_folders_alone(module: str) -> None:
    rooms = ("training", "callbacks", "evaluation", "data", "sampling")
    assert not ours(imported(MODULES[module])) & {m for name in rooms for m in room(name)}


KNOW_HYDRA = room("config") | {"gan_cli.train", "gan_cli.training.run"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - KNOW_HYDRA))
def test_few_know_hydra(module: str) -> None:
    tops = {name.partition(".")[0] for name in imported(MODULES[module])}
    assert not tops & {"hydra", "omegaconf"}


@pytest.mark.parametrize("module", sorted(room("callbacks")))
def test_callbacks_never_touch_the_training(module: str) -> None:
    assert not ours(imported(MODULES[module])) & room("training")


@pytest.mark.parametrize("module", sorted(room("data")))
def test_data_knows_nothing_of_what_is_done_with_it(module: str) -> None:
    helpers = {"gan_cli.atomic", "gan_cli.console", "gan_cli.foreign", "gan_cli.memory"}
    helpers |= {"gan_cli.seeding"}
    assert ours(imported(MODULES[module])) <= CONTRACT | helpers | room("data")


@pytest.mark.parametrize(
    "module", [f"gan_cli.{x}" for x in ("formatting", "labels", "memory", "seeding", "signals")]
)
def test_what_everybody_may_ask_asks_nobody(module: str) -> None:
    assert ours(imported(MODULES[module])) == set()


@pytest.mark.parametrize("module", sorted(room("metrics")))
def test_metrics_know_numbers_alone(module: str) -> None:
    assert ours(imported(MODULES[module])) <= room("metrics")


@pytest.mark.parametrize("module", sorted(room("evaluation")))
def test_evaluation_knows_nothing_of_how_a_model_was_trained(module: str) -> None:
    allowed = {"gan_cli.training.runtime", "gan_cli.callbacks.charts"}  # devices; plots
    assert not ours(imported(MODULES[module])) & (
        (room("training") | room("callbacks") | room("models")) - allowed
    )


READERS = {"record", "folder", "finding", "resume"}  # of run folders, without torch


@pytest.mark.parametrize("module", sorted(room("reporting") | room("managing")))
def test_reports_know_run_folders_alone(module: str) -> None:
    allowed = room("reporting") | room("managing") | {f"gan_cli.runs.{name}" for name in READERS}
    allowed |= {
        "gan_cli.config.wording",
        "gan_cli.config.reproducing",
        "gan_cli.evaluation.telling",
    }
    ground = ("atomic", "console", "duration", "errors", "exits", "foreign", "formatting", "pages")
    allowed |= {f"gan_cli.{name}" for name in ground}
    found = ours(imported(MODULES[module])) - {"gan_cli"}
    assert found <= allowed
    assert "torch" not in {name.partition(".")[0] for name in imported(MODULES[module])}


@pytest.mark.parametrize("module", sorted(room("ranks")))
def test_ranks_know_nothing_of_what_they_train(module: str) -> None:
    allowed = room("ranks") | {f"gan_cli.{name}" for name in ("console", "errors", "exits")}
    assert ours(imported(MODULES[module])) <= allowed


@pytest.mark.parametrize("module", sorted(room("jobs")))
def test_jobs_know_processes_and_files_alone(module: str) -> None:
    assert ours(imported(MODULES[module])) <= room("jobs") | {
        f"gan_cli.{name}" for name in ("atomic", "errors", "foreign", "signals")
    }


@pytest.mark.parametrize("module", sorted(room("tuning")))
def test_a_search_trains_by_the_command_alone(module: str) -> None:
    known = room("tuning") | room("jobs") | room("config") | room("runs")
    ground = ("atomic", "console", "errors", "exits", "foreign", "formatting", "pages")
    known |= {f"gan_cli.{name}" for name in ground}
    assert ours(imported(MODULES[module])) <= known


def test_optuna_is_known_to_the_search_alone() -> None:
    knowing = {
        module
        for module, path in MODULES.items()
        if "optuna" in {name.partition(".")[0] for name in imported(path)}
    }
    assert knowing
    assert knowing <= room("tuning")


def test_there_are_no_circles() -> None:
    graph = {
        module: {n for n in ours(imported(path, everywhere=False)) if n in MODULES and n != module}
        for module, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for following in graph[module]:
                visit(following, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_no_model_calls_backward() -> None:
    for module in room("models") | room("networks"):
        text = MODULES[module].read_text(encoding="utf-8")
        assert ".backward(" not in text
        assert ".step()" not in text
