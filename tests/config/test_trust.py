"""Which classes a config may name, and that nothing runs before that is settled."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gan_cli.config.command_line import prepare
from gan_cli.config.instantiate import Trust, check, resolve
from gan_cli.config.settings import composed, read, trusted
from gan_cli.config.trust import OWN, close_path, open_path
from gan_cli.errors import ConfigError
from gan_cli.formatting import show
from gan_cli.priors import Gaussian

ROOMS = (
    "gan_cli.callbacks, gan_cli.data, gan_cli.evaluation.measures, gan_cli.losses, gan_cli.models, "
    "gan_cli.networks, gan_cli.optimizers, gan_cli.penalties, gan_cli.priors"
)
FOREIGN = "is not a class of gan_cli or of yours; a config cannot name it"
NO_NAME = "must be the full name of a class, such as package.module.Class"

EVIL = """
from pathlib import Path
Path({marker!r}).write_text("ran")
class Evil: pass
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory on the import path; what is imported from it is forgotten after."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        # Others stay: protobuf, for one, crashes when it is imported a second time.
        module = sys.modules[name]
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
        if any(isinstance(place, str) and Path(place).is_relative_to(folder) for place in places):
            del sys.modules[name]
    sys.path_importer_cache.clear()


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refusal(target: object, trust: Trust = Trust()) -> str:  # noqa: B008
    with pytest.raises(ConfigError) as caught:
        resolve(target, trust, "model")
    return str(caught.value)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("os.system", FOREIGN),
        ("posix.system", FOREIGN),
        ("builtins.eval", FOREIGN),
        ("builtins.open", FOREIGN),
        ("subprocess.Popen", FOREIGN),
        ("torch.load", FOREIGN),
        ("torch.hub.load", FOREIGN),
        ("torch.utils.cpp_extension.load_inline", FOREIGN),
        ("torch.nn.Linear", FOREIGN),
        (
            "hydra.utils.instantiate",
            "not part of gan_cli; if you trust it, add --trust hydra",
        ),
        ("gan_cli.networks.torch.save", "gan_cli.networks has no torch"),
        ("gan_cli.networks.dcgan.nn.Linear", "comes from torch.nn.modules.linear, which is not "),
        ("gan_cli.priors.torch.save", "must be a class; this is a function"),
        ("gan_cli.priors.torch.hub.load", "must be a class; this is a function"),
        ("gan_cli.priors.torch", "must be a class; this is a module"),
        ("gan_cli.priors.math.pi", "must be a class; this is a value (float)"),
        ("gan_cli.commands.train.main", f"a config may only name classes of {ROOMS}"),
        ("gan_cli.runs.folder.RunFolder", f"a config may only name classes of {ROOMS}"),
        ("gan_cli.files.AppendedFile", f"a config may only name classes of {ROOMS}"),
        ("gan_cli.losses", f"a config may only name classes of {ROOMS}"),
        (
            "gan_cli.prior.Gaussian",
            f"a config may only name classes of {ROOMS} (did you mean gan_cli.priors?)",
        ),
        ("gan_cli_evil.losses.X", "not part of gan_cli; if you trust it, add --trust gan_cli_evil"),
        ("gan_cli..x", NO_NAME),
        ("", NO_NAME),
        (".", NO_NAME),
        ("gan_cli.priors.Gaussian()", NO_NAME),
        ("gan_cli/priors.Gaussian", NO_NAME),
        (3, NO_NAME),
        (None, NO_NAME),
        (["gan_cli.priors.Gaussian"], NO_NAME),
        ("gan_cli.priors.ABC", "comes from abc, which is not part of gan_cli"),
        ("gan_cli.priors.Tensor", "comes from torch, which is not part of gan_cli"),
        ("gan_cli.models.gan.Gaussian", "gan_cli.models.gan has no Gaussian"),
        ("gan_cli.models.gan.Prior", "must be the class's own name, gan_cli.priors.Prior"),
        ("gan_cli.priors.lerp", "must be a class; this is a function"),
        ("gan_cli.priors.Gaussian.sample", "must be a class; this is a function"),
        (
            "gan_cli.priors.Gausian",
            "gan_cli.priors has no Gausian (did you mean Gaussian?)",
        ),
        ("gan_cli.models.vea.VAE", "gan_cli.models has no vea"),
        (
            "gan_cli.priors.Prior",
            "an abstract class, which cannot be built; choose one of Gaussian, Uniform, "
            "Categorical, Product",
        ),
        (
            "gan_cli.data.dataset.Dataset",
            "an abstract class, which cannot be built; choose a subclass",
        ),
        (
            "torch.optim.Adma",
            "torch.optim has no such optimizer (did you mean torch.optim.Adamax?)",
        ),
        (
            "torch.optim.adam.Adam",
            "torch.optim has no such optimizer (did you mean torch.optim.Adam?)",
        ),
        ("torch.optim.Optimizer", "torch.optim has no such optimizer"),
        ("torch.optim.lr_scheduler.StepLR", "torch.optim has no such optimizer"),
    ],
)
def test_what_a_config_may_not_name(target: object, reason: str) -> None:
    said = refusal(target)
    assert said.startswith(f"model._target_ = {show(target)}: {reason}")


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "Adagrad"])
def test_torchs_optimizers_go_by_their_short_names(name: str) -> None:
    assert resolve(f"torch.optim.{name}", Trust(), "optimizer") is getattr(torch.optim, name)


