"""How far a model's own density is from the true one, without any sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_cli.data.toy import Mixture
from gan_cli.evaluation.measure import LOWER, Figure, Finding, Measure, Subject
from gan_cli.metrics.quadrature import NODES, distances, nodes_of
from gan_cli.model import Batch, Model

EXACT = "log_likelihood"


class Density(Measure):
    """Total variation and KL by quadrature, for models that know their density on toy data."""

    name = "density"

    def unfit(self, subject: Subject) -> str:
        """Why not: it needs two known densities."""
        if subject.data.is_image:
            return "it compares densities of points, and this data is images"
        data = subject.real(subject.options.split)
        if not isinstance(data, Mixture) or subject.data.shape[0] not in NODES:
            return "it needs toy data of one or two dimensions, whose density is known"
        if log_density(subject.model, data.modes[:1]) is None:
            return "this model knows no density of its own"
        return ""

    def measure(self, subject: Subject) -> Finding:
        """Both distances, from the true density to the model's."""
        data = subject.real(subject.options.split)
        assert isinstance(data, Mixture)
        nodes = nodes_of(data.modes.cpu(), data.deviation)
        ours = log_density(subject.model, nodes.points.float())
        assert ours is not None
        found = distances(data.log_density(nodes.points), ours.cpu(), nodes.weights)
        protocol = {k: v for k, v in subject.protocol().items() if k not in ("samples", "seed")}
        protocol |= {"estimator": f"quadrature, {len(nodes.points)} nodes"}
        figures = [Figure("density_total_variation", found.total_variation, LOWER, 0.0, None)]
        if math.isfinite(found.forward_kl):  # else the model gives no mass where the truth has some
            figures.append(Figure("density_kl", found.forward_kl, LOWER, 0.0, None))
        return Finding(
            [Figure(f.name, f.value, f.better, f.floor, f.error, protocol) for f in figures]
        )


@torch.no_grad()
def log_density(model: Model, points: Tensor) -> Tensor | None:
    """The model's exact log p [n] at points [n, D]; None where it knows none."""
    places = torch.arange(len(points), device=model.device)
    batch = Batch(places, points.to(model.device).__getitem__, lambda _: None)
    return model.likelihood(batch, 1).get(EXACT)
