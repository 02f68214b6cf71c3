"""Who may import whom: the house's rules, read from the source.

Imports inside functions and under `TYPE_CHECKING` count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

import gan_cli

PACKAGE = Path(gan_cli.__file__).parent
MODULES = {
    ".".join(("gan_cli", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in PACKAGE.rglob("*.py")
    if "assets" not in path.parts
}

# From the ground up: a room imports rooms of its own line or of lines above it alone.
HOUSE = """
errors
formatting foreign outputs signals seeding wavelets
console device files images options pages event_file
exits
model
losses penalties priors augment adaptive_augmentation optimizers labels ema networks metrics
distributed jobs
models data plots
config
runs
sampling
evaluation export
callbacks
training
reporting
ensemble sweeps tuning managing
commands __main__ train api
"""
FLOOR = {room: floor for floor, line in enumerate(HOUSE.split("\n")) for room in line.split()}


def imported(path: Path, everywhere: bool = True) -> set[str]:
    """The modules that a file imports; with `everywhere`, also inside functions and conditions."""
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
    return {name for name in names if name.startswith("gan_cli.")}


def tops(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imported(MODULES[module])}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def inside(*rooms: str) -> set[str]:
    return {module for module in MODULES if room(module) in rooms}


def test_every_room_has_its_floor() -> None:
    assert {room(module) for module in MODULES} - {""} == set(FLOOR)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_its_own_floor_or_a_lower_one(module: str) -> None:
    own = FLOOR.get(room(module), len(FLOOR))
    higher = {name for name in ours(imported(MODULES[module])) if FLOOR[room(name)] > own}
    assert not higher


@pytest.mark.parametrize("kind", ["losses", "penalties", "priors", "augment", "model"])
def test_parts_of_games_import_torch_alone(kind: str) -> None:
    assert {room(name) for name in ours(imported(MODULES[f"gan_cli.{kind}"]))} <= {kind}


@pytest.mark.parametrize("module", sorted(inside("networks")))
def test_networks_know_the_contract_and_each_other(module: str) -> None:
    known = {"model", "errors", "formatting", "labels", "device", "networks"}
    assert {room(name) for name in ours(imported(MODULES[module]))} <= known


@pytest.mark.parametrize("module", sorted(inside("models")))
def test_games_know_no_other_game(module: str) -> None:
    games = {name for name in inside("models") if name_of_game(MODULES[name])}
    assert games
    assert not ours(imported(MODULES[module])) & (games - {module})
    known = {"model", "errors", "networks", "models", "losses", "penalties", "priors", "augment"}
    known |= {"labels", "device", "adaptive_augmentation"}
    assert {room(name) for name in ours(imported(MODULES[module]))} <= known


def name_of_game(path: Path) -> bool:
    """Whether a file holds a game that a config can name."""
    return "(Model):" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("module", sorted(set(MODULES) - inside("models", "networks")))
def test_only_the_gate_reaches_a_concrete_model_or_network(module: str) -> None:
    assert not ours(imported(MODULES[module])) & inside("models", "networks")


@pytest.mark.parametrize("module", sorted(inside("data")))
def test_data_knows_nothing_of_what_is_done_with_it(module: str) -> None:
    assert {room(name) for name in ours(imported(MODULES[module]))} <= {
        *("model", "errors", "data", "console", "device", "files", "foreign", "formatting"),
        *("outputs", "seeding"),
    }


@pytest.mark.parametrize("module", sorted(inside("sweeps")))
def test_sweeps_know_runs_by_their_folders_alone(module: str) -> None:
    found = {room(name) for name in ours(imported(MODULES[module]))}
    assert not found & {"training", "callbacks", "evaluation", "data", "sampling"}


@pytest.mark.parametrize("module", sorted(inside("callbacks")))
def test_callbacks_never_touch_the_training(module: str) -> None:
    assert "training" not in {room(name) for name in ours(imported(MODULES[module]))}


KNOW_HYDRA = inside("config") | {"gan_cli.commands.train", "gan_cli.training.run"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - KNOW_HYDRA))
def test_few_know_hydra(module: str) -> None:
    assert not tops(module) & {"hydra", "omegaconf"}


@pytest.mark.parametrize("module", sorted(inside("metrics")))
def test_metrics_know_numbers_alone(module: str) -> None:
    assert ours(imported(MODULES[module])) <= inside("metrics")


@pytest.mark.parametrize("module", sorted(inside("reporting", "managing")))
def test_reports_know_run_folders_alone(module: str) -> None:
    found = ours(imported(MODULES[module]))
    assert not {room(name) for name in found} & {"evaluation", "training", "data", "sampling"}
    assert not found & {"gan_cli.runs.load", "gan_cli.runs.checkpoint"}
    assert "torch" not in tops(module)


@pytest.mark.parametrize("module", sorted(inside("jobs", "distributed")))
def test_processes_know_nothing_of_what_they_run(module: str) -> None:
    known = {"jobs", "distributed", "errors", "exits", "files", "signals", "foreign", "console"}
    assert {room(name) for name in ours(imported(MODULES[module]))} <= known


def test_optuna_is_known_to_the_search_alone() -> None:
    knowing = {module for module in MODULES if "optuna" in tops(module)}
    assert knowing
    assert knowing <= inside("tuning")


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle, if there are any, as its names in order."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for following in sorted(graph[name]):
            if found := visit(following, (*trail, name)):
                return found
        done.add(name)
        return []

    return next((found for name in graph if (found := visit(name, ()))), [])


def test_there_are_no_circles_of_files() -> None:
    graph = {
        module: {n for n in ours(imported(path)) if n in MODULES and n != module}
        for module, path in MODULES.items()
    }
    assert circles(graph) == []


def test_there_are_no_circles_of_packages() -> None:
    graph: dict[str, set[str]] = {room(module): set() for module in MODULES}
    for module, path in MODULES.items():
        graph[room(module)] |= {room(n) for n in ours(imported(path))} - {room(module)}
    assert circles(graph) == []


def test_no_model_calls_backward() -> None:
    for module in inside("models", "networks"):
        text = MODULES[module].read_text(encoding="utf-8")
        assert ".backward(" not in text
        assert ".step()" not in text
