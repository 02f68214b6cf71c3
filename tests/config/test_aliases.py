"""Names of the field: what they stand for, and what wrong ones are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from composing import settings_of
from run_folders import write_run

from gan_cli.commands.train import on_top_of_run
from gan_cli.config import groups
from gan_cli.config.aliases import ABSENT, INSTEAD, KEYS, OPTIONS, hint_of_option, plain
from gan_cli.config.command_line import prepare
from gan_cli.config.schema import Settings
from gan_cli.config.settings import to_yaml
from gan_cli.errors import ConfigError

ALIASES = [(group, name) for group, names in OPTIONS.items() for name in names]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("model=WGAN", "model=wgan"),
        ("model=wgan-gp", "model=wgan_gp"),
        ("model=CycleGAN data=MNIST", "model=cyclegan data=mnist"),
        ("data=Fashion-MNIST", "data=fashion_mnist"),
        ("loss=bce", "loss=non_saturating"),
        ("loss=Vanilla penalty=GP", "loss=non_saturating penalty=gradient_penalty"),
        ("lr=1e-3 batch=64 steps=10k", "optimizer.lr=1e-3 batch_size=64 steps=10k"),
        ("--model wgan --batch-size 8", "model=wgan batch_size=8"),
        ("--lr=1e-3 --dry-run seed=1", "optimizer.lr=1e-3 dry_run=true seed=1"),
        ("--optimizer.lr 1e-3 --force", "optimizer.lr=1e-3 force=true"),
        ("Model=WGAN", "model=wgan"),
        ("dataset=CIFAR-10 +arch=MLP", "data=cifar10 +network=mlp"),
        ("model=lsgan", "model=dcgan loss=least_squares"),
        ("loss=hinge model=LSGAN", "loss=hinge model=dcgan"),
        ("model=rpgan", "model=dcgan loss=relativistic"),
        (
            "model=SNGAN network=mlp model.d_steps=2",
            "model=gan loss=hinge optimizer=adam_sngan network=mlp model.d_steps=2",
        ),
        ("-m model=WGAN,dcgan loss=bce,hinge", "model=wgan,dcgan loss=non_saturating,hinge"),
        ("lr=tag(log,interval(1e-5,1e-2))", "optimizer.lr=tag(log,interval(1e-5,1e-2))"),
        ("callbacks=[default,samples]", "callbacks=[default,samples]"),
        ("~callbacks.tensorboard ~prior", "~callbacks.tensorboard ~prior"),
        ("data=ring", "data=ring"),
        ("data=./photos", "data=folder data.root=./photos"),
        ("data=/tmp/x data.size=32", "data=folder data.root=/tmp/x data.size=32"),
        ("data=photos", "data=folder data.root=photos"),
        ("data=images", "data=folder data.root=images"),
        ("data=my/corpus.txt", "data=text data.root=my/corpus.txt"),
        ("-m data=./a,./b", "data=folder data.root=./a,./b"),
    ],
)
def test_aliases(typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "images", "ring"):
        Path(folder).mkdir()
    assert prepare(typed.split()).overrides == meant.split()


@pytest.mark.parametrize(("group", "name"), ALIASES)
def test_an_alias_is_no_option_and_stands_for_some(group: str, name: str) -> None:
    assert name == plain(name)
    assert name not in {plain(option) for option in groups.options(group)} | ABSENT
    for override in prepare([f"{group}={name}"]).overrides:
        key, _, option = override.partition("=")
        assert key not in groups.names() or option in groups.options(key)


@pytest.mark.parametrize(
    "name", [name for name, stands in OPTIONS["model"].items() if isinstance(stands, tuple)]
)
def test_a_model_of_several_choices_composes_and_is_saved_by_their_names(name: str) -> None:
    settings = settings_of(f"model={name.upper()}")
    assert settings.choices["model"] in groups.options("model")
    assert to_yaml(settings) == to_yaml(settings_of(*prepare([f"model={name}"]).overrides))


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_stands_for_another_is_none_itself(key: str) -> None:
    assert key not in Settings.model_fields
    assert KEYS[key].partition(".")[0] in Settings.model_fields


def test_own_options_and_groups_go_before_aliases(tmp_path: Path) -> None:
    for name in ("model/lsgan", "batch/x"):
        file = tmp_path / f"{name}.yaml"
        file.parent.mkdir()
        file.write_text("x: 1\n")
    words = [f"--config-dir={tmp_path}", "model=LSGAN", "+batch=x", "batch.x=2"]
    assert prepare(words).overrides == ["model=lsgan", "+batch=x", "batch.x=2"]


def test_a_resumed_run_takes_aliases(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "model=wgan")
    saved = yaml.safe_load(run.read_config() or "")
    assert saved["choices"]["model"] == "wgan"
    line = on_top_of_run(prepare([f"resume={run.path}", "lr=1e-3", "loss=bce"]))
    assert line.overrides[1:] == ["optimizer.lr=1e-3", "loss=non_saturating"]
    assert f"optimizer={saved['choices']['optimizer']}" in line.for_hydra


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=lsgna", "(did you mean lsgan?)"),
        ("model=wgan-pg", "(did you mean wgan_gp?)"),
        ("data=celeba", "(download it, and name its folder: data=DIR)"),
        ("data=cifar100", "unknown option (download it"),
        ("penalty=r2", "unknown option; available"),
        ("model=biggan", "(a network: network=biggan, experiment=biggan_mnist)"),
        ("network=unit", "unknown option; gan-train --help network lists all"),
        ("model=lsgan,wgan", "stands for model=dcgan loss=least_squares, which cannot be one of"),
    ],
)
def test_an_unknown_option_is_never_taken_for_a_different_thing(
    override: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare([override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.clip=.01", "(did you mean penalty.limit?)"),
        ("model.n_critic=5", "(did you mean model.d_steps?)"),
        ("model.beta=2", "(it is a setting of model="),
        ("model.limit=2", "(did you mean penalty.limit?)"),
        ("prior.spectral_norm=true", "(did you mean network.spectral_norm?)"),
        ("penalty.limit=2", "(it is a setting of penalty=weight_clip)"),
        ("optimizer._target_=torch.optim.SGD", "(it is a setting of optimizer=adam, "),
        ("model.d_step=2", "(did you mean d_steps?)"),
        ("data.root=photos", "(your own images are data=DIR, or data=folder data.root=DIR)"),
    ],
)
def test_a_setting_of_another_model_or_group_says_where_it_is(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(override)
    assert message in str(caught.value), caught.value


@pytest.mark.parametrize("typed", ["gpu=true", "gpus=2", "--gpu", "--gpu 0", "use_cuda=1"])
def test_a_gpu_is_asked_for_by_the_device(typed: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown key \(did you mean runtime\.device=cuda,"):
        prepare(typed.split())


def test_hints_name_what_is_there() -> None:
    for group, names in INSTEAD.items():
        for name in names:
            assert name == plain(name)
            assert hint_of_option(group, name, groups.options(group)).startswith(" (")


def test_a_file_beside_one_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my corpus.txt").write_text("abc")
    with pytest.raises(ConfigError, match=r"\(your file is 'data=\./my corpus\.txt'\)"):
        prepare(["data=my corpus.txt"])
