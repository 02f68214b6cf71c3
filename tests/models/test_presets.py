"""Presets say what their papers say."""

from __future__ import annotations

from typing import Any

import pytest
from composing import settings_of

from gan_cli.config.schema import Settings

PUBLISHED = {
    # Lin et al. 2018, section 4.1, and the configuration of the authors' code.
    "pacgan_ring": {
        "batch_size": 100,
        "steps": 400_000,
        "optimizer.lr": 1e-4,
        "optimizer.betas": [0.8, 0.999],
        "prior.dim": 2,
        "data.points": 100_000,
        "data.radius": 1.0,
        "data.deviation": 0.01,
        "network.width": 400,
        "network.discriminator_width": 200,
        "network.pieces": 5,
        "ema.decay": 0,
        "model.schedule": "simultaneous",
        "model.share_fakes": True,
    },
    "pacgan_grid": {"data.side": 5, "data.spacing": 2.0, "data.deviation": 0.05, "prior.dim": 2},
    # Lin et al. 2018, section 4.2; 50 epochs of 128,000.
    "stacked_mnist": {
        "batch_size": 64,
        "steps": 50 * 128_000 // 64,
        "model.d_steps": 1,
        "model.g_steps": 2,
        "optimizer.lr": 2e-4,
        "optimizer.betas": [0.5, 0.999],
        "prior.dim": 100,
        "prior.low": -1.0,
        "data.stacks": 128_000,
        "data.split": "all",
        "ema.decay": 0,
    },
    # Metz et al. 2017, appendix A.
    "unrolled_ring": {
        "data.radius": 2.0,
        "data.deviation": 0.02,
        "prior.dim": 256,
        "network.width": 128,
        "optimizer.lr": 1e-4,
        "model.unroll_lr": None,  # the discriminator's own
        "model.unroll": 5,
        "model.saddle": True,
    },
    # Miyato et al. 2018, the authors' configuration sn_cifar10_unconditional.
    "sngan_cifar10": {
        "batch_size": 64,
        "steps": 50_000,
        "model.d_steps": 5,
        "model.first": "generator",
        "model.generator_batch": 2,
        "network.width": 256,
        "network.discriminator_width": 128,
        "network.spectral_norm": True,
        "optimizer.lr": 2e-4,
        "optimizer.betas": [0.0, 0.9],
        "optimizer.schedule": "linear",
        "prior.dim": 128,
    },
    # Mescheder et al. 2017, the authors' notebook of the mixture of Gaussians, but for the rate.
    "consensus_ring": {
        "batch_size": 512,
        "model.gamma": 10.0,
        "network.width": 16,
        "network.depth": 4,
        "network.discriminator_activation": "relu",
        "optimizer.alpha": 0.9,
        "prior.dim": 16,
        "data.radius": 1.0,
        "data.deviation": 0.01,
    },
    # Zhang et al. 2019, section 4: two rates and no momentum; attention in both networks.
    "sagan_mnist": {
        "model.d_steps": 1,
        "network.attention": 1,
        "network.generator_spectral_norm": True,
        "optimizer.lr": 1e-4,
        "optimizer.discriminator.lr": 4e-4,
        "optimizer.betas": [0.0, 0.9],
    },
    # Zhao et al. 2020, DiffAugment-biggan-cifar10.sh.
    "diffaugment": {
        "network.width": 64,
        "network.init": "normal",
        "network.shared": None,
        "network.split": False,
        "model.conditional": True,
        "model.fake_labels": "uniform",
        "data.flip": True,
        "steps": 250_000,
        "ema.decay": 0.9999,
        "model.augment": ["translation", "cutout"],
        "model.d_steps": 4,
        "batch_size": 50,
        "optimizer.lr": 2e-4,
        "optimizer.betas": [0.0, 0.999],
    },
    # Huang et al. 2024, the preset CIFAR10 of the authors' train.py; 20 million images of 512.
    "r3gan_cifar10": {
        "batch_size": 512,
        "prior.dim": 64,
        "network.width": 768,
        "optimizer.lr": 2e-4,
        "optimizer.final_lr": 5e-5,
        "optimizer.betas": [0.0, 0.9],
        "optimizer.final_betas": [0.0, 0.99],
        "penalty.weight": 0.05,
        "penalty.final_weight": 0.005,
        "model.first": "discriminator",
        "model.ada_p": 0.55,
        "model.ada_p_steps": 39_063,
        "model.ada_pipeline": {"blit": 1.0, "geometry": 1.0, "color": 0.5, "cutout": 1.0},
        "ema.warmup": 39_063,
    },
    # Karras et al. 2020b, the configuration cifar of the authors' train.py.
    "stylegan2_ada_cifar10": {
        "batch_size": 64,
        "images": 100_000_000,
        "prior.dim": 512,
        "network.group": 32,
        "network.mapping": 2,
        "network.residual": False,
        "model.first": "generator",
        "model.mixing": 0.0,
        "model.path_length": 0.0,
        "model.ada_target": 0.6,
        "model.ada_pipeline": "bgc",
        "optimizer.lr": 2.5e-3,
        "optimizer.generator.lr": 2.5e-3 * 4 / 5,
        "optimizer.betas": [0.0, 0.99],
        "penalty.weight": 0.01,
        "penalty.every": 16,
        "ema.ramp": 0.05,
    },
    # Odena et al. 2017, appendix A.
    "acgan_mnist": {"batch_size": 100, "optimizer.lr": 2e-4, "model.classification": 1.0},
    # Miyato and Koyama 2018, the authors' sn_cifar10.
    "projection_cifar10": {
        "batch_size": 64,
        "steps": 50_000,
        "model.d_steps": 5,
        "model.first": "generator",
        "model.conditional": True,
        "model.fake_labels": "uniform",
        "network.conditioning": "projection",
        "network.spectral_norm": True,
        "network.discriminator_norm": "none",
        "optimizer.lr": 2e-4,
        "optimizer.betas": [0.0, 0.9],
        "optimizer.schedule": "linear",
        "prior.dim": 128,
    },
    # Salimans et al. 2016, section 3.
    "improved_gan": {
        "loss.smoothing": 0.1,
        "network.minibatch_discrimination": [100, 5],
        "network.generator_norm": "virtual_batch",
    },
    # Donahue et al. 2017, the authors' train_mnist.sh and appendix C.1.
    "bigan_mnist": {
        "batch_size": 128,
        "prior.dim": 50,
        "prior.low": -1.0,
        "network.width": 1024,
        "network.depth": 2,
        "optimizer.lr": 2e-4,
        "optimizer.betas": [0.5, 0.999],
    },
    # Larsen et al. 2016, section 4.
    "vaegan_mnist": {"batch_size": 64, "optimizer.lr": 3e-4},
    # Isola et al. 2017, appendix 6.2, but for the width and the size of batches.
    "pix2pix_edges": {
        "model.l1": 100.0,
        "network.dropout": 0.5,
        "optimizer.lr": 2e-4,
        "optimizer.betas": [0.5, 0.999],
    },
    # Zhu et al. 2017, section 4 and the authors' code: a cycle of 10, beside a squared error of G
    # that is not halved as this one is.
    "cyclegan_edges": {"model.cycle": 5.0, "model.pool": 50, "optimizer.lr": 2e-4},
    # Yu et al. 2017, section 5.1 and the authors' code: 120 epochs of maximum likelihood.
    "seqgan_oracle": {
        "batch_size": 64,
        "model.pretrain": 18_800,
        "data.symbols": 5000,
        "data.length": 20,
        "data.sequences": 10_000,
        "network.width": 32,
        "optimizer.likelihood.lr": 1e-2,
        "optimizer.likelihood.clip_norm": 5.0,
        "optimizer.generator.lr": 1e-2,
    },
    # Gulrajani et al. 2017, the authors' code for characters.
    "text_wgan_grammar": {"model.d_steps": 10, "prior.dim": 128, "optimizer.lr": 1e-4},
}


