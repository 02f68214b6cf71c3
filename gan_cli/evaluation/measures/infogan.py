"""What can be read of latent codes off samples, and what of real classes off real images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.features import CHUNK
from gan_cli.evaluation.measures.conditional import share_error
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.evaluation.real_baseline import shuffled
from gan_cli.metrics.classes import (
    Bound,
    best_matching,
    contingency,
    information_bound,
    normalised_mutual_information,
)
from gan_cli.metrics.diversity import mean_pairwise_distance
from gan_cli.model import Recognises
from gan_cli.priors import Categorical, Prior, Product
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.samples import SampleRequest


@contextmanager
def settled(
    model: nn.Module, run: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> Iterator[None]:
    """Within it, batch norm's statistics are those of `batches`; afterwards all is as it was.

    A discriminator sees real and generated samples in turns and each by its own batch's statistics,
    while its running ones are of the mixture, which it never saw: in evaluation mode it reads
    either kind badly. Their own statistics are what it knows from training.

    Args:
        model: in eval mode; layers that `run` does not come to keep their statistics.
        run: the part of the model that is to be settled.
        batches: samples [n, *shape], n at least 2, each weighing the same.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    layers = [layer for layer in layers if layer.running_mean is not None]
    before = [_state(layer) for layer in layers]
    try:
        for layer in layers:
            layer.track_running_stats = True
            layer.momentum = None  # all batches weigh the same
            layer.reset_running_stats()
            layer.train()
        if layers:
            with torch.no_grad():
                for some in batches:
                    run(some)
        for layer, state in zip(layers, before, strict=True):
            layer.eval()
            if not layer.num_batches_tracked:
                _restore(layer, state)
        yield
    finally:
        for layer, state in zip(layers, before, strict=True):
            _restore(layer, state)


State = tuple[bool, bool, float | None, dict[str, Tensor]]


def _state(layer: _BatchNorm) -> State:
    buffers = {name: value.clone() for name, value in layer.named_buffers()}
    return layer.training, layer.track_running_stats, layer.momentum, buffers


@torch.no_grad()
def _restore(layer: _BatchNorm, state: State) -> None:
    layer.training, layer.track_running_stats, layer.momentum, buffers = state
    for name, value in layer.named_buffers():
        value.copy_(buffers[name])


SAMPLES = 5000  # fresh ones, whose codes are read
SETTLING = 20 * CHUNK  # samples whose statistics batch norm in Q takes
SWEPT = 256  # samples whose codes are moved, one after the other
LOW, HIGH = -1.0, 1.0  # values of a code between which it is moved
Protocol = dict[str, str | int | float]


class InfoGANFigures(Metric):
    """The information that codes leave in samples, and whether the category is the class."""

    order = 70
    higher_is_better: ClassVar = {
        "information*": True,
        "*_accuracy": True,
        "*_nmi": True,
        "*_correlation": True,
    }

    def unfit(self, subject: Subject) -> str:
        """Why not: there must be codes, and something that reads them."""
        model = subject.model
        if not isinstance(model.prior, Product):
            return "the model's latents hold no codes"
        if isinstance(model, Recognises):
            with torch.no_grad():
                zeros = torch.zeros(2, *subject.data.shape, device=subject.device)
                if model.recognise(zeros):
                    return ""
        return "the model does not infer codes from samples"

    def measure(self, subject: Subject) -> MetricResult:
        """Bounds in nats; the category against real classes; each continuous code's effect."""
        prior = subject.model.prior
        assert isinstance(prior, Product)
        read = codes_read(subject, min(SAMPLES, subject.options.samples))
        protocol = {**subject.protocol(), "samples": read.count, "networks": networks("samples")}
        figures = _bounds(prior, read, protocol)
        for name in read.log_posterior:
            if isinstance(prior.parts[name], Categorical):
                figures += against_classes(subject, name)
            else:
                figures += _effects(subject, name, read, protocol)
        return MetricResult(figures)


def networks(what: str) -> str:
    """How they compute, for the protocol."""
    return f"in eval mode, batch norm in Q by the statistics of up to {SETTLING:,} such {what}"


@dataclass
class Read:
    """What was read off fresh samples, by the name of the prior's part."""

    count: int
    log_posterior: dict[str, Tensor]  # of the true codes, [n]
    log_prior: dict[str, Tensor]  # [n]
    true: dict[str, Tensor]  # [n, part.dim]
    mean: dict[str, Tensor]  # of Q, [n, part.dim]
    distance: float  # mean Euclidean distance of two samples


def codes_read(subject: Subject, n: int) -> Read:
    """The codes of samples 0 ... n-1, and what Q says of them."""
    model, prior = subject.model, subject.model.prior
    assert isinstance(model, Recognises)
    found: dict[str, list[tuple[Tensor, ...]]] = {}
    some: list[Tensor] = []
    with torch.no_grad():
        fresh = [sampling.decode(model, z) for z in _latents(subject, SETTLING)]
    with settled(model, model.recognise, fresh), torch.no_grad():
        for z in _latents(subject, n):
            samples = sampling.decode(model, z)
            parts = prior.split(z.to(subject.device))
            for name, said in model.recognise(samples).items():
                code = parts[name]
                logs = said.log_prob(code), prior.parts[name].log_prob(code)
                row = tuple(x.float().cpu() for x in (*logs, code, said.mean))
                found.setdefault(name, []).append(row)
            if sum(map(len, some)) < SWEPT:
                some.append(samples.float().cpu())
    tables = {
        name: [torch.cat(column) for column in zip(*rows, strict=True)]
        for name, rows in found.items()
    }
    posterior, log_prior, true, mean = (
        {name: table[i] for name, table in tables.items()} for i in range(4)
    )
    distance = mean_pairwise_distance(torch.cat(some)[:SWEPT])
    return Read(n, posterior, log_prior, true, mean, distance)


