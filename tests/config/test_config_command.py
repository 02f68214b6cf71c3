"""The command as a user meets it: faults, what Hydra itself shows, a GAN of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from inprocess import call as gan_train

MY_GAN = """
from __future__ import annotations

from torch import Tensor, nn

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss, Model, Phase
from gan_cli.priors import Prior


class MyGAN(Model):
    \"\"\"One layer against one layer.\"\"\"

    def __init__(self, data: DataSpec, prior: Prior, loss: AdversarialLoss, width: int = 3):
        super().__init__()
        self.data, self.prior, self.loss = data, prior, loss
        (size,) = data.shape
        self.generator = nn.Linear(prior.dim, size)
        self.critic = nn.Sequential(nn.Linear(size, width), nn.Tanh(), nn.Linear(width, 1))

    def phases(self) -> list[Phase]:
        return [
            Phase("critic", self.critic_loss, (self.critic,)),
            Phase("generator", self.generator_loss, (self.generator,)),
        ]

    def critic_loss(self, batch: Batch) -> Loss:
        fake = self.sample(len(batch))
        return Loss(self.loss.discriminator(self.score(batch.real), self.score(fake)), {})

    def generator_loss(self, batch: Batch) -> Loss:
        return Loss(self.loss.generator(self.score(self.sample(len(batch)))), {})

    def score(self, x: Tensor) -> Tensor:
        return self.critic(x).squeeze(1)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))
"""
MY_YAML = """# @package _global_
defaults:
  - override /data: gaussian_1d
  - override /prior: small
model:
  _target_: my_gan.MyGAN
  prior: ${prior}
  loss: ${loss}
"""


def test_faults_end_with_status_2_and_one_message(tmp_path: Path) -> None:
    done = gan_train("stesp=5", "optimizer.lr=-1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "error: stesp: unknown key (did you mean steps?)"
    assert lines[1] == "optimizer.lr = -1: must be greater than 0"
    assert len(lines) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["model=wgna", "prior.dim=[1,", "seed=1,2", "--stesp=3"])
def test_what_hydra_would_say_ends_with_status_2(tmp_path: Path, wrong: str) -> None:
    done = gan_train(wrong, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_composed_config_can_be_shown(tmp_path: Path) -> None:
    done = gan_train("prior.dim=7", "--cfg", "job", "model=wgan", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["prior"]["dim"] == 7
    assert shown["model"]["d_steps"] == 5
    assert list(tmp_path.iterdir()) == []


def test_hydras_information_can_be_shown(tmp_path: Path) -> None:
    done = gan_train("--info", "defaults-tree", "loss=hinge", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "loss: hinge" in done.stdout


def test_shell_completion(tmp_path: Path) -> None:
    done = gan_train("-sc", "install=bash", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "complete -o nospace" in done.stdout
    typed = "gan-train model=wg"
    done = gan_train("-sc", "query=bash", cwd=tmp_path, COMP_LINE=typed, COMP_POINT=str(len(typed)))
    assert done.stdout.split() == ["model=wgan", "model=wgan_gp"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a GAN of the user's own: its module, and its group options."""
    (tmp_path / "my_gan.py").write_text(MY_GAN)
    for name, text in {
        "model/mygan.yaml": MY_YAML,
        "prior/small.yaml": "_target_: gan_cli.priors.Gaussian\ndim: 2\n",
    }.items():
        path = tmp_path / "my_conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.slow
def test_a_gan_of_ones_own_trains_and_its_faults_are_told(mine: Path) -> None:
    own = ["--config-dir", "my_conf", "model=mygan", "data.points=256", "runtime.device=cpu"]
    few = ["steps=2", "batch_size=8", "checkpoint.every=2", "sample_every=2", "log_every=1"]
    done = gan_train(*own, *few, "optimizer.critic.lr=1e-3", "model.width=4", cwd=mine)
    assert done.returncode == 0, done.stderr
    (config,) = (mine / "runs").glob("*/*/config.yaml")
    saved = yaml.safe_load(config.read_text())
    assert saved["model"]["prior"] == {"_target_": "gan_cli.priors.Gaussian", "dim": 2}
    assert saved["optimizer"]["critic"] == {"lr": 1e-3}
    assert saved["choices"]["model"] == "mygan"

    done = gan_train(*own, *few, "optimizer.critc.lr=1e-3", cwd=mine)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "error: optimizer.critc: no phase of that name; this model has critic, generator "
        "(did you mean critic?)"
    )
    done = gan_train(*own, *few, "model.widht=1", "optimizer.lr=0", cwd=mine)
    assert done.stderr.strip() == "error: optimizer.lr = 0: must be greater than 0"
    done = gan_train(*own, *few, "model.widht=1", cwd=mine)  # a fault of a class of one's own
    assert done.stderr.strip() == (
        "error: model.widht: MyGAN has no such setting (did you mean width?); it has prior, loss, "
        "width"
    )


def test_code_of_a_run_folder_never_runs(mine: Path) -> None:
    evil = mine / "runs" / "x"
    evil.mkdir(parents=True)
    (evil / "evil.py").write_text(f"open({str(mine / 'marker')!r}, 'w').write('ran')")
    done = gan_train("model._target_=runs.x.evil.Evil", cwd=mine)
    assert done.returncode == 2
    assert "is in a run folder, whose code is never run" in done.stderr
    assert not (mine / "marker").exists()
