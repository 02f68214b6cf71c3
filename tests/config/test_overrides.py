"""The command line before Hydra: what is rewritten, what is refused, what Hydra's words become."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from gan_cli.config import groups
from gan_cli.config.command_line import TEXTS, open_path, prepare
from gan_cli.config.groups import CONF
from gan_cli.config.hydra_errors import explain
from gan_cli.errors import ConfigError


def options(group: str) -> str:
    """The command that lists the options of a group, which are many, as messages say it."""
    return f"gan-train --help {group} lists all {len(list(Path(CONF, group).glob('*.yaml')))}"


MODELS, LOSSES = options("model"), options("loss")


def composed(*argv: str) -> DictConfig:
    command = prepare(list(argv))
    given = command.for_hydra
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", given)


def refusal(*argv: str) -> str:
    """The message for a wrong command line, be it ours or Hydra's explained."""
    try:
        composed(*argv)
    except ConfigError as error:
        return str(error)
    except Exception as error:
        return explain(error) or f"not explained: {error!r}"
    raise AssertionError(f"{argv} was accepted")


@pytest.mark.parametrize(
    ("typed", "for_hydra"),
    [
        ("seed=3", "++seed=3"),
        ("+bogus=1", "++bogus=1"),
        ("++bogus=1", "++bogus=1"),
        ("optimizer.discriminator.lr=4e-4", "++optimizer.discriminator.lr=4e-4"),
        ("seed=1,2,3", "++seed=1,2,3"),
        ("seed=choice(1,2)", "++seed=choice(1,2)"),
        ("seed=range(16)", "++seed=range(16)"),
        ("data.root=2023,2024,x", "++data.root='2023','2024',x"),
        ("data.root=choice(1,2)", "++data.root=choice(1,2)"),
        ("data.size=[28,32]", "++data.size=[28,32]"),
        ("prior.dim=${seed}", "++prior.dim=${seed}"),
        ("run.name='a, b'", "++run.name='a, b'"),
        ("run.name=a=b", "++run.name='a=b'"),
        ("run.name='a=b'", "++run.name='a=b'"),
        ("data.root=/a/b (1)/c", "++data.root='/a/b (1)/c'"),
        ("data.root=/home/josé", "++data.root='/home/josé'"),
        ("data.root=é\\", "++data.root='é\\\\'"),
        ("model=wgan", "model=wgan"),
        ("+loss=hinge", "loss=hinge"),  # in the defaults list already
        ("model=wgan,dcgan", "model=wgan,dcgan"),
        ("model=choice(wgan,dcgan)", "model=choice(wgan,dcgan)"),
        ("+loss@model.extra=hinge", "+loss@model.extra=hinge"),
        ("~prior.dim", "~prior.dim"),
        ("hydra.launcher.n_jobs=2", "hydra.launcher.n_jobs=2"),
        ("hydra/launcher=basic", "hydra/launcher=basic"),
        ("+hydra.launcher.options={qos: a}", "+hydra.launcher.options={qos: a}"),
    ],
)
def test_values_are_forced_and_groups_are_not(typed: str, for_hydra: str) -> None:
    command = prepare([typed])
    assert command.for_hydra == [for_hydra]
    assert command.overrides == [typed]


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("run.name=a=b", "run.name", "a=b"),
        ("data.root=/a/b (1)/c#d;e", "data.root", "/a/b (1)/c#d;e"),
        ("data.root=/home/josé", "data.root", "/home/josé"),
        ("data.root=é\\", "data.root", "é\\"),
        ("data.root=~/x", "data.root", str(Path("~/x").expanduser())),
        ("run.name='a, b'", "run.name", "a, b"),
        ('run.name="a=b"', "run.name", "a=b"),
        ("data.size=[28,32]", "data.size", [28, 32]),
        ("data.mean=1e-3", "data.mean", 1e-3),
        ("resume=null", "resume", None),
        ("run.name=1", "run.name", "1"),
        ("run.name=1e3", "run.name", "1e3"),
        ("run.name=007", "run.name", "007"),
        ("run.name= 1_000 ", "run.name", "1_000"),
        ("run.name=true", "run.name", "true"),
        ("run.name=-inf", "run.name", "-inf"),
        ("run.name='7'", "run.name", "7"),
        ("run.root=99", "run.root", "99"),
        ("run.dir=7", "run.dir", "7"),
        ("sweep.name=7", "sweep.name", "7"),
        ("sweep.dir=.5", "sweep.dir", ".5"),
        ("resume=7", "resume", "7"),
        ("data.root=2024", "data.root", "2024"),
        ("evaluation.inception=5", "evaluation.inception", "5"),
    ],
)
def test_values_survive_hydra(typed: str, key: str, value: object) -> None:
    assert OmegaConf.select(composed(typed), key) == value


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("d,dü", ["d", "dü"]),
        ("a=b,a#b, (1),photos (1)", ["a=b", "a#b", "(1)", "photos (1)"]),
        ("~/x,a;b,a&b", [str(Path.home() / "x"), "a;b", "a&b"]),
        ("'a,b',d", ["a,b", "d"]),
        (r"a\,b,ü,'it\'s'", ["a,b", "ü", "it's"]),
        ("[a,b],[c]", [["a", "b"], ["c"]]),
        ("choice(a,b)", ["a", "b"]),
        ("range(1,3)", ["1", "2"]),
        ("1,x", ["1", "x"]),
    ],
)
def test_each_of_several_values_takes_what_one_alone_takes(typed: str, values: list[Any]) -> None:
    overrides = OverridesParser.create().parse_overrides(prepare([f"data.root={typed}"]).for_hydra)
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    assert [composed(*job).data.root for job in jobs] == values


