"""The speedup of CUDA graphs: steps run eagerly, by a graph per update or per step, and compiled.

    python benchmarks/graphs.py [--models gan,dcgan,wgan,wgan_gp] [--batch 128] [--rounds 7]

Per model: trainers of one configuration in turns, in one process; ratios are taken within a
round, and their median is shown. Precision is what the runtime decides. Needs a CUDA device.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.training.cuda_graphs import CudaRecorder, Graphs
from gan_cli.training.setup import Session, assemble

COMPILED = "compiled, graph per phase"
WAYS = [["eager", "graph per phase", "graph per step"], ["eager", COMPILED]]  # the slow start last
WARM = 30  # steps, in which graphs are recorded


def session_of(model: str, batch: int, way: str) -> Session:
    """A run that makes its steps in one of these ways."""
    graphs = "false" if way == "eager" else "true"
    overrides = [f"model={model}", "data=mnist", f"batch_size={batch}", "runtime.device=cuda"]
    session = assemble(settings_of(*overrides, f"runtime.graphs={graphs}"), Trust())
    if way == "graph per step":
        session.trainer.graphs = Graphs(CudaRecorder(session.device), whole=True)
    if way == COMPILED:  # as `runtime.compile` does, which leaves graphs to torch
        session.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for child in session.model.children():
            child.compile()
    return session


def seconds(session: Session, steps: int) -> float:
    """Per step."""
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(steps):
        session.trainer.advance()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / steps


def compare(model: str, ways: list[str], options: argparse.Namespace) -> None:
    """Time some ways in turns and print the median ratios."""
    sessions = {way: session_of(model, options.batch, way) for way in ways}
    eager = sessions["eager"]
    if COMPILED in ways and eager.model.second_order:  # torch compiles no gradient of a gradient
        return
    for session in sessions.values():
        seconds(session, WARM)
    times: dict[str, list[float]] = {way: [] for way in sessions}
    for _ in range(options.rounds):
        for way, session in sessions.items():
            times[way].append(seconds(session, options.steps))
    print(f"{model}, batch {options.batch}, {eager.runtime.summary()}")
    for way, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["eager"], taken, strict=True))
        graphs = sessions[way].trainer.graphs
        reasons = "" if graphs is None else "; ".join(graphs.reasons.values())
        middle = 1e3 * statistics.median(taken)
        print(f"{way:26} {middle:8.3f} ms/step, {ratio:5.2f} x eager {reasons}")


def main() -> None:
    """Compare the ways of each model."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--models", default="gan,dcgan,wgan,wgan_gp")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here")
    for ways in WAYS:
        for model in options.models.split(","):
            compare(model, ways, options)


if __name__ == "__main__":
    main()
