"""Which measures are taken, and why others are not."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
import torch
from painting import subject

from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation import measures, registry
from gan_cli.evaluation.metric import Metric, MetricResult, Subject
from gan_cli.evaluation.registry import choose, parse


class Named(Metric):
    """Fits unless told otherwise."""

    def __init__(self, name: str, reason: str = "", dear: bool = False) -> None:
        self.name, self.reason, self.dear = name, reason, dear

    def unfit(self, subject: Subject) -> str:
        if self.reason == "error":
            raise DataError("the data is gone")
        return self.reason

    def measure(self, subject: Subject) -> MetricResult:
        return MetricResult([])


@pytest.fixture
def four(monkeypatch) -> None:
    some = [
        Named("quick"),
        Named("slow", dear=True),
        Named("odd", "it is odd"),
        Named("e", "error"),
    ]
    monkeypatch.setattr(registry, "measures", lambda: some)


def test_every_measure_is_listed_once() -> None:
    listed = registry.measures()
    names = [measure.name for measure in listed]
    assert len(set(names)) == len(names) > 0
    written = {
        thing
        for info in pkgutil.iter_modules(measures.__path__)
        for thing in vars(importlib.import_module(f"{measures.__name__}.{info.name}")).values()
        if inspect.isclass(thing) and issubclass(thing, Metric) and thing is not Metric
    }
    assert {type(measure) for measure in listed} == written


@pytest.mark.parametrize(
    ("text", "names"),
    [("auto", "auto"), ("all", "all"), ("fid", ["fid"]), ("fid, kid", ["fid", "kid"]), (",", [])],
    ids=["auto", "all", "one", "two", "none"],
)
def test_reading(text: str, names: object) -> None:
    assert parse(text) == names


@pytest.mark.usefixtures("four")
def test_auto_takes_what_fits_and_is_quick() -> None:
    choice = choose("auto", subject())
    assert [measure.name for measure in choice.taken] == ["quick"]
    assert choice.unfit["odd"] == "it is odd"
    assert choice.unfit["e"] == "the data is gone"
    assert "asked for by name" in choice.unfit["slow"]
    assert choice.named == []


@pytest.mark.usefixtures("four")
def test_all_takes_what_fits() -> None:
    assert [m.name for m in choose("all", subject()).taken] == ["quick", "slow"]


@pytest.mark.usefixtures("four")
def test_names_take_what_they_say_in_the_usual_order() -> None:
    choice = choose(["slow", "odd", "quick", "slow"], subject())
    assert [m.name for m in choice.taken] == ["quick", "slow"]
    assert choice.named == ["slow", "odd", "quick"]
    assert choice.unfit == {"odd": "it is odd"}


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["quik"], "--metrics = quik: unknown metric (did you mean quick?); available: quick, "),
        (["quick", "all"], "--metrics = all: stands alone"),
        ([], "--metrics: must be auto, all or some of quick, slow"),
    ],
    ids=["typo", "mixed", "none"],
)
def test_wrong_names(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        choose(names, subject())
    assert message in str(error.value)


def test_measures_are_where_the_contract_says() -> None:
    folder = Path(inspect.getfile(measures)).parent
    for measure in registry.measures():
        assert Path(inspect.getfile(type(measure))).parent == folder
        assert inspect.getdoc(type(measure))


def test_what_wants_a_gpu_is_in_auto_where_there_is_one() -> None:
    measure = Named("fid")
    measure.dear_on_cpu = True
    assert measure.takes_minutes(torch.device("cpu"))
    assert not measure.takes_minutes(torch.device("cuda"))
    assert Named("slow", dear=True).takes_minutes(torch.device("cuda"))
