import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import gan_cli.data
from gan_cli.data.dataset import Dataset

CONF = Path(__file__).resolve().parents[2] / "conf" / "data"
FILES = sorted(CONF.glob("*.yaml"))


def test_every_source_has_a_file_of_its_name() -> None:
    files = {path.stem.replace("_", "") for path in FILES}
    for module in pkgutil.iter_modules(gan_cli.data.__path__, "gan_cli.data."):
        import_module(module.name)
    for kind in _final(Dataset):
        if kind.__module__.startswith("gan_cli.data.") and not kind.__name__.startswith("_"):
            assert kind.__name__.lower() in files


def _final(kind: type) -> Iterator[type]:
    if not kind.__subclasses__():
        yield kind
    for each in kind.__subclasses__():
        yield from _final(each)


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
    defaults = {
        key: "???" if (value := parameters[key].default) is inspect.Parameter.empty else value
        for key in keys
    }
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in keys.items()}
    # A file of another name is a variant of the class: other values are its purpose.
    assert (values == defaults) == (path.stem.replace("_", "") == name.lower())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_first_line_is_a_sentence(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")
