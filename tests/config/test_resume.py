"""Resuming: what may differ, what is refused, which settings a resumed run has."""

import errno
import json
import os
from copy import deepcopy
from pathlib import Path

import pytest

from gan_cli.config import resume
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.runs.curves import trim

PRIOR = {"_target_": "gan_cli.priors.Gaussian", "dim": 100}
LOSS = {"_target_": "gan_cli.losses.Wasserstein"}
SAVED = {
    "prior": PRIOR,
    "loss": LOSS,
    "model": {
        "_target_": "gan_cli.models.gan.GAN",
        "prior": {**PRIOR},
        "loss": {**LOSS},
        "d_steps": 5,
    },
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 5e-5, "schedule": "constant"},
    "data": {"_target_": "gan_cli.data.mnist.MNIST", "size": [28, 28]},
    "runtime": {"device": "auto", "precision": "auto", "threads": None, "compile": False},
    "checkpoint": {"every": 1000, "keep": 3},
    "run": {"root": "runs", "dir": None, "name": None},
    "seed": 0,
    "batch_size": 64,
    "steps": 20000,
    "epochs": None,
    "images": None,
    "max_time": None,
    "log_every": 50,
    "sample_every": 500,
    "resume": None,
    "force": False,
    "dry_run": False,
}
GROUPS = {"prior", "loss", "model", "optimizer", "data", "runtime", "experiment"}


def changed(config: dict = SAVED, **values) -> dict:
    """`config` with values at keys written with __ for dots."""
    config = deepcopy(config)
    for key, value in values.items():
        node = config
        *parents, last = key.split("__")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return config


def found(new: dict, saved: dict = SAVED, **more) -> dict[str, bool]:
    return {d.key: d.safe for d in resume.differences(saved, new, **more)}


def test_no_difference():
    assert found(SAVED) == {}
    assert found(changed(data__size=(28.0, 28), note=None, steps=20000.0)) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_time", "10m"),
        ("log_every", 7),
        ("sample_every", 7),
        ("resume", "runs/a"),
        ("force", True),
        ("dry_run", True),
        ("checkpoint__every", 1),
        ("checkpoint__keep", 1),
        ("run__root", "elsewhere"),
        ("run__dir", "a"),
        ("run__name", "b"),
        ("runtime__threads", 2),
        ("runtime__device", "cpu"),
        ("runtime__graphs", "auto"),  # which earlier runs have not
        ("runtime__deterministic", True),
        ("choices__experiment", "quickstart"),
        ("data__root", "x"),  # the samples that lie there are compared
        ("data__workers", 2),
        ("steps", 40000),
        ("steps", 100),
        ("epochs", 3),
        ("images", 1000),
    ],
)
def test_safe(key, value):
    assert found(changed(SAVED, **{key: value}), done=100) == {key.replace("__", "."): True}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("batch_size", 32),
        ("optimizer__lr", 1e-4),
        ("optimizer__generator__lr", 1e-4),
        ("data__size", [28, 32]),
        ("data__size", 28),
        ("model__d_steps", 1),
        ("model__d_steps", None),
        ("loss___target_", "gan_cli.losses.Hinge"),
        ("runtime__precision", "bf16"),
        ("runtime__compile", 0),  # a number where there was false
        ("choices__model", "wgan"),
        ("bogus", 1),
    ],
)
def test_unsafe(key, value):
    key_ = key.replace("___", "._").replace("__", ".")
    new = deepcopy(SAVED)
    new["loss"] = {"_target_": value} if key == "loss___target_" else new["loss"]
    new = new if key == "loss___target_" else changed(new, **{key: value})
    assert found(new) == {key_: False}


def test_what_a_part_repeats_is_said_once():
    new = changed(prior__dim=7, model__prior__dim=7)
    assert found(new) == {"prior.dim": False}
    assert found(changed(new, model__prior__dim=8)) == {
        "prior.dim": False,
        "model.prior.dim": False,
    }