def found(settings: Settings, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


@pytest.mark.parametrize("preset", PUBLISHED)
def test_the_published_settings(preset: str) -> None:
    settings = settings_of(f"experiment={preset}")
    expected = PUBLISHED[preset]
    assert {key: found(settings, key) for key in expected} == expected


def test_the_games_that_presets_name() -> None:
    chosen = {
        name: (settings.choices["model"], settings.choices["loss"])
        for name in PUBLISHED
        if (settings := settings_of(f"experiment={name}"))
    }
    assert chosen == {
        "pacgan_ring": ("gan", "non_saturating"),
        "pacgan_grid": ("gan", "non_saturating"),
        "stacked_mnist": ("gan", "non_saturating"),
        "unrolled_ring": ("unrolled", "minimax"),
        "sngan_cifar10": ("gan", "hinge"),
        "consensus_ring": ("consensus", "non_saturating"),
        "sagan_mnist": ("gan", "hinge"),
        "diffaugment": ("gan", "hinge"),
        "r3gan_cifar10": ("gan", "relativistic"),
        "stylegan2_ada_cifar10": ("stylegan2", "non_saturating"),
        "acgan_mnist": ("acgan", "non_saturating"),
        "projection_cifar10": ("projection_gan", "hinge"),
        "improved_gan": ("dcgan", "non_saturating"),
        "bigan_mnist": ("bigan", "non_saturating"),
        "vaegan_mnist": ("vaegan", "non_saturating"),
        "pix2pix_edges": ("pix2pix", "non_saturating"),
        "cyclegan_edges": ("cyclegan", "least_squares"),
        "seqgan_oracle": ("seqgan", "non_saturating"),
        "text_wgan_grammar": ("text_wgan", "wasserstein"),
    }


def test_paths_differ_by_who_evaluates_them_alone() -> None:
    game, control = (settings_of(f"experiment=paths_{name}") for name in ("cgan", "cross_entropy"))
    for key in ("data.side", "batch_size", "evaluation.metrics"):
        assert found(game, key) == found(control, key)
    assert (control.model["adversarial"], control.model["l1"]) == (0, 0)
    assert control.network["dropout"] == 0
