"""From nodes to objects: what is checked before, what is passed on, what is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_cli.config.instantiate import Trust, build, check
from gan_cli.errors import ConfigError, DataError
from gan_cli.priors import Categorical, Gaussian, Product

PRIORS = "gan_cli.priors."
GAUSSIAN = {"_target_": f"{PRIORS}Gaussian"}
UNIFORM = {"_target_": f"{PRIORS}Uniform"}
GRADIENT = {"_target_": "gan_cli.penalties.GradientPenalty"}

PARTS = """
from __future__ import annotations
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from gan_cli.errors import DataError
from gan_cli.priors import Prior
if TYPE_CHECKING:
    from nowhere import Nothing

class Part:
    def __init__(
        self,
        whole: int = 0,
        real: float = 0.0,
        flag: bool = False,
        text: str = "",
        maybe: int | None = None,
        kind: Literal["a", "b"] = "a",
        size: int | tuple[int, int] | None = None,
        sizes: list[int] | None = None,
        path: Path | None = None,
        table: Mapping[str, float] | None = None,
        prior: Prior | None = None,
        priors: Sequence[Prior] = (),
        anything: Any = None,
        bare=None,
        either: str | Path = "",
    ) -> None:
        self.__dict__.update(locals())

class Unknowable:
    def __init__(self, part: Nothing, count: int = 0) -> None:
        self.part, self.count = part, count

class Knower:
    def __init__(self, data: object, width: int) -> None:
        self.data, self.width = data, width

class Ignorant:
    def __init__(self, width: int = 1) -> None:
        self.width = width

class Everything:
    def __init__(self, **options: int) -> None:
        self.options = options

class Breaks:
    def __init__(self, how: str = "") -> None:
        if how == "value":
            raise ValueError("width = 3: too small")
        if how == "type":
            raise TypeError("no such thing")
        if how == "own":
            raise ValueError("how = own: choose another")
        if how == "user":
            raise DataError("data.root = x: no such folder")
        raise KeyError(how)
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trust]:
    """A module `parts` of the user's, and the trust in it."""
    (tmp_path / "parts.py").write_text(PARTS)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield Trust(folders=(tmp_path,))
    sys.modules.pop("parts", None)


