"""The classes that a config may name: ours, torch's optimizers, and what the user trusts.

Importing a module runs it, so a name is checked before anything is imported, and the object that
the import yields is checked again: `gan_cli.networks.torch.save` begins well and ends elsewhere.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import sysconfig
from abc import ABC
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from gan_cli.config.outline import outlined
from gan_cli.errors import ConfigError
from gan_cli.formatting import closest, hint, shell_command, show
from gan_cli.outputs import output_around

ROOMS = (
    "callbacks",
    "data",
    "evaluation.measures",
    "losses",
    "models",
    "networks",
    "optimizers",
    "penalties",
    "priors",
)
NEVER_OWN = sys.stdlib_module_names | {"torch"}  # classes in them need --trust
OWN = tuple(f"gan_cli.{room}" for room in ROOMS)


MOVED = {  # names in earlier runs' configs
    f"gan_cli.callbacks.{module}.{name}": f"gan_cli.callbacks.loggers.{name}"
    for module, name in (("csv_file", "CSVFile"), ("mlflow_run", "MLflow"), ("wandb_run", "WandB"))
}


@dataclass(frozen=True)
class Trust:
    """Whose modules may provide classes, beside the program's own.

    Args:
        modules: named by the user (--trust), with everything in them.
        folders: modules that lie directly in these are trusted.
        refused: nothing below these is trusted, whatever the others say: run folders.
        outlines: import nothing; a class is known by its signature alone, as far as that is ours.
        named: modules that the user's own config files name.
    """

    modules: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    refused: tuple[Path, ...] = ()
    outlines: bool = False
    named: tuple[str, ...] = ()

    def for_run(self, folder: Path) -> Trust:
        """Whose classes a configuration from the run `folder` may name.

        No place vouches for a module, since that folder may lie there; the user does by --trust,
        and by naming it in a YAML file of --config-dir.
        """
        modules = tuple(dict.fromkeys((*self.modules, *self.named)))
        folder = folder.absolute()
        return replace(self, modules=modules, folders=(), refused=(*self.refused, folder))


def resolve(target: object, trust: Trust, path: str) -> type:
    """The class that `_target_` of the node at `path` names.

    Raises:
        ConfigError: there is no such class, or it is not one that a config may name.
    """
    key = f"{path}._target_ = {show(target)}"
    if not isinstance(target, str) or not all(p.isidentifier() for p in target.split(".")):
        raise ConfigError(f"{key}: must be the full name of a class, such as package.module.Class")
    target = MOVED.get(target, target)
    if trust.outlines:
        return outlined(target)
    if target.startswith("torch.optim."):
        return _optimizer(target, key)
    own = target.startswith(tuple(f"{room}." for room in OWN))
    if not own and target.split(".", 1)[0] == "gan_cli":
        near = hint(target.rpartition(".")[0], OWN, cutoff=0.8)
        raise ConfigError(f"{key}: a config may only name classes of {', '.join(OWN)}{near}")
    if not own:
        _require_trust(target, trust, key)
    found = _find(target, key)
    if not inspect.isclass(found):
        raise ConfigError(f"{key}: must be a class; this is {_article(found)}")
    name = f"{found.__module__}.{found.__qualname__}"
    home = target.rpartition(".")[0]
    if name != target:
        top = target.split(".", 1)[0]
        if name.startswith(f"{top}."):
            raise ConfigError(f"{key}: must be the class's own name, {name}")
        raise ConfigError(f"{key}: comes from {found.__module__}, which is not part of {top}")
    if inspect.isabstract(found) or ABC in found.__bases__:
        concrete = [name for name in _concrete(found, home) if name]
        listed = f"; choose one of {', '.join(concrete)}" if concrete else "; choose a subclass"
        raise ConfigError(f"{key}: an abstract class, which cannot be built{listed}")
    return found


def _optimizer(target: str, key: str) -> type:
    import torch

    name = target.removeprefix("torch.optim.")
    base = torch.optim.Optimizer
    have = [n for n, c in vars(torch.optim).items() if inspect.isclass(c) and issubclass(c, base)]
    have.remove("Optimizer")
    if name not in have:
        near = closest(name.rpartition(".")[2], have)
        meant = f" (did you mean torch.optim.{near}?)" if near else ""
        raise ConfigError(f"{key}: torch.optim has no such optimizer{meant}")
    return getattr(torch.optim, name)


def _find(target: str, key: str) -> object:
    """The object of that name; imports the longest part of the name that is a module."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            found: object = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # The module itself (or a parent of it) is missing, or something that it imports.
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                continue
            raise ConfigError(f"{key}: {name} needs the module {error.name}") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{key}: importing {name} failed: {reason}") from error
        for done, part in enumerate(parts[length:], start=length):
            inside = vars(found) if hasattr(found, "__dict__") else {}
            if part not in inside:
                where = ".".join(parts[:done])
                classes = [k for k, v in inside.items() if inspect.isclass(v)]
                raise ConfigError(f"{key}: {where} has no {part}{hint(part, classes)}")
            found = inside[part]
        return found
    raise ConfigError(f"{key}: no module is named {'.'.join(parts[:-1])}")


