"""What refinement by the discriminator does to samples: `gan-sample --refine drs|ddls`.

    python benchmarks/refinement.py RUN [-n 2000] [--steps 100]

A Markdown table of plain, rejected (Azadi et al. 2019) and moved samples (Che et al. 2020). On toy
mixtures: the share within three deviations of a mode, the modes that have such a sample, and the KL
divergence of their shares from equal ones. Everywhere: precision and recall (Kynkaanniemi et al.
2019) against as many real samples, of points themselves or of the features of the data set's
classifier; the real row compares real samples with others. Each is of one seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from gan_cli.config.instantiate import build
from gan_cli.data.toy import Mixture
from gan_cli.evaluation.features import Collector, quantised
from gan_cli.evaluation.metric import Options
from gan_cli.evaluation.registry import extractors
from gan_cli.evaluation.trained_model import Real
from gan_cli.metrics.modes import coverage, kl_from_uniform
from gan_cli.metrics.neighbours import neighbourhoods
from gan_cli.runs import checkpoint
from gan_cli.runs.load import Loaded, load_model
from gan_cli.sampling.latents import CHUNK
from gan_cli.sampling.refinement import KINDS, log_ratio, refined
from gan_cli.sampling.samples import SampleRequest, decode, labels, latents


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure refined samples.")
    parser.add_argument("run")
    parser.add_argument("-n", type=int, default=2000, help="samples of each kind")
    parser.add_argument("--steps", type=int, default=100, help="of Langevin dynamics")
    options = parser.parse_args()
    loaded = load_model(checkpoint.named(options.run)[0], device="auto")
    model, n = loaded.model, options.n
    data = build(loaded.settings.data, "data", loaded.trust)
    ratio, wish = log_ratio(model, data), SampleRequest(1)
    places = torch.randperm(data.spec.size, generator=torch.Generator().manual_seed(1))
    first, second = (data.real(some) for some in (places[:n], places[n : 2 * n]))
    see = features(loaded)
    real = see(first)
    print(f"{options.run}, step {loaded.step:,}: {n:,} samples; AUC {ratio.accuracy:.3f}\n")
    print("| samples | precision | recall | high quality | modes | KL | seconds |")
    print("|---|---|---|---|---|---|---|")
    row("real", real, see(second), data, second, 0.0)
    y = labels(model, wish, 0, n)
    chunks = range(-(-n // CHUNK))
    for kind in ("plain", *KINDS):
        begin = time.monotonic()
        if kind == "plain":
            z = torch.cat([latents(model, wish, number) for number in chunks])[:n]
        else:
            z = refined(ratio, n, wish, kind, options.steps)
        with torch.no_grad():
            made = decode(model, z, y).float().cpu()
        row(kind, real, see(made), data, made, time.monotonic() - begin)


def features(loaded: Loaded) -> Callable[[Tensor], Tensor]:
    """What precision and recall are measured in."""
    if not loaded.model.data.is_image:
        return lambda x: x
    real = Real(loaded.settings.data, "train", loaded.trust)
    model = loaded.model
    extractor = extractors(real, model.data, model.device, Options(), loaded.trust).classifier

    def see(images: Tensor) -> Tensor:
        collector = Collector(extractor)
        collector.add(quantised(images))
        return collector.features().kept

    return see


def row(name: str, real: Tensor, seen: Tensor, data: object, made: Tensor, took: float) -> None:
    """Print a row."""
    found = neighbourhoods(real, seen)
    cells = [f"{found.precision:.3f}", f"{found.recall:.3f}", "", "", ""]
    if isinstance(data, Mixture):
        modes = coverage(made, data.modes, data.deviation)
        cells[2:] = [
            f"{modes.high_quality:.3f}",
            f"{modes.captured} of {len(data.modes)}",
            f"{kl_from_uniform(modes.counts):.3f}",
        ]
    print(f"| {name} | {' | '.join(cells)} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
