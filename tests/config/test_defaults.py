"""Settings that a saved config lacks are what they were before they could be set."""

from __future__ import annotations

from copy import deepcopy

import pytest
import yaml

from gan_cli.config.defaults import comparable, completed
from gan_cli.config.resume import differences
from gan_cli.config.settings import settings_of, to_yaml

UNKNOWN = {  # to the version before
    "checkpoint": ("minutes",),
    "data": ("split", "labels", "background"),
    "penalty": ("rescale", "of"),
    "model": ("fake_labels",),
}


def composed(*overrides: str) -> dict:
    return yaml.safe_load(to_yaml(settings_of(*overrides)))


def as_before(config: dict) -> dict:
    """A config as the version before would have saved it."""
    old = deepcopy(config)
    for node, keys in UNKNOWN.items():
        for key in keys:
            old[node].pop(key, None)
    if "penalty" in old["model"]:
        old["model"]["penalty"] = deepcopy(old["penalty"])
    return old


def changes(saved: dict, now: dict) -> tuple[list[str], list[str]]:
    """The differences, and what is done otherwise."""
    old, new, told = comparable(saved, now)
    return [str(difference) for difference in differences(old, new)], told


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=gan", "data=ring", "penalty=r1"),
        ("model=cgan", "data=mnist", "penalty=dragan"),
        ("model=wgan_gp", "data=folder", "data.root=/photos"),
        ("model=gan", "data=ring", "penalty=orthogonal", "penalty.of=discriminator"),
    ],
)
def test_new_settings_that_change_nothing_are_no_difference(overrides: tuple[str, ...]) -> None:
    now = composed(*overrides)
    old = as_before(now)
    if "data=folder" in overrides:
        assert "background" not in old["data"]
    assert changes(old, now) == ([], [])


def test_new_settings_that_were_set_otherwise_are_a_difference() -> None:
    now = composed("model=gan", "data=ring", "penalty=r1", "penalty.rescale=true")
    assert changes(as_before(now), now)[0] == ["penalty.rescale: false in the run, true now"]
    folder = composed("data=folder", "data.root=/photos", "data.background=black")
    assert changes(as_before(folder), folder)[0] == ["data.background: white in the run, black now"]


def test_a_penalty_that_acts_on_another_network_now_is_a_difference() -> None:
    now = composed("model=gan", "data=ring", "penalty=orthogonal")
    assert changes(as_before(now), now)[0] == [
        "penalty.of: discriminator in the run, generator now"
    ]


def test_classes_that_are_drawn_otherwise_now_are_told() -> None:
    now = composed("model=acgan", "data=mnist")
    found, told = changes(as_before(now), now)
    assert found == []
    assert [line.partition(";")[0] for line in told] == [
        "model.fake_labels: uniform in the run, data now, which is the default of this version "
        "(classes in the shares of real samples)"
    ]
    kept = composed("model=acgan", "data=mnist", "model.fake_labels=uniform")
    assert changes(as_before(kept), kept) == ([], [])
    assert changes(kept, now) == (["model.fake_labels: uniform in the run, data now"], [])


def unrolled(*overrides: str) -> tuple[dict, dict]:
    """The config of an unrolled GAN as the version before saved it, and as it is now."""
    now = composed("model=unrolled", "data=ring", *overrides)
    own = {"unroll_lr": now["optimizer"]["lr"], "unroll_betas": [0.5, 0.999]}
    return {**now, "model": {**now["model"], **own}}, now


def test_a_look_ahead_with_the_optimizer_that_d_has_anyway_is_no_difference() -> None:
    assert changes(*unrolled()) == ([], [])


@pytest.mark.parametrize(
    "override",
    [
        "+optimizer.discriminator.lr=0.001",
        "optimizer.schedule=linear",
        "optimizer.warmup=5",
        "optimizer.betas=[0.0,0.9]",
    ],
)
def test_a_look_ahead_with_another_optimizer_than_before_is_told(override: str) -> None:
    found, told = changes(*unrolled(override))
    assert found == []
    assert told[0] == (
        "model.unroll_lr: 0.0002 in the run, null now, which is the default of this version (the "
        "discriminator's own rate at each step); model.unroll_lr=0.0002 keeps it"
    )
    assert told[1].endswith("(the discriminator's own); 'model.unroll_betas=[0.5,0.999]' keeps it")


def test_a_look_ahead_that_was_chosen_is_a_difference() -> None:
    saved, now = unrolled()
    saved["model"]["unroll_lr"] = 0.1
    assert changes(saved, now)[0] == ["model.unroll_lr: 0.1 in the run, not set now"]


def test_a_lazy_penalty_that_counts_updates_now_is_told() -> None:
    several = composed("model=gan", "data=ring", "penalty=r1", "penalty.every=4", "model.d_steps=5")
    assert changes(as_before(several), several) == (
        [],
        [
            "penalty.every: 4 counts updates of the discriminator in this version, and counted "
            "steps when the run began"
        ],
    )
    assert changes(several, several) == ([], [])
    one = composed("model=gan", "data=ring", "penalty=r1", "penalty.every=4")
    assert changes(as_before(one), one) == ([], [])


def test_classes_of_others_are_neither_looked_up_nor_completed() -> None:
    foreign = {"_target_": "antigravity.Door", "width": 3}
    for target in ("antigravity.Door", "torch.optim.Adam", "gan_cli.data.nowhere.X", 7, None):
        node = {**foreign, "_target_": target}
        assert completed({"model": node})["model"] == node