def _article(found: object) -> str:
    if inspect.ismodule(found):
        return "a module"
    return "a function" if callable(found) else f"a value ({type(found).__name__})"


def _concrete(base: type, home: str) -> list[str]:
    """The classes in the module `home`, or else in that of `base`, that can be built instead."""
    inside = vars(sys.modules.get(home, sys.modules[base.__module__])).values()
    classes = [c for c in inside if inspect.isclass(c) and issubclass(c, base)]
    return [c.__name__ for c in classes if not inspect.isabstract(c) and ABC not in c.__bases__]


def _require_trust(target: str, trust: Trust, key: str) -> None:
    """Refuse a target outside of the program that nobody trusts. Imports nothing of it."""
    names = target.split(".")[:-1]
    top = target.split(".", 1)[0]
    named = any(target.startswith(f"{module}.") for module in trust.modules)
    if not named and top in NEVER_OWN:
        raise ConfigError(f"{key}: is not a class of gan_cli or of yours; a config cannot name it")
    first = _spec(top)
    files = _files(names, first)
    for file in files:
        if any(_below(file, folder) for folder in trust.refused):
            raise ConfigError(f"{key}: {file} is in a run folder, whose code is never run")
        if (output := output_around(file)) is not None:
            raise ConfigError(
                f"{key}: {file} is in {output}, a run or a study, whose code is never run"
            )
    if named:
        return
    if first is None and trust.folders:
        raise ConfigError(f"{key}: no module is named {top} here or in --config-dir")
    if first is None or not files or not _lies_in(first, files[-1], trust.folders):
        raise ConfigError(
            f"{key}: not part of gan_cli; if you trust it, add {shell_command('--trust', top)}"
        )


def _lies_in(first: ModuleSpec, file: Path, folders: tuple[Path, ...]) -> bool:
    """Whether a top-level module lies directly in one of `folders`, and `file` of it there too."""
    library = {Path(path).resolve() for path in sysconfig.get_paths().values()}
    for folder in folders:
        here = PathFinder.find_spec(first.name, [str(folder)])
        # A package without __init__.py may have a part in each of several folders.
        same = here is not None and set(_places(here)) <= set(_places(first))
        if same and folder.resolve() not in library and file.is_relative_to(folder):
            return True
    return False


def _files(names: list[str], first: ModuleSpec | None) -> list[Path]:
    """Where a dotted module and each of its packages lie; nothing is imported."""
    files, spec = [], first
    for depth in range(1, len(names) + 1):
        if spec is None:
            break
        files += _places(spec)
        search = list(spec.submodule_search_locations or ())
        # By its last name alone: a dotted one would ask for its parent, which is not imported.
        spec = PathFinder.find_spec(names[depth], search) if search and depth < len(names) else None
    return files


def _places(spec: ModuleSpec) -> list[Path]:
    """The file of a module; the folders of a package without `__init__.py`."""
    if spec.origin is not None:
        return [Path(spec.origin)]
    return [Path(folder) for folder in spec.submodule_search_locations or ()]


def _spec(top: str) -> ModuleSpec | None:
    """Where Python finds the top-level module `top`; nothing is imported."""
    if top in sys.modules:
        return sys.modules[top].__spec__
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is not None and (spec := find(top, None)) is not None:
            return spec
    return None


def open_path(*folders: Path) -> None:
    """Let modules that lie directly in `folders` be imported, after all others.

    Not in a run or a study, whose files others may have written.
    """
    for folder in folders:
        if str(folder) not in sys.path and output_around(folder) is None:
            sys.path.append(str(folder))


def close_path() -> None:
    """Take the working directory off the path where it is a run or a study.

    `python -m` puts it there.
    """
    here = str(Path.cwd())
    if {"", here} & set(sys.path) and output_around(Path(here)) is not None:
        sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]


def _below(place: Path, folder: Path) -> bool:
    return place.absolute().is_relative_to(folder.absolute()) or place.resolve().is_relative_to(
        folder.resolve()
    )