def test_the_rooms_are_there() -> None:
    assert ", ".join(OWN) == ROOMS
    for room in OWN:
        importlib.import_module(room)


def test_our_own_classes_need_no_trust() -> None:
    assert resolve("gan_cli.priors.Gaussian", Trust(), "prior") is Gaussian


def test_a_class_that_merely_passes_through_is_none_of_a_module_s_own() -> None:
    own = r"must be the class's own name, gan_cli\.networks\.family\.NetworkFamily"
    with pytest.raises(ConfigError, match=own):
        resolve("gan_cli.networks.pacgan.NetworkFamily", Trust(), "network")
    with pytest.raises(ConfigError, match=r"cannot be built; choose one of .*NonSaturating.*Hinge"):
        resolve("gan_cli.losses.AdversarialLoss", Trust(), "loss")


def test_trust_names_no_more_than_it_says() -> None:
    said = refusal("torch.load", Trust(modules=("torch",)))
    assert said == "model._target_ = torch.load: must be a class; this is a function"
    assert "add --trust" in refusal("hydrant.X", Trust(modules=("hydra",)))


def test_nothing_is_imported_before_it_is_trusted(work: Path) -> None:
    write(work, "evil.py", EVIL.format(marker=str(work / "marker")))
    write(work, "pack/__init__.py", EVIL.format(marker=str(work / "marker")))
    write(work, "pack/inner.py", "class X: pass")
    for target in ("evil.Evil", "pack.inner.X"):
        said = refusal(target)
        top = target.partition(".")[0]
        assert said == (
            f"model._target_ = {target}: not part of gan_cli; if you trust it, add --trust {top}"
        )
    assert not (work / "marker").exists()
    assert resolve("evil.Evil", Trust(modules=("evil",)), "model").__name__ == "Evil"
    assert (work / "marker").read_text() == "ran"


def test_modules_in_a_trusted_folder_are_trusted(work: Path) -> None:
    write(work, "my_gan.py", "class MyGAN:\n    class Inner: pass")
    write(work, "my_pack/__init__.py", "")
    write(work, "my_pack/nets.py", "class Net: pass")
    write(work, "bare/nets.py", "class Net: pass")  # a namespace package
    trust = Trust(folders=(work,))
    for target in ("my_gan.MyGAN", "my_gan.MyGAN.Inner", "my_pack.nets.Net", "bare.nets.Net"):
        found = resolve(target, trust, "model")
        assert f"{found.__module__}.{found.__qualname__}" == target


def test_a_misspelt_module_is_not_called_untrusted(work: Path) -> None:
    said = refusal("my_gna.MyGAN", Trust(folders=(work,)))
    assert said == (
        "model._target_ = my_gna.MyGAN: no module is named my_gna here or in --config-dir"
    )


