"""The speed of our trainer against the same model by hand, as published and tuned.

    python -m benchmarks.throughput [--cases dcgan64,wgan] [--device cpu] [--rounds 7] [--out FILE]

Per case: copies of one model train in turns, in one process, so that the load of the machine
affects all of them alike; ratios are taken within a round, and their median is shown. The
convolution peak is measured in the same rounds. `benchmarks/bare.py` defines the two ways. With a
GPU also: the step's time over its lower bound, the larger of FLOPs over the measured rate and bytes
over the measured bandwidth.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer, RMSprop

from benchmarks.bare import Step, published, tuned
from benchmarks.machine import Peak, bandwidth, demand, seconds
from benchmarks.pytorch_gan import PyTorchGAN, PyTorchMLP
from gan_cli.data.dataset import Dataset
from gan_cli.data.stream import Stream
from gan_cli.device import describe, place
from gan_cli.ema import Average
from gan_cli.losses import NonSaturating, Wasserstein
from gan_cli.models.gan import GAN
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import NetworkFamily
from gan_cli.optimizers import substitute
from gan_cli.penalties import NoPenalty, WeightClip
from gan_cli.priors import Gaussian
from gan_cli.training.cuda_graphs import CudaRecorder, Graphs, make_capturable
from gan_cli.training.optimizers import build_players, fused, players_of
from gan_cli.training.runtime import choose_precision
from gan_cli.training.trainer import Trainer

ADAM: tuple[Callable[..., Optimizer], dict[str, Any]] = (Adam, {"lr": 2e-4, "betas": (0.5, 0.999)})
RMSPROP: tuple[Callable[..., Optimizer], dict[str, Any]] = (RMSprop, {"lr": 5e-5})


@dataclass(frozen=True)
class Case:
    """A model on images of one size."""

    title: str
    shape: tuple[int, int, int]
    network: Callable[[], NetworkFamily]
    published: Callable[[], NetworkFamily] | None = None  # the same, computed as in the script
    batch: int = 64
    critic: bool = False
    conditional: bool = False

    def model(self, family: NetworkFamily, data: Dataset) -> GAN:
        """The model, with the weights of seed 0."""
        torch.manual_seed(0)
        prior = Gaussian(100)
        if self.critic:
            return GAN(data.spec, prior, family, Wasserstein(), WeightClip(), d_steps=5)
        game = (NonSaturating(), NoPenalty(), self.conditional)
        return GAN(data.spec, prior, family, *game, share_fakes=True)


CASES = {
    "dcgan64": Case("DCGAN 64 px (pytorch/examples)", (3, 64, 64), DCGAN),
    "dcgan64_b128": Case("DCGAN 64 px", (3, 64, 64), DCGAN, batch=128),
    "dcgan32": Case("DCGAN 32 px", (3, 32, 32), DCGAN),
    "dcgan28": Case("DCGAN 28 px", (1, 28, 28), DCGAN),
    "dcgan28_b128": Case("DCGAN 28 px", (1, 28, 28), DCGAN, batch=128),
    "cgan28": Case("cGAN 28 px", (1, 28, 28), DCGAN, conditional=True),
    "wgan28": Case("WGAN, DCGAN's networks, 28 px", (1, 28, 28), DCGAN, critic=True),
    "resize32": Case(
        "PyTorch-GAN's dcgan 32 px",
        (1, 32, 32),
        network=PyTorchGAN,
        published=partial(PyTorchGAN, fused=False),
    ),
    "wgan": Case("PyTorch-GAN's wgan 28 px", (1, 28, 28), PyTorchMLP, critic=True),
    "cgan": Case("PyTorch-GAN's cgan 32 px", (1, 32, 32), PyTorchMLP, conditional=True),
}


WARM = 5  # steps, in which CUDA graphs are recorded


class Noise(Dataset):
    """Random images with random labels, as speed does not depend on them."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        values = torch.randint(256, (2048, *shape), dtype=torch.uint8)
        names = tuple("0123456789")
        super().__init__("noise", values, torch.randint(10, (2048,)), names)


