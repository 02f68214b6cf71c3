"""The study of the tests."""

from __future__ import annotations

from collections.abc import Callable

from gan_cli.tuning.plan import StudyPlan

LINE = [
    "model=wgan",
    "data=gaussian_1d",
    "network=mlp",
    "steps=8",
    "evaluation.every=2",
    "optimizer.lr=tag(log,interval(1e-6,1))",
    "model.d_steps=range(1,7)",
    "tune.metric=metrics/wasserstein_1",
    "tune.pruner=none",
]
Study = Callable[..., StudyPlan]