def test_nothing_is_chosen_by_experiment_null() -> None:
    assert prepare(["experiment=null"]).for_hydra == []
    assert composed("experiment=null").prior.dim == 100


def test_options_are_sorted_out(tmp_path: Path) -> None:
    typed = ["seed=1", "-m", "--trust", "a", "--cfg", "job", "steps=2", "--trust=b.c", "--info"]
    command = prepare([*typed, "-cd", str(tmp_path), "-i", "defaults"])
    assert command.options == {
        "--multirun": [],
        "--trust": ["a", "b.c"],
        "--cfg": ["job"],
        "--info": ["all", "defaults"],
        "--config-dir": [str(tmp_path)],
    }
    assert command.for_hydra == ["++seed=1", "++steps=2"]
    assert command.trust == ["a", "b.c"]
    assert command.config_dirs == [tmp_path]
    assert command.multirun
    assert command.keys == ["seed", "steps"]


def test_config_dir_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mygan.yaml").write_text("x: 1")
    monkeypatch.chdir(tmp_path)
    command = prepare(["--config-dir=mine", "model=mygan", "-r"])
    assert command.config_dirs == [tmp_path / "mine"]
    assert command.for_hydra == ["model=mygan"]
    assert not command.multirun


def test_multirun_by_hydra_mode() -> None:
    assert prepare(["hydra.mode=MULTIRUN"]).multirun


def test_own_group_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "conv.yaml").write_text("width: 1")
    command = prepare([f"--config-dir={tmp_path}", "+encoder=conv", "encoder.width=3"])
    assert command.for_hydra == ["+encoder=conv", "++encoder.width=3"]


def test_words_for_the_shell_completion_stay() -> None:
    assert prepare(["-sc", "install=bash"]).for_hydra == ["install=bash"]


