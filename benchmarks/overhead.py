"""What the trainer costs beside a bare loop over the same networks, data and optimizers.

Both train copies of one model in turns, in one process, so that the machine's moods meet both:

    python benchmarks/overhead.py [--model dcgan|mlp|wgan] [--device cpu] [--rounds 30]

The bare loop is what one would write by hand: gather, draw, two losses, two updates. The trainer
also seeds every step, sums what is to be plotted, and freezes. Averaging of weights is left out on
both sides, since it is work asked for and not overhead; its own cost is printed beside it.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gan_cli.data.mnist import MNIST
from gan_cli.data.stream import Stream
from gan_cli.losses import NonSaturating, Wasserstein
from gan_cli.models.gan import GAN
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import NoPenalty, WeightClip
from gan_cli.priors import Gaussian
from gan_cli.training import runtime
from gan_cli.training.averaging import Average
from gan_cli.training.optimizers import build_players, players_of
from gan_cli.training.trainer import Trainer

BATCH = 64
ADAM = {"lr": 2e-4, "betas": (0.5, 0.999), "fused": True}


def model_of(name: str, data: MNIST) -> GAN:
    """The model to be timed."""
    torch.manual_seed(0)
    prior = Gaussian(100)
    if name == "wgan":
        return GAN(data.spec, prior, DCGAN(), Wasserstein(), WeightClip(), d_steps=5)
    if name == "mlp":
        return GAN(data.spec, prior, MLP(), NonSaturating(), NoPenalty())
    return GAN(data.spec, prior, DCGAN(), NonSaturating(), NoPenalty(), share_fakes=True)


def trainer_loop(model: GAN, stream: Stream, decay: float) -> Callable[[], None]:
    """A step by the trainer."""
    options = {name: dict(ADAM) for name in players_of(model.phases())}
    players = build_players(model, options, lambda n, p: torch.optim.Adam(p, **n), total=1)
    return Trainer(model, players, stream.batch, 0, Average(model, decay)).advance


def bare_loop(model: GAN, stream: Stream) -> Callable[[], None]:
    """A step by hand, with the same number of passes through each network."""
    generator, discriminator = model.generator, model.discriminator
    d_optimizer = torch.optim.Adam(discriminator.parameters(), **ADAM)
    g_optimizer = torch.optim.Adam(generator.parameters(), **ADAM)
    images = stream.dataset.values
    device = images.device
    order = iter(torch.randint(len(images), (100_000, BATCH), device=device))

    def noise() -> Tensor:
        return torch.randn(BATCH, 100, device=device)

    def real() -> Tensor:
        return images[next(order)].float().div_(127.5).sub_(1)

    def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def dcgan() -> None:
        fake = generator(noise())
        loss = softplus(-discriminator(real())).mean()
        update(d_optimizer, loss + softplus(discriminator(fake.detach())).mean())
        discriminator.requires_grad_(False)
        update(g_optimizer, softplus(-discriminator(fake)).mean())
        discriminator.requires_grad_(True)

    def mlp() -> None:
        with torch.no_grad():
            fake = generator(noise())
        loss = softplus(-discriminator(real())).mean()
        update(d_optimizer, loss + softplus(discriminator(fake)).mean())
        discriminator.requires_grad_(False)
        update(g_optimizer, softplus(-discriminator(generator(noise()))).mean())
        discriminator.requires_grad_(True)

    def wgan() -> None:
        for _ in range(5):
            with torch.no_grad():
                fake = generator(noise())
            update(d_optimizer, discriminator(fake).mean() - discriminator(real()).mean())
            with torch.no_grad():
                for parameter in discriminator.parameters():
                    parameter.clamp_(-0.01, 0.01)
        discriminator.requires_grad_(False)
        update(g_optimizer, -discriminator(generator(noise())).mean())
        discriminator.requires_grad_(True)

    return wgan if model.d_steps > 1 else dcgan if model.share_fakes else mlp


def main() -> None:
    """Time both in turns and print the median ratio."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", choices=["dcgan", "mlp", "wgan"], default="dcgan")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()

    device = torch.device(options.device)
    data = MNIST()
    data.to(device)
    stream = Stream(data, BATCH, seed=0, device=device)
    model = model_of(options.model, data)
    runtime.place(model, device)
    model.train()
    loops = {
        "bare": bare_loop(copy.deepcopy(model), stream),
        "trainer": trainer_loop(copy.deepcopy(model), stream, decay=0.0),
        "with averages": trainer_loop(copy.deepcopy(model), stream, decay=0.999),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(options.rounds + 1):
        for name, step in loops.items():
            begun = time.perf_counter()
            for _ in range(options.steps):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first round warms up
                times[name].append((time.perf_counter() - begun) / options.steps)
    where = runtime.describe(device)
    print(f"{options.model}, batch {BATCH}, {where}, torch {torch.__version__}")
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times["bare"], strict=True)]
        milliseconds = 1e3 * statistics.median(seconds)
        print(f"{name:14} {milliseconds:8.2f} ms/step, {statistics.median(ratios):.3f} of bare")


if __name__ == "__main__":
    main()
