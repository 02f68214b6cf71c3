"""Every file of conf/ composes and is sound."""

from __future__ import annotations

import pytest
from composing import settings_of

from gan_cli.config import groups
from gan_cli.config.groups import CONF
from gan_cli.formatting import show

# What a preset or an option cannot know: where the user's images are.
NEEDS = {"folder": ["data.root=images"]}
NEEDS |= {"pairs": NEEDS["folder"], "unpaired": NEEDS["folder"]}
NEEDS |= {"dcgan_paper": NEEDS["folder"], "wgan_paper": NEEDS["folder"]}
NEEDS |= {"stylegan2_64": NEEDS["folder"]}
# Networks that are built for some models alone.
MODELS = {"encoder_decoder": "context_encoder", "resnet_translator": "cyclegan"}
MODELS |= {"srresnet": "srgan", "unet": "pix2pix", "text_lstm": "seqgan", "text_conv": "text_wgan"}
OPTIONS = [
    pytest.param(group, option, marks=[pytest.mark.slow] * (group == "experiment"))
    for group in groups.names()
    for option in groups.options(group)
]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_is_sound(group: str, option: str) -> None:
    model = [f"model={MODELS[option]}"] if group == "network" and option in MODELS else []
    settings = settings_of(f"{group}={option}", *model, *NEEDS.get(option, []))
    if group == "callbacks":  # of which several may be chosen
        assert set(settings.callbacks) <= set(groups.options(group))
    else:
        assert settings.choices[group] == option


def test_there_are_the_groups_and_options_of_old() -> None:
    least = {
        "model": {"gan", "dcgan", "cgan", "infogan", "wgan", "wgan_gp"},
        "network": {"dcgan", "mlp"},
        "loss": {"minimax", "non_saturating", "least_squares", "hinge", "wasserstein"},
        "penalty": {"none", "weight_clip", "gradient_penalty", "r1"},
        "prior": {"gaussian", "uniform"},
        "optimizer": {"adam", "rmsprop", "sgd", "adamw"},
        "data": {"mnist", "fashion_mnist", "kmnist", "cifar10", "folder", "ring", "grid"},
        "experiment": {"dcgan_paper", "infogan_mnist", "wgan_paper", "gaussian_1d", "quickstart"},
        "runtime": {"auto"},
    }
    assert list(groups.names()) == list(groups.defaults())
    for group, options in least.items():
        assert options <= set(groups.options(group)), group


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gan", "mlp non_saturating none adam"),
        ("dcgan", "dcgan non_saturating none adam"),
        ("cgan", "dcgan non_saturating none adam"),
        ("infogan", "infogan non_saturating none adam_infogan"),
        ("wgan", "dcgan wasserstein weight_clip rmsprop"),
        ("wgan_gp", "dcgan_gp wasserstein gradient_penalty adam_wgan_gp"),
    ],
)
def test_a_model_brings_its_papers_choices_and_the_user_wins(model: str, expected: str) -> None:
    names = ("network", "loss", "penalty", "optimizer")
    chosen = settings_of(f"model={model}").choices
    assert " ".join(chosen[name] for name in names) == expected
    mine = {"network": "mlp", "loss": "hinge", "penalty": "r1", "optimizer": "sgd"}
    chosen = settings_of(f"model={model}", *(f"{k}={v}" for k, v in mine.items())).choices
    assert {name: chosen[name] for name in names} == mine


@pytest.mark.slow
@pytest.mark.parametrize("name", groups.options("experiment"))
def test_what_is_typed_goes_before_a_preset(name: str) -> None:
    typed = ["prior.dim=3", "batch_size=5", "optimizer.lr=0.125", "steps=7"]
    settings = settings_of(f"experiment={name}", *typed, *NEEDS.get(name, []))
    assert (settings.prior["dim"], settings.batch_size, settings.steps) == (3, 5, 7)
    assert settings.optimizer["lr"] == 0.125
    if "prior" in settings.model:  # a mixture of Gaussians has none
        assert settings.model["prior"] == settings.prior


def test_the_papers_rates() -> None:
    assert settings_of("model=wgan").optimizer["lr"] == 5e-5
    assert settings_of("model=wgan").penalty["limit"] == 0.01
    dcgan = settings_of("model=dcgan").optimizer
    assert (dcgan["lr"], dcgan["betas"]) == (2e-4, [0.5, 0.999])
    infogan = settings_of("model=infogan").optimizer
    assert (infogan["lr"], infogan["generator"]) == (2e-4, {"lr": 1e-3})


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: show(file.stem))
def test_files_are_utf8_and_end_with_a_newline(file: object) -> None:
    from pathlib import Path

    assert isinstance(file, Path)
    text = file.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert "\t" not in text
