"""Steps and images per second of every model on MNIST, as `gan-train` would run it.

python benchmarks/speed.py [--device cpu] [--precision fp32] [--seconds 5]
"""

from __future__ import annotations

import argparse
import time

import torch

from gan_cli.config.build import Trust
from gan_cli.config.composing import settings_of
from gan_cli.training.session import Session, assemble

MODELS = ["gan", "dcgan", "cgan", "infogan", "wgan", "wgan_gp"]


def rate(session: Session, seconds: float) -> tuple[float, float]:
    """Steps and real images per second."""

    def finish() -> None:
        if session.device.type == "cuda":
            torch.cuda.synchronize()

    trainer = session.trainer
    for _ in range(5):
        trainer.advance()
    finish()
    begun, step, drawn = time.perf_counter(), trainer.step, trainer.drawn
    while time.perf_counter() - begun < seconds:
        trainer.advance()
    finish()
    passed = time.perf_counter() - begun
    images = (trainer.drawn - drawn) * session.settings.batch_size
    return (trainer.step - step) / passed, images / passed


def main() -> None:
    """Print one line per model."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    runtime = [f"runtime.device={options.device}", f"runtime.precision={options.precision}"]
    for model in MODELS:
        session = assemble(settings_of(f"model={model}", "data=mnist", *runtime), Trust())
        steps, images = rate(session, options.seconds)
        print(f"{model:8} {options.precision} {steps:9.1f} steps/s {images:11,.0f} images/s")


if __name__ == "__main__":
    main()