def test_a_class_that_is_only_imported_there_is_refused(work: Path) -> None:
    write(work, "my_gan.py", "from subprocess import Popen\nfrom gan_cli.priors import Gaussian")
    trust = Trust(folders=(work,))
    assert refusal("my_gan.Popen", trust) == (
        "model._target_ = my_gan.Popen: comes from subprocess, which is not part of my_gan"
    )
    assert "comes from gan_cli.priors" in refusal("my_gan.Gaussian", trust)


def test_a_folder_vouches_for_what_lies_directly_in_it_alone(work: Path) -> None:
    # Such as a virtual environment within the working directory.
    site = work / ".venv" / "site-packages"
    write(site, "third.py", EVIL.format(marker=str(work / "marker")))
    sys.path.append(str(site))
    said = refusal("third.Evil", Trust(folders=(work,)))
    assert said.endswith("if you trust it, add --trust third")
    assert not (work / "marker").exists()


def test_a_module_that_python_would_take_elsewhere_is_refused(work: Path) -> None:
    first = work / "first"
    write(first, "twin.py", EVIL.format(marker=str(work / "marker")))
    write(work, "twin.py", "class Evil: pass")
    sys.path.insert(0, str(first))
    assert "--trust twin" in refusal("twin.Evil", Trust(folders=(work,)))
    assert not (work / "marker").exists()


@pytest.mark.parametrize("target", ["subprocess.Popen", "os._wrap_close"])
def test_the_standard_library_is_never_a_users_own(target: str) -> None:
    library = Path(str(sys.modules["subprocess"].__file__)).parent
    assert refusal(target, Trust(folders=(library,))).endswith(FOREIGN)


@pytest.mark.parametrize("deep", [False, True])
def test_a_run_folder_never_provides_code(work: Path, deep: bool) -> None:
    root = work / "my_output" / "runs" if deep else work / "my_runs"
    package = ".".join(root.relative_to(work).parts)
    write(root, "x/evil.py", EVIL.format(marker=str(work / "marker")))
    target = f"{package}.x.evil.Evil"
    for trust in (
        Trust(folders=(work,), refused=(root,)),
        Trust(modules=(f"{package}.x.evil",), refused=(root,)),
        Trust(modules=(package.partition(".")[0],), folders=(work,), refused=(root,)),
    ):
        assert refusal(target, trust).endswith("is in a run folder, whose code is never run")
    assert not (work / "marker").exists()


def test_a_link_out_of_a_run_folder_does_not_help(work: Path) -> None:
    write(work, "runs/x/evil.py", EVIL.format(marker=str(work / "marker")))
    (work / "linked.py").symlink_to(work / "runs" / "x" / "evil.py")
    said = refusal("linked.Evil", Trust(folders=(work,), refused=(work / "runs",)))
    assert said.endswith("is in a run folder, whose code is never run")
    assert not (work / "marker").exists()


def test_in_a_run_folder_as_working_directory_nothing_is_trusted(work: Path) -> None:
    write(work, "my_gan.py", EVIL.format(marker=str(work / "marker")))
    said = refusal("my_gan.Evil", Trust(modules=("my_gan",), refused=(work,)))
    assert said.endswith("is in a run folder, whose code is never run")
    assert not (work / "marker").exists()


def test_a_part_of_a_shared_package_is_not_trusted_for_another_part(work: Path) -> None:
    # Python joins folders of one name that have no __init__.py into one package.
    other = work.parent / "other"
    write(other, "joined/evil.py", EVIL.format(marker=str(work / "marker")))
    write(work, "joined/mine.py", "class Mine: pass")
    sys.path.append(str(other))
    trust = Trust(folders=(work,))
    assert resolve("joined.mine.Mine", trust, "model").__name__ == "Mine"
    assert "--trust joined" in refusal("joined.evil.Evil", trust)
    assert not (work / "marker").exists()


