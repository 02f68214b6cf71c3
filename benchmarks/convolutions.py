"""Steps with convolutions as products of matrices, against torch's alone.

    python -m benchmarks.convolutions [--cases dcgan28,dcgan64] [--rounds 9] [--threads 1] [--bf16]

One model trains with both in turns, in fp32 or bf16 on a CPU. The cases are those of
`benchmarks.throughput`.
The ratios are medians over rounds; above 1 products are faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from unittest import mock

import torch
from torch import nn

from benchmarks.throughput import ADAM, CASES, RMSPROP, Noise, trainer_step
from gan_cli.device import describe, place
from gan_cli.networks.convolution import Conv2d, ConvTranspose2d
from gan_cli.training.runtime import keep_memory

WAYS = ("torch", "products")


def measure(name: str, rounds: int, bf16: bool) -> dict[str, list[float]]:
    """Seconds of CPU time of each step, by way."""
    case = CASES[name]
    data = Noise(case.shape)
    model = case.model(case.network(), data)
    place(model, torch.device("cpu"))
    model.train()
    step = trainer_step(model, data, case.batch, RMSPROP if case.critic else ADAM, bf16)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds + 1):  # the first is warm-up
        for way in WAYS:
            with (
                mock.patch.object(Conv2d, "forward", _forward(Conv2d, way)),
                mock.patch.object(ConvTranspose2d, "forward", _forward(ConvTranspose2d, way)),
            ):
                begun = time.process_time()
                step()
                found[way].append(time.process_time() - begun)
    return {way: seconds[1:] for way, seconds in found.items()}


def _forward(layer: type[nn.Module], way: str) -> object:
    return layer.forward if way == "products" else layer.__mro__[1].forward


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--cases", default="dcgan28,dcgan32,dcgan64,wgan28")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="default: fp32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    print(f"{describe(torch.device('cpu'))}, torch {torch.__version__}")
    print("| case | ms, torch | ms, products | speedup |\n|---|---|---|---|")
    for name in options.cases.split(","):
        found = measure(name, options.rounds, options.bf16)
        old, new = (1000 * statistics.median(found[way]) for way in WAYS)
        ratio = statistics.median(a / b for a, b in zip(*found.values(), strict=True))
        print(f"| {CASES[name].title} | {old:.0f} | {new:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