def test_path_is_opened_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, mine = tmp_path / "work", tmp_path / "mine"
    work.mkdir()
    mine.mkdir()
    monkeypatch.chdir(work)
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    command = prepare([f"--config-dir={mine}"])
    open_path(command)
    open_path(command)
    assert sys.path == [*before, str(work), str(mine)]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["model=wgna"],
            f"model = wgna: unknown option (did you mean wgan?); {MODELS}",
        ),
        (
            ["model=wgan,wgna", "-m"],
            f"model = wgna: unknown option (did you mean wgan?); {MODELS}",
        ),
        (["prior=null"], "prior = null: unknown option; available: gaussian, uniform"),
        (["prior="], "prior = : unknown option; available: gaussian, uniform"),
        (
            ["loss@model.x=hing"],
            f"loss@model.x = hing: unknown option (did you mean hinge?); {LOSSES}",
        ),
        (
            ["prior={dim:3}"],
            "prior = {dim:3}: must be an option; available: gaussian, uniform; set a part with "
            "prior.NAME=...",
        ),
        (
            ["prio/x=1"],
            "prio/x: unknown group (did you mean prior?); available: loss, penalty, network, "
            "prior, optimizer, runtime, data, callbacks, model, experiment",
        ),
        (["wgan"], "wgan: settings are written key=value (did you mean model=wgan?)"),
        (["prior"], "prior: settings are written key=value; available: gaussian, uniform"),
        (["=3"], "=3: the key before the = is missing"),
        (
            ["experiment=lsgan_mnits"],
            "experiment = lsgan_mnits: unknown option (did you mean lsgan_mnist?); gan-train "
            f"--help experiment lists all {len(groups.options('experiment'))}",
        ),
        (["--stesp=5"], "--stesp: no such option; settings are written without dashes: stesp=5"),
        (
            ["--dim-prior", "5"],
            "--dim-prior: no such option; settings are written without dashes: dim_prior=5",
        ),
        (["--steps"], "--steps: no such option; settings are written without dashes: steps=..."),
        (["--confg-dir=x"], "--confg-dir: no such option (did you mean --config-dir?)"),
        (["--trust"], "--trust: needs a value"),
        (["--config-dir=/no/such"], "--config-dir = /no/such: no such folder"),
        (
            ["--config-dir=/", "-cd", "/"],
            "--config-dir: can be given once; put the groups into one folder",
        ),
        (
            ["prior.dim=[1,"],
            "prior.dim = [1,: cannot be read; lists are written [a,b], and text with special "
            """characters in two kinds of quotes: prior.dim='"..."'""",
        ),
        (
            ["seed=1,2,3"],
            "seed = 1,2,3: several values; add -m to run one job per value; as one list they are "
            "written 'seed=[1,2,3]'",
        ),
        (
            ["run.dir=a=b,c"],
            "run.dir = a=b,c: several values; add -m to run one job per value; text with commas is "
            """written 'run.dir="a=b,c"'""",
        ),
        (
            ["data.root=1,2"],
            "data.root = 1,2: several values; add -m to run one job per value; text with commas is "
            """written 'data.root="1,2"'""",
        ),
        (
            ["seed=range(3)"],
            "seed = range(3): several values; add -m to run one job per value",
        ),
        (
            ["-m", "seed=range(1,3),5"],
            "seed = range(1,3),5: a range, choice or glob cannot be combined with other "
            "values; write each value by itself",
        ),
        (
            ["-m", "model=glob(d*),wgan"],
            "model = glob(d*),wgan: a range, choice or glob cannot be combined with other values; "
            "write each value by itself",
        ),
        (
            ["loss=hinge,minimax"],
            "loss = hinge,minimax: several values; add -m to run one job per value",
        ),
        (
            ["loss@model.x=hinge"],
            "loss@model.x: nothing in the config takes this group; add it with a +, or choose its "
            "option with loss=...",
        ),
        (["~stesp"], "~stesp: nothing of that name to delete"),
        (["hydra.launcher.foo=3"], "hydra.launcher.foo: unknown setting"),
        (
            ["hydra.launcher.n_jobs=x"],
            "hydra.launcher.n_jobs = x: Value 'x' of type 'str' could not be converted to Integer",
        ),
        (
            ["hydra/launcher=foo"],
            "hydra/launcher = foo: must be local, ray, slurm or basic",
        ),
        (["hydra/launcher=[null]"], "hydra/launcher = [null]: must be local, ray, slurm or basic"),
        (["hydra.mode=x"], "hydra.mode = x: must be RUN or MULTIRUN"),
        (["model=[[]]"], f"model = []: unknown option; {MODELS}"),
        (
            ["prior=${oc.select:seed}"],
            "prior = ${oc.select:seed}: unknown option; available: gaussian, uniform",
        ),
        (
            ["prior.dim=" + "[" * 100 + "]" * 100],
            f"prior.dim = {'[' * 57}...: brackets within brackets, more than 20 levels deep",
        ),
        (
            ["optimizer.betas=[" + ",".join(["1"] * 1001) + "]"],
            "optimizer.betas = [" + "1," * 28 + "...: more than 1,000 values; of numbers in order, "
            "write range(FIRST,END)",
        ),
        (
            ["run.name=" + "x" * 10_000],
            f"run.name = {'x' * 57}...: 10,009 characters, where at most 10,000 are read",
        ),
        (
            ["prior=" + "x" * 300],
            f"prior = {'x' * 57}...: unknown option; available: gaussian, uniform",
        ),
        (
            ["--stesp=5", "wgan", "model=x", "prior=y"],
            "--stesp: no such option; settings are written without dashes: stesp=5\n"
            "wgan: settings are written key=value (did you mean model=wgan?)\n"
            f"model = x: unknown option; {MODELS}\n"
            "prior = y: unknown option; available: gaussian, uniform",
        ),
    ],
)
def test_what_is_wrong_is_said(argv: list[str], message: str) -> None:
    assert refusal(*argv) == message