def message(node: Any, path: str = "prior", **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(node, path, **options)
    return str(caught.value)


def test_a_node_becomes_an_object() -> None:
    prior = build({**GAUSSIAN, "dim": 7}, "prior")
    assert isinstance(prior, Gaussian)
    assert prior.dim == 7


def test_nodes_within_nodes() -> None:
    prior = build(
        {
            "_target_": f"{PRIORS}Product",
            "noise": {**GAUSSIAN, "dim": 3},
            "kind": {"_target_": f"{PRIORS}Categorical", "dim": 2},
        },
        "prior",
    )
    assert isinstance(prior, Product)
    assert prior.dim == 5
    assert isinstance(prior.parts["kind"], Categorical)


def test_nodes_within_lists_and_mappings(parts: Trust) -> None:
    node = {
        "_target_": "parts.Part",
        "priors": [{**GAUSSIAN, "dim": 1}, {**GAUSSIAN, "dim": 2}],
        "anything": {"x": {"y": [{**GAUSSIAN, "dim": 3}, 4]}},
    }
    part = build(node, "model", parts)
    assert [prior.dim for prior in part.priors] == [1, 2]
    gaussian, number = part.anything["x"]["y"]
    assert (gaussian.dim, number) == (3, 4)


def test_an_optimizer_gets_its_parameters() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    node = {"_target_": "torch.optim.Adam", "lr": 0.5, "betas": [0.1, 0.2]}
    optimizer = build(node, "optimizer", params=[weight])
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["betas"] == (0.1, 0.2)


def test_what_the_program_gives_goes_where_it_is_taken(parts: Trust) -> None:
    spec = object()
    knower = build({"_target_": "parts.Knower", "width": 2}, "model", parts, data=spec)
    assert knower.data is spec
    assert build({"_target_": "parts.Ignorant"}, "model", parts, data=spec).width == 1


def test_what_the_program_gives_cannot_be_set(parts: Trust) -> None:
    node = {"_target_": "parts.Knower", "width": 2, "data": 3}
    assert message(node, "model", trust=parts, data=object()) == (
        "model.data: comes from the program and cannot be set"
    )


def test_lists_become_tuples_where_tuples_are_wanted(parts: Trust) -> None:
    part = build({"_target_": "parts.Part", "size": [2, 3], "sizes": [4]}, "data", parts)
    assert part.size == (2, 3)
    assert part.sizes == [4]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("whole", 3),
        ("real", 3),
        ("real", 1e-3),
        ("flag", True),
        ("text", "abc"),
        ("maybe", None),
        ("maybe", 3),
        ("kind", "b"),
        ("size", 3),
        ("size", [3, 4]),
        ("size", None),
        ("sizes", []),
        ("path", "/x"),
        ("table", {"a": 1, "b": 2.5}),
        ("priors", []),
        ("priors", [GAUSSIAN]),
        ("prior", GAUSSIAN),
        ("anything", [{"a": None}]),
        ("bare", "x"),
        ("either", "x"),
    ],
)
def test_fitting_values(parts: Trust, key: str, value: object) -> None:
    assert check({"_target_": "parts.Part", key: value}, "model", parts) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("whole", "abc", "whole = abc: must be a whole number"),
        ("whole", "3", 'whole = "3": must be a whole number'),
        ("whole", True, "whole = true: must be a whole number"),
        ("whole", 1.5, "whole = 1.5: must be a whole number"),
        ("whole", None, "whole = null: must be a whole number"),
        ("whole", [1], "whole = [1]: must be a whole number"),
        ("whole", float("inf"), "whole = inf: must be finite"),
        ("real", "abc", "real = abc: must be a number"),
        ("real", True, "real = true: must be a number"),
        ("real", float("nan"), "real = nan: must be finite"),
        ("flag", 1, "flag = 1: must be true or false"),
        ("flag", "yes", "flag = yes: must be true or false"),
        ("text", 3, "text = 3: must be text"),
        ("maybe", "x", "maybe = x: must be a whole number or null"),
        ("kind", "c", "kind = c: must be a or b"),
        (
            "size",
            [1, 2, 3],
            "size = [1,2,3]: must be a whole number, a list of 2 whole numbers or null",
        ),
        (
            "size",
            [1, 2.5],
            "size = [1,2.5]: must be a whole number, a list of 2 whole numbers or null",
        ),
        ("sizes", 3, "sizes = 3: must be a list of whole numbers or null"),
        ("sizes", ["a"], "sizes = [a]: must be a list of whole numbers or null"),
        ("path", 3, "path = 3: must be a path or null"),
        ("table", [1], "table = [1]: must be a mapping or null"),
        ("table", {"a": "b"}, "table = {a:b}: must be a mapping or null"),
        ("prior", 3, "prior = 3: must be a Prior (a mapping with _target_) or null"),
        (
            "prior",
            {"_target_": "gan_cli.losses.Hinge"},
            "prior._target_ = gan_cli.losses.Hinge: must be a Prior, and Hinge is none",
        ),
        (
            "whole",
            GAUSSIAN,
            "whole._target_ = gan_cli.priors.Gaussian: must be a whole number, and Gaussian is "
            "none",
        ),
        ("either", 3, "either = 3: must be text or a path"),
        (
            "wholes",
            3,
            "wholes: Part has no such setting (did you mean whole?); gan-train ... --help lists "
            "all 15",
        ),
    ],
)
def test_values_that_do_not_fit(parts: Trust, key: str, value: object, said: str) -> None:
    assert check({"_target_": "parts.Part", key: value}, "model", parts) == [f"model.{said}"]


def test_wrong_classes_in_lists_are_found(parts: Trust) -> None:
    node = {"_target_": "parts.Part", "priors": [GAUSSIAN, {"_target_": "gan_cli.losses.Hinge"}]}
    assert check(node, "model", parts) == [
        "model.priors[1]._target_ = gan_cli.losses.Hinge: must be a Prior, and Hinge is none"
    ]


def test_annotations_that_exist_for_type_checkers_alone_hold_nothing_up(parts: Trust) -> None:
    assert check({"_target_": "parts.Unknowable", "part": 3}, "model", parts) == []