OUTPUTS = {
    "run": ("status.json", "config.yaml"),
    "sweep": ("sweep.json",),
    "study": ("study.json",),
}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("named", [False, True])
def test_what_lies_in_a_run_or_a_study_is_never_code(work: Path, kind: str, named: bool) -> None:
    """Wherever runs are made, and whoever vouches for it."""
    for name in OUTPUTS[kind]:
        write(work, f"got/{name}", "{}")
    write(work, "got/deep/evil.py", EVIL.format(marker=str(work / "marker")))
    trust = Trust(modules=("got.deep",) if named else (), folders=(work,))
    said = refusal("got.deep.evil.Evil", trust)
    assert said.endswith(f"is in {work / 'got'}, a run or a study, whose code is never run")
    sys.path.append(str(work / "got" / "deep"))
    assert "a run or a study" in refusal("evil.Evil", Trust(modules=("evil",)))
    assert not (work / "marker").exists()


def test_modules_of_a_run_or_a_study_cannot_be_imported(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where the program starts in it, nor as a folder of --config-dir."""
    write(work, "got/study.json", "{}")
    (work / "got" / "conf").mkdir()
    (work / "mine").mkdir()
    before = list(sys.path)
    open_path(work / "got", work / "got" / "conf", work / "mine")
    assert sys.path == [*before, str(work / "mine")]
    monkeypatch.chdir(work / "got")
    sys.path[:0] = ["", str(work / "got")]
    close_path()
    assert sys.path == [*before, str(work / "mine")]


PRESET = """# @package _global_
run: {root: elsewhere}
model: {_target_: evil.Evil}
"""


@pytest.mark.parametrize("resumed", [False, True])
def test_a_preset_of_a_study_cannot_have_its_own_code_run(work: Path, resumed: bool) -> None:
    write(work, "runs/got/study.json", "{}")
    write(work, "runs/got/experiment/best.yaml", PRESET)
    write(work, "runs/got/evil.py", EVIL.format(marker=str(work / "marker")))
    line = prepare([f"--config-dir={work / 'runs' / 'got'}", "experiment=best"])
    with pytest.raises(ConfigError, match=r"model\._target_ = evil\.Evil: "):
        read(composed(line), line)
    trust = trusted(line, "elsewhere", work / "other" if resumed else None)
    assert trust.refused[:2] == (work / "runs", work / "elsewhere")
    assert trust.modules == ()
    assert trust.folders == (() if resumed else (work,))
    assert not (work / "marker").exists()


def test_a_config_file_vouches_for_no_module_of_python_or_torch(work: Path) -> None:
    names = ("subprocess.Popen", "torch.hub.X", "mine.X")
    text = "".join(f"- _target_: {name}\n" for name in names)
    write(work, "conf/model/x.yaml", text)
    line = prepare([f"--config-dir={work / 'conf'}"])
    assert trusted(line, "runs", work / "run").modules == ("mine",)


def test_where_runs_are_made_is_no_place_of_code_whatever_a_preset_says(work: Path) -> None:
    line = prepare(["run.root='~/my runs'"])
    typed = Path("~/my runs").expanduser()
    assert trusted(line, "other").refused == (work / "runs", typed, work / "other")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "my_gan needs the module no_such_module"),
        ("1 / 0", "importing my_gan failed: ZeroDivisionError: division by zero"),
        ("def (", "importing my_gan failed: SyntaxError: "),
        ("class YourGAN: pass", "my_gan has no MyGAN (did you mean YourGAN?)"),
        ("MyGAN = 3", "must be a class; this is a value (int)"),
    ],
)
def test_a_users_module_with_faults(work: Path, text: str, reason: str) -> None:
    write(work, "my_gan.py", text)
    said = refusal("my_gan.MyGAN", Trust(folders=(work,)))
    assert said.startswith(f"model._target_ = my_gan.MyGAN: {reason}")
    assert "\n" not in said


def test_attacks_within_nested_nodes_are_found(work: Path) -> None:
    evil = {"_target_": "os.system", "command": "touch marker"}
    product = {"_target_": "gan_cli.priors.Product"}
    for node in (
        {**product, "a": evil},
        {**product, "a": [evil]},
        {**product, "a": {"b": [{"c": evil}]}},
        {**product, "a": {**product, "b": evil}},
    ):
        (fault, *rest) = check(node, "prior")
        assert FOREIGN in fault
        assert not rest