def test_fewer_steps_than_are_done():
    assert found(changed(steps=99), done=100) == {"steps": False}
    (difference,) = resume.differences(SAVED, changed(steps=99), done=100)
    assert str(difference) == "steps: 20000 in the run, 99 now (100 steps are done already)"
    # Epochs count by what they come to.
    new = changed(steps=None, epochs=2)
    assert found(new, done=100, total=150) == {"steps": True, "epochs": True}
    assert found(new, done=100, total=50) == {"steps": False, "epochs": False}


@pytest.mark.parametrize("key", ["optimizer__schedule", "optimizer__generator__schedule"])
def test_a_schedule_ties_the_horizon(key):
    saved = changed(SAVED, **{key: "cosine"})
    assert found(changed(saved, steps=40000), saved) == {"steps": False}
    (difference,) = resume.differences(saved, changed(saved, steps=40000))
    assert difference.why == f"{key.replace('__', '.')} reaches to the end of the run"
    assert found(changed(saved, log_every=1), saved) == {"log_every": True}
    assert found(changed(SAVED, **{key: "constant"}, steps=40000))["steps"]


@pytest.mark.parametrize("player", ["optimizer", "optimizer__generator"])
def test_a_schedule_with_a_length_of_its_own_does_not(player):
    saved = changed(SAVED, **{f"{player}__schedule": "cosine", f"{player}__schedule_steps": 50})
    assert found(changed(saved, steps=40000), saved) == {"steps": True}
    common = changed(SAVED, optimizer__schedule_steps=50, **{f"{player}__schedule": "cosine"})
    assert found(changed(common, steps=40000), common) == {"steps": True}
    own = changed(saved, optimizer__discriminator={"schedule": "linear", "schedule_steps": None})
    assert found(changed(own, steps=40000), own) == {"steps": False}


def test_a_schedule_of_turns_does_not_tie_the_horizon():
    saved = changed(SAVED, model__schedule="alternate")
    assert found(changed(saved, steps=40000), saved) == {"steps": True}
    assert found(changed(saved, model__schedule="together"), saved) == {"model.schedule": False}


def test_one_message_lists_all_unsafe_differences():
    new = changed(batch_size=32, seed=1, steps=30000, optimizer__momentum=0.9)
    with pytest.raises(ConfigError) as error:
        resume.require_safe(resume.differences(SAVED, new), Path("runs/a"))
    text = str(error.value)
    assert text.startswith("resume = runs/a: ")
    assert "\n  batch_size: 64 in the run, 32 now\n" in text
    assert "\n  seed: 0 in the run, 1 now\n" in text
    assert "\n  optimizer.momentum: not set in the run, 0.9 now\n" in text
    assert "steps" not in text
    assert text.endswith("\nleave these as they were, start a new run, or set force=true")
    with pytest.raises(ConfigError) as error:
        resume.require_safe(resume.differences(SAVED, new), Path("runs/a"), resumed=False)
    assert str(error.value).endswith(
        "\nleave these as they were (gan-train resume=runs/a takes the run's own settings), "
        "start a new run, or set force=true"
    )
    resume.require_safe(resume.differences(SAVED, changed(steps=30000)), Path("runs/a"))


RUN = changed(batch_size=32, seed=5, loss={"_target_": "gan_cli.losses.Hinge"}, model__d_steps=2)
RUN["model"]["loss"] = dict(RUN["loss"])


def merged(composed: dict, *overrides: str, run: dict = RUN) -> dict:
    before = deepcopy((run, composed))
    result = resume.merge(run, composed, overrides, GROUPS)
    assert (run, composed) == before  # neither is touched
    return result


def test_only_what_was_typed_changes():
    composed = changed(steps=30000, resume="runs/a")
    assert merged(composed, "resume=runs/a", "steps=30000") == changed(
        RUN, steps=30000, resume="runs/a"
    )
    assert merged(changed(), "hydra.verbose=true") == RUN


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_new_and_nested_keys(sign):
    composed = changed(optimizer__generator__lr=0.1)
    assert merged(composed, f"{sign}optimizer.generator.lr=0.1") == changed(
        RUN, optimizer__generator__lr=0.1
    )