def _latents(subject: Subject, n: int) -> Iterator[Tensor]:
    """Those of samples 0 ... n-1, in chunks of 64, on the CPU."""
    wish = SampleRequest(subject.options.seed)
    for number in range(-(-n // CHUNK)):
        yield sampling.latents(subject.model, wish, number)[: n - number * CHUNK]


def _bounds(prior: Product, read: Read, protocol: Protocol) -> list[MetricValue]:
    """L_I (Chen et al. 2016, Eq. 5) of each part, and of all that are read together."""
    told = {**protocol, "unit": "nats"}
    figures = []
    for name, posterior in read.log_posterior.items():
        bound = information_bound(posterior, read.log_prior[name])
        figures.append(
            _bound(f"information_{name}", bound, told, _remark(prior.parts[name], bound))
        )
    total = information_bound(_sum(read.log_posterior), _sum(read.log_prior))
    return [_bound("information", total, told, "of all codes together"), *figures]


def _bound(name: str, bound: Bound, protocol: Protocol, note: str) -> MetricValue:
    return MetricValue(name, bound.value, None, bound.error, protocol, note)


def _sum(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum(0)


def _remark(part: Prior, bound: Bound) -> str:
    if isinstance(part, Categorical):
        return f"at most {math.log(part.dim):.3f}, the category's entropy"
    if bound.value < 0:
        return "below 0, as Q's distribution is wider than the prior's; the correlations say more"
    return "a lower bound, tight only where Q learns its deviation"


def against_classes(subject: Subject, name: str) -> list[MetricValue]:
    """The category that is read off real images, against their classes.

    The share of images whose category is named after their class under the best one-to-one
    naming (Chen et al. 2016, section 7.2), and the mutual information of both over the mean of
    their entropies.
    """
    data = subject.real("test" if subject.has_test else subject.options.split)
    if data.targets is None or data.spec.classes < 2:
        return []
    said, model = [], subject.model
    assert isinstance(model, Recognises)
    some = shuffled(data)[:SETTLING].split(CHUNK)
    seen = (_images(subject, data, places) for places in some if len(places) > 1)
    with settled(model, model.recognise, seen), torch.no_grad():
        for places in torch.arange(data.spec.size).split(CHUNK):
            images = _images(subject, data, places)
            said.append(model.recognise(images)[name].mean.argmax(1).cpu())
    categories = model.prior.parts[name].dim
    classes = data.targets.cpu()
    table = contingency(torch.cat(said), classes, (categories, data.spec.classes))
    matching = best_matching(table)
    protocol: Protocol = {
        **subject.protocol(),
        "samples": data.spec.size,
        "classified": "real test images" if subject.has_test else "real images of the split",
        "networks": networks("images"),
    }
    names = ", ".join(map(str, matching.names))
    return [
        MetricValue(
            f"{name}_accuracy",
            matching.accuracy,
            error=share_error(matching.accuracy, data.spec.size),
            protocol={**protocol, "matching": "best one-to-one", "naming": names},
            note=f"error {1 - matching.accuracy:.2%}; no label was seen in training",
        ),
        MetricValue(
            f"{name}_nmi",
            normalised_mutual_information(table),
            protocol={**protocol, "norm": "arithmetic mean of both entropies"},
        ),
    ]


def _images(subject: Subject, data: Dataset, places: Tensor) -> Tensor:
    return data.real(places.to(data.device)).to(subject.device)


def _effects(subject: Subject, name: str, read: Read, protocol: Protocol) -> list[MetricValue]:
    """How far each continuous code moves samples, and how well it is read."""
    told: Protocol = {
        **protocol,
        "samples": SWEPT,
        "moved": f"from {LOW:g} to {HIGH:g}, all else equal",
        "relative_to": "mean distance of two random samples",
    }
    figures = []
    for i in range(read.true[name].shape[1]):
        effect = moved(subject, name, i) / read.distance if read.distance > 0 else math.nan
        correlation = torch.corrcoef(torch.stack([read.true[name][:, i], read.mean[name][:, i]]))
        figures += [
            MetricValue(f"{name}_{i + 1}_effect", effect, protocol=told),
            MetricValue(
                f"{name}_{i + 1}_correlation",
                correlation[0, 1].item(),
                protocol=protocol,
                note="of the code and of Q's mean, on fresh samples",
            ),
        ]
    return figures


def moved(subject: Subject, name: str, i: int) -> float:
    """The mean Euclidean distance that samples move as one code goes from -1 to 1."""
    prior = subject.model.prior
    total = 0.0
    with torch.no_grad():
        for z in _latents(subject, SWEPT):
            parts = prior.split(z)
            ends = []
            for value in (LOW, HIGH):
                codes = parts[name].clone()
                codes[:, i] = value
                latents = prior.join(**{**parts, name: codes})
                ends.append(sampling.decode(subject.model, latents).float())
            total += (ends[1] - ends[0]).flatten(1).norm(dim=1).sum().item()
    return total / SWEPT