def failing_config(folder: Path, text: str) -> Exception:
    """The error of composing a config with this text in model/a.yaml."""
    (folder / "model").mkdir()
    (folder / "train.yaml").write_text("defaults: [{model: a}]")
    (folder / "model" / "a.yaml").write_text(text)
    with (
        pytest.raises(Exception) as caught,  # noqa: PT011 - any: it is to be explained
        initialize_config_dir(str(folder), version_base="1.3"),
    ):
        compose("train")
    assert isinstance(caught.value, Exception)
    return caught.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults: [nope]", "model = nope: unknown option, which model/a.yaml asks for"),
        ("x: [1", "model/a.yaml, line 1, column 6: not YAML: expected ',' or ']', but got"),
        ("x: 1\nx: 2", "found duplicate key x"),
        ("defaults: [{/data: x}]", "data = x: unknown option, which model/a.yaml asks for"),
        ("x: ${a", "no viable alternative at input '${a'"),
    ],
)
def test_faults_in_config_files_are_told_with_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    said = explain(failing_config(tmp_path, text))
    assert said is not None
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize("error", [ValueError("ours"), RuntimeError("x"), KeyError("y")])
def test_other_errors_are_not_explained(error: Exception) -> None:
    assert explain(error) is None


def test_conf_is_the_folder_of_the_config() -> None:
    assert yaml.safe_load((CONF / "train.yaml").read_text())["seed"] == 0


def test_every_setting_that_is_text_takes_what_was_typed() -> None:
    from gan_cli.config.annotations import fitted
    from gan_cli.config.schema import Evaluation, Run, Settings, Sweep

    def fits(value: object, kind: Any) -> bool:
        try:
            fitted(value, kind)
        except ValueError:
            return False
        return True

    groups = {"run.": Run, "sweep.": Sweep, "evaluation.": Evaluation, "": Settings}
    texts = {
        f"{prefix}{name}"
        for prefix, kind in groups.items()
        for name, field in kind.model_fields.items()
        if fits("x", field.annotation) and not fits(["x"], field.annotation)
    }
    numbers = {"max_time", "film", "evaluation.split", "evaluation.metrics"}
    assert texts - numbers <= set(TEXTS)


@pytest.mark.parametrize("typed", ['run.dir="a=b,c"', 'run.dir="1,2"'])
def test_text_with_commas_in_double_quotes_is_one_text(typed: str) -> None:
    assert composed(typed).run.dir == typed.partition("=")[2].strip('"')