def test_deleted_keys():
    composed = changed()
    del composed["data"]["size"]
    assert "size" not in merged(composed, "~data.size")["data"]
    assert "size" not in merged(composed, "~data.size=[28,28]")["data"]
    assert merged(composed, "~nowhere.at.all") == RUN


def test_group_brings_its_whole_node():
    node = {"_target_": "torch.optim.SGD", "lr": 0.01}
    composed = changed(optimizer=node)
    assert merged(composed, "optimizer=sgd") == changed(RUN, optimizer=node)
    assert merged(composed, "optimizer@optimizer=sgd") == changed(RUN, optimizer=node)


def test_a_group_chosen_anew_is_called_so():
    run = changed(RUN, choices={"optimizer": "rmsprop", "experiment": "a"})
    composed = changed(choices={"optimizer": "sgd", "experiment": "b"})
    result = merged(composed, "optimizer=sgd", "experiment=b", "prior.dim=3", run=run)
    assert result["choices"] == {"optimizer": "sgd", "experiment": "a"}


def test_what_repeats_a_group_follows_it():
    uniform = {"_target_": "gan_cli.priors.Uniform", "dim": 7}
    composed = changed(prior=uniform, model__prior=uniform)
    result = merged(composed, "prior=uniform", "prior.dim=7")
    assert result["prior"] == result["model"]["prior"] == uniform
    wide = changed(prior__dim=7, model__prior__dim=7)
    result = merged(wide, "prior.dim=7")
    assert result["model"]["prior"]["dim"] == result["prior"]["dim"] == 7
    assert result["model"]["loss"] == RUN["loss"]


def test_model_typed_again_keeps_the_run_s_parts():
    result = merged(SAVED, "model=wgan")
    assert result["model"]["d_steps"] == 5  # the composed model's own setting
    assert result["model"]["loss"] == RUN["loss"]  # what the run has for ${loss}


def test_a_part_of_the_model_alone():
    composed = changed(model__prior__dim=7)
    result = merged(composed, "model.prior.dim=7")
    assert (result["model"]["prior"]["dim"], result["prior"]["dim"]) == (7, 100)
    same = merged(changed(), "model.prior.dim=100")
    assert same["model"]["prior"] == PRIOR


def test_one_horizon_replaces_the_others():
    run = changed(RUN, steps=None, epochs=3)
    result = merged(changed(steps=900), "steps=900", run=run)
    assert (result["steps"], result["epochs"], result["images"]) == (900, None, None)


def test_a_preset_has_no_node():
    assert merged(changed(), "experiment=quickstart") == RUN
    assert merged(changed(), "+experiment=quickstart") == RUN


def lines(*steps: int) -> bytes:
    return b"".join(json.dumps({"step": s, "loss": 0.5}).encode() + b"\n" for s in steps)


def test_trim_drops_later_points_and_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(50, 100, 150, 200) + lines(250)[:-9])
    assert trim(path, 100) == 3
    assert path.read_bytes() == lines(50, 100)
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_trim_of_a_line_that_only_lacks_its_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(50, 100)[:-1])  # the next point would be glued to it
    assert trim(path, 100) == 1
    assert path.read_bytes() == lines(50)


def test_trim_keeps_what_has_no_step_and_drops_garbage(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"note": 1}\n\x00\x00\n[1]\n' + lines(50))
    assert trim(path, 50) == 2
    assert path.read_bytes() == b'{"note": 1}\n' + lines(50)


def test_trim_leaves_a_fitting_file_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert trim(path, 0) == 0
    path.write_bytes(lines(50, 100))
    before = path.stat()
    assert trim(path, 100) == 0
    assert path.stat().st_ino == before.st_ino


def test_trim_on_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(50, 100))

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: cannot be written: No space left"):
        trim(path, 50)
    assert path.read_bytes() == lines(50, 100)


def test_trim_of_a_folder_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="is not a regular file"):
        trim(tmp_path, 1)