def test_open_arguments_are_checked_too(parts: Trust) -> None:
    node = {"_target_": "parts.Everything", "a": 1, "b": "x", "_c": 1}
    assert check(node, "model", parts) == [
        "model.b = x: must be a whole number",
        "model._c: Everything has no such setting; it has none at all",
    ]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            {**GAUSSIAN, "dmi": 3},
            ["prior.dmi: Gaussian has no such setting (did you mean dim?); it has dim"],
        ),
        (
            {**UNIFORM, "_partial_": True, "_args_": [1], "_recursive_": False, "_convert_": "all"},
            [
                f"prior.{key}: Uniform has no such setting; it has dim, low, high"
                for key in ("_partial_", "_args_", "_recursive_", "_convert_")
            ],
        ),
        (
            {"_target_": f"{PRIORS}Categorical"},
            ["prior.dim: missing; Categorical needs it"],
        ),
        ({}, ["prior = {}: must be a mapping with _target_, the full name of a class"]),
        (3, ["prior = 3: must be a mapping with _target_, the full name of a class"]),
        (None, ["prior = null: must be a mapping with _target_, the full name of a class"]),
        (
            {**UNIFORM, "dim": "x", "low": "y", "hihg": 1},
            [
                "prior.dim = x: must be a whole number",
                "prior.low = y: must be a number",
                "prior.hihg: Uniform has no such setting (did you mean high?); it has dim, low, "
                "high",
            ],
        ),
    ],
)
def test_all_faults_of_a_node_are_listed(node: object, said: list[str]) -> None:
    assert check(node, "prior") == said


def test_build_refuses_what_check_finds_and_builds_nothing(parts: Trust) -> None:
    # Breaks would raise KeyError: it must not come to that.
    node = {"_target_": "parts.Part", "anything": {"_target_": "parts.Breaks"}, "whole": "x"}
    assert message(node, "model", trust=parts) == "model.whole = x: must be a whole number"


def test_a_copy_of_a_root_node_goes_by_its_name() -> None:
    prior = {**GAUSSIAN, "dim": "x"}
    other = {**GAUSSIAN, "dim": "y"}
    node = {"_target_": f"{PRIORS}Product", "prior": prior, "twin": prior, "other": other}
    assert check(node, "model", shared={"prior": prior}) == [
        "prior.dim = x: must be a whole number",
        "model.other.dim = y: must be a whole number",
    ]
    wrong = {**GAUSSIAN, "dim": 0}
    node = {"_target_": f"{PRIORS}Product", "prior": wrong}
    assert message(node, "model", shared={"prior": wrong}) == (
        "prior.dim = 0: at least one dimension is needed"
    )


def test_the_class_of_a_root_node_is_checked() -> None:
    assert check(GAUSSIAN, "data", kind=Product) == [
        "data._target_ = gan_cli.priors.Gaussian: must be a Product, and Gaussian is none"
    ]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("value", "model: width = 3: too small"),
        ("type", "model: no such thing"),
        ("own", "model.how = own: choose another"),
    ],
)
def test_complaints_of_constructors_are_located(parts: Trust, how: str, said: str) -> None:
    assert message({"_target_": "parts.Breaks", "how": how}, "model", trust=parts) == said


def test_messages_for_users_pass_unchanged(parts: Trust) -> None:
    with pytest.raises(DataError, match=r"^data.root = x: no such folder$"):
        build({"_target_": "parts.Breaks", "how": "user"}, "model", parts)


def test_bugs_stay_bugs(parts: Trust) -> None:
    with pytest.raises(KeyError):
        build({"_target_": "parts.Breaks", "how": "bug"}, "model", parts)


@pytest.mark.parametrize(
    ("node", "path", "said"),
    [
        ({**GRADIENT, "weight": -1.0}, "penalty", "penalty.weight = -1: must not be negative"),
        ({**GAUSSIAN, "dim": 0}, "prior", "prior.dim = 0: at least one dimension is needed"),
    ],
)
def test_our_own_classes_complain_with_the_key(node: Any, path: str, said: str) -> None:
    assert message(node, path) == said