def trainer_step(model: GAN, data: Dataset, batch: int, kind: Any, autocast: bool) -> Step:
    """A step by our trainer."""
    construct, options = kind

    def build(node: Any, parameters: list[nn.Parameter]) -> Optimizer:
        return substitute(construct)(parameters, **node)

    own = {**options, **fused(construct, model.device)}
    settings = {name: dict(own) for name in players_of(model.phases())}
    players = build_players(model, settings, build, total=1)
    stream = Stream(data, batch, seed=0, device=model.device)
    graphs = None
    if model.device.type == "cuda":  # as a run would decide
        for player in players.values():
            make_capturable(player)
        graphs = Graphs(CudaRecorder(model.device))
    average = Average(model, 0.0)
    return Trainer(model, players, stream.batch, 0, average, autocast, graphs=graphs).advance


def measure(case: Case, device: torch.device, rounds: int, least: float) -> dict[str, Any]:
    """The results of a case: medians over `rounds`, each of at least `least` seconds a loop."""
    data = Noise(case.shape)
    data.to(device)
    kind = RMSPROP if case.critic else ADAM
    construct, options = kind
    bf16 = choose_precision("auto", device)[0] == "bf16"
    context = partial(torch.autocast, device.type, torch.bfloat16) if bf16 else nullcontext

    script = case.published or case.network
    plain = case.model(script(), data).to(device).train()
    ours = case.model(case.network(), data)
    place(ours, device)
    ours.train()
    faster = {**options, **fused(construct, device)}  # type: ignore[arg-type]
    by_hand = tuned(
        copy.deepcopy(ours),
        data,
        case.batch,
        lambda m: construct(m.parameters(), **faster),
        context,
    )
    loops: dict[str, Step] = {
        "published": published(
            plain, data, case.batch, lambda m: construct(m.parameters(), **options)
        ),
        "tuned": by_hand,
        "ours": trainer_step(copy.deepcopy(ours), data, case.batch, kind, bf16),
    }
    flops, traffic = demand(by_hand, sum(p.numel() for p in ours.parameters()))
    peak = Peak(device, torch.bfloat16 if bf16 else torch.float32)
    many = {}
    for name, step in loops.items():
        for _ in range(WARM):
            step()
        many[name] = max(1, round(least / seconds(step, device)))
    times: dict[str, list[float]] = {name: [] for name in loops}
    peaks = []
    for _ in range(rounds):
        peaks.append(peak.measure())
        for name, step in loops.items():
            times[name].append(seconds(step, device, many[name]))

    def ratio(of: str) -> float:
        pairs = zip(times[of], times["ours"], strict=True)
        return statistics.median(a / b for a, b in pairs)

    mine = statistics.median(times["ours"])
    rate = statistics.median(peaks)
    shares = [flops / t / p for t, p in zip(times["ours"], peaks, strict=True)]
    found: dict[str, Any] = {
        "title": case.title,
        "batch": case.batch,
        "precision": "bf16" if bf16 else "fp32",
        "milliseconds": 1e3 * mine,
        "images_per_second": case.batch * (5 if case.critic else 1) / mine,
        "published_over_ours": ratio("published"),
        "tuned_over_ours": ratio("tuned"),
        "gflop": flops / 1e9,
        "peak_gflops": rate / 1e9,
        "share_of_peak": statistics.median(shares),
    }
    if device.type == "cuda":
        floor = max(flops / rate, traffic / bandwidth(device))
        found |= {"floor_milliseconds": 1e3 * floor, "over_floor": mine / floor}
    return found


def main() -> None:
    """Print a line per case, and write them all to a file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each loop in a round")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--hardware", default="", help="in words, for the file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    where = describe(device)
    print(f"{where}, torch {torch.__version__}")
    print(
        f"{'case':14}{'ms/step':>9}{'images/s':>10}{'x published':>12}{'x tuned':>9}{'of peak':>9}"
    )
    rows = {}
    for name in options.cases.split(","):
        row = rows[name] = measure(CASES[name], device, options.rounds, options.seconds)
        print(
            f"{name:14}{row['milliseconds']:9.2f}{row['images_per_second']:10,.0f}"
            f"{row['published_over_ours']:12.2f}{row['tuned_over_ours']:9.3f}"
            f"{row['share_of_peak']:9.1%}"
            + (f"  {row['over_floor']:.2f} x floor" if "over_floor" in row else ""),
            flush=True,
        )
    if options.out:
        said = {
            "date": datetime.date.today().isoformat(),
            "hardware": options.hardware or where,
            "device": where,
            "torch": torch.__version__,
            "rounds": options.rounds,
            "cases": rows,
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
