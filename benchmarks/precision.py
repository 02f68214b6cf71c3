"""The quality of bf16: each model trained in fp32 and in bf16, over several seeds.

    python -m benchmarks.precision [--form toy|short|full] [--models dcgan,wgan] [--seeds 0,1,2,3,4]
        [--steps N] [--device cpu] [--cifar10 DIR] [--out FILE.json]
    python -m benchmarks.precision --merge FOLDER    # the table of all files in it

toy    a ring of 2-D Gaussians and multilayer perceptrons: modes and sliced Wasserstein distance.
short  MNIST, narrow networks, a CPU that need not have bf16 units: the classifier's FID.
full   MNIST, the models as they are, 10,000 steps: the classifier's FID. For a GPU.

With --cifar10, `dcgan_cifar10` is DCGAN on the images in DIR, data.root of conf/data/cifar10.yaml.

Results are saved in FILE one by one; the same command resumes where it stopped. With
equal quality the difference of the two means is of the order of its own standard error, which the
seeds' deviations give; "within" says whether the means differ by less than the seeds' deviation.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gan_cli import files
from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.device import describe
from gan_cli.errors import UserError
from gan_cli.evaluation.evaluate import evaluate
from gan_cli.evaluation.metric import Options
from gan_cli.evaluation.registry import choose, extractors
from gan_cli.evaluation.trained_model import Real, TrainedModel
from gan_cli.training.setup import Session, assemble

CIFAR10 = "dcgan_cifar10"
MODELS = ["dcgan", "infogan", "cgan", "wgan", "wgan_gp", CIFAR10]
PRECISIONS = ["fp32", "bf16"]


@dataclass(frozen=True)
class Form:
    """The length of training, and the metrics compared."""

    data: str
    overrides: tuple[str, ...]
    steps: int
    measures: tuple[str, ...]
    figures: tuple[str, ...]
    samples: int
    of_model: Mapping[str, tuple[str, ...]]  # further overrides


FORMS = {
    "toy": Form(
        "ring",
        ("network=mlp", "network.width=64", "prior.dim=8", "optimizer.lr=1e-3"),
        1500,
        ("modes", "points"),
        ("modes_captured", "sliced_wasserstein"),
        2500,
        {"wgan": ("optimizer.lr=5e-4", "penalty.limit=0.1")},
    ),
    "short": Form(
        "mnist",
        ("network.width=16", "batch_size=32", "ema.decay=0.99"),
        1000,
        ("classifier",),
        ("fid_classifier",),
        2000,
        {"wgan": ("optimizer.lr=5e-4",)},
    ),
    "full": Form("mnist", (), 10_000, ("classifier",), ("fid_classifier",), 10_000, {}),
}


def trained(model: str, seed: int, precision: str, options: argparse.Namespace) -> Session:
    """A session after its last step."""
    form: Form = FORMS[options.form]
    cifar10 = model == CIFAR10
    session = assemble(
        settings_of(
            "model=dcgan" if cifar10 else f"model={model}",
            "data=cifar10" if cifar10 else f"data={form.data}",
            *([f"data.root={options.cifar10}"] if cifar10 else []),
            *form.overrides,
            *form.of_model.get(model, ()),
            f"seed={seed}",
            f"steps={options.steps or form.steps}",
            f"runtime.device={options.device}",
            f"runtime.precision={precision}",
        ),
        Trust(),
    )
    for _ in range(session.total):
        session.trainer.advance()
    return session


def metrics_of(session: Session, form: Form) -> dict[str, float]:
    """The metrics of the averaged weights.

    Raises:
        UserError: one could not be computed.
    """
    real = Real(session.settings.data, "train", Trust(), session.dataset)
    given = Options(form.samples, 0, "train")
    networks = extractors(real, session.dataset.spec, session.device, given, Trust())
    with session.trainer.sampling() as model, torch.enable_grad():
        subject = TrainedModel(model, session.trainer.step, "ema", given, real, networks)
        report = evaluate(subject, choose(form.measures, subject))
    found = {figure.name: figure.value for figure in report.values}
    if missing := [name for name in form.figures if name not in found]:
        raise UserError(f"{', '.join(missing)} not computed: {report.failed or report.unfit}")
    return {name: found[name] for name in form.figures}


def table(results: Mapping[str, Any]) -> str:
    """Means and deviations over the seeds, as Markdown."""
    lines = [
        "| model | metric | seeds | fp32 | bf16 | difference | its standard error | within |",
        "|---|---|---|---|---|---|---|---|",
    ]
    models = {key.split("/")[0] for key in results}
    for model in filter(models.__contains__, MODELS):
        seeds = [
            {p: results[f"{model}/{seed}/{p}"] for p in PRECISIONS}
            for seed in sorted({key.split("/")[1] for key in results if key.startswith(model)})
            if all(f"{model}/{seed}/{p}" in results for p in PRECISIONS)
        ]
        if len(seeds) < 2:  # no deviation yet
            continue
        for name in seeds[0]["fp32"]["figures"]:
            sides = [[seed[p]["figures"][name] for seed in seeds] for p in PRECISIONS]
            means = [statistics.mean(side) for side in sides]
            spreads = [statistics.stdev(side) for side in sides]
            gap = means[1] - means[0]
            error = math.hypot(*spreads) / math.sqrt(len(seeds))
            fine = "yes" if abs(gap) <= max(spreads) else "no"
            cells = [f"{m:.4g} +- {s:.2g}" for m, s in zip(means, spreads, strict=True)]
            cells += [f"{gap:+.3g}", f"{error:.2g}", fine]
            lines.append(f"| {model} | {name} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def merge(folder: Path) -> str:
    """Join the results of processes that ran at the same time in FOLDER.json; return the table."""
    parts = [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]
    if not parts:
        raise SystemExit(f"{folder} holds no results")
    joined = parts[0] | {"results": {k: v for part in parts for k, v in part["results"].items()}}
    files.write(folder.with_suffix(".json"), (json.dumps(joined, indent=1) + "\n").encode())
    return table(joined["results"])


def main() -> None:
    """Train and evaluate what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--form", choices=list(FORMS), default="toy")
    parser.add_argument(
        "--models", help=f"default: {','.join(MODELS[:-1])}; {CIFAR10} with --cifar10"
    )
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cifar10", type=Path, metavar="DIR")
    parser.add_argument("--hardware", help="in words, for the record")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--merge", type=Path, metavar="FOLDER", help="run nothing")
    options = parser.parse_args()
    if options.merge:
        print(merge(options.merge))
        return
    form = FORMS[options.form]
    every = MODELS if options.cifar10 else [model for model in MODELS if model != CIFAR10]
    models = options.models.split(",") if options.models else every
    steps = options.steps or form.steps
    out = options.out or Path(f"benchmarks/results/precision-{options.form}-{options.device}.json")
    header = {
        "form": options.form,
        "steps": steps,
        "overrides": [f"data={form.data}", *form.overrides],
    }
    content = json.loads(out.read_text()) if out.exists() else header | {"results": {}}
    if {key: content[key] for key in header} != header:
        raise SystemExit(f"{out} holds results of other settings; name another file with --out")
    for seed in map(int, options.seeds.split(",")):
        for model in models:
            for precision in PRECISIONS:
                key = f"{model}/{seed}/{precision}"
                if key in content["results"]:
                    continue
                begun = time.process_time()
                session = trained(model, seed, precision, options)
                found = metrics_of(session, form)
                spent = time.process_time() - begun
                content["results"][key] = {"figures": found, "cpu_seconds": round(spent, 1)}
                where = options.hardware or describe(session.device)
                content |= {"hardware": where, "torch": torch.__version__}
                content["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
                out.parent.mkdir(parents=True, exist_ok=True)
                files.write(out, (json.dumps(content, indent=1) + "\n").encode())
                print(key, found, f"{spent:.0f} s of CPU time", flush=True)
    print(table(content["results"]))


if __name__ == "__main__":
    main()
