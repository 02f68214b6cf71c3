import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from gan_cli.data.dataset import Dataset

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"
FILES = sorted(CONF.glob("*.yaml"))


def test_every_source_has_its_file() -> None:
    assert [path.stem for path in FILES] == [
        "cifar10",
        "fashion_mnist",
        "folder",
        "gaussian_1d",
        "grid",
        "kmnist",
        "mixture_1d",
        "mnist",
        "ring",
        "stacked_mnist",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_keys_and_values_are_those_of_the_class(path: Path) -> None:
    keys = yaml.safe_load(path.read_text())
    module, _, name = keys.pop("_target_").rpartition(".")
    kind = getattr(import_module(module), name)
    assert issubclass(kind, Dataset)
    assert kind.__module__ == module
    parameters = inspect.signature(kind).parameters
    given = {"outputs"}  # by the program
    assert list(keys) == [name for name in parameters if name not in given]
    for key, value in keys.items():
        default = parameters[key].default
        value = tuple(value) if isinstance(value, list) else value
        assert value == ("???" if default is inspect.Parameter.empty else default)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_first_line_says_what_it_is(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")
