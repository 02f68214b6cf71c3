"""The same features through torch-fidelity's and torchmetrics' functions, where those are."""

import importlib
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor, nn

from gan_cli.metrics.classes import score, split_scores
from gan_cli.metrics.frechet import Moments, frechet_distance
from gan_cli.metrics.kernel import kernel_distance, squared_discrepancy
from gan_cli.metrics.neighbours import neighbourhoods


def features(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    x = torch.randn(n, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x * torch.linspace(0.2, 2, 16) * scale + shift


REAL, FAKE = features(300, 1), features(300, 2, 0.8, 0.2)


def fid(first: Tensor, second: Tensor) -> float:
    a, b = Moments(first.shape[1]), Moments(second.shape[1])
    a.update(first)
    b.update(second)
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of another library, or skips; afterwards it is not imported any more.

    Of torch-fidelity only the modules that compute are run: what reads images needs torchvision.
    """
    others = {"torch_fidelity", "torchmetrics"}
    before = dict(sys.modules)
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is not None and spec.origin is not None:
        package = ModuleType("torch_fidelity")
        package.__path__ = [str(Path(spec.origin).parent)]
        package.__spec__ = spec
        monkeypatch.setitem(sys.modules, "torch_fidelity", package)
        monkeypatch.setitem(sys.modules, "torch_fidelity.utils", MagicMock())

    def load(name: str) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return importlib.import_module(name)
        except ImportError as cause:
            pytest.skip(f"{name.partition('.')[0]} cannot be imported: {cause}")

    yield load
    for name in set(sys.modules) - set(before):
        if name.partition(".")[0] in others:
            del sys.modules[name]


def test_fid_agrees_with_torch_fidelity(load: Any) -> None:
    other = load("torch_fidelity.metric_fid")
    stats = [other.fid_features_to_statistics(x) for x in (REAL, FAKE)]
    expected = other.fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    assert fid(REAL, FAKE) == pytest.approx(expected, rel=1e-8)


def test_kid_agrees_with_torch_fidelity(load: Any) -> None:
    other = load("torch_fidelity.metric_kid")
    options = {"kid_subset_size": 300, "kid_subsets": 1, "verbose": False}
    expected = other.kid_features_to_metric(FAKE, REAL, **options)
    # A subset of everything leaves nothing to chance.
    assert squared_discrepancy(FAKE, REAL).item() == pytest.approx(
        expected["kernel_inception_distance_mean"], rel=1e-9
    )


def test_kid_subsets_agree_with_torch_fidelity(load: Any) -> None:
    other = load("torch_fidelity.metric_kid")
    options = {"kid_subset_size": 50, "kid_subsets": 200, "verbose": False}
    expected = other.kid_features_to_metric(FAKE, REAL, **options)
    found = kernel_distance(FAKE, REAL, subsets=200, subset_size=50)
    deviation = expected["kernel_inception_distance_std"]
    # Both are means of 200 subsets that were drawn apart; four standard errors of the difference.
    apart = 4 * deviation * (2 / 200) ** 0.5
    assert found.value == pytest.approx(expected["kernel_inception_distance_mean"], abs=apart)
    assert found.deviation == pytest.approx(deviation, rel=0.3)


def test_precision_and_recall_agree_with_torch_fidelity(load: Any) -> None:
    other = load("torch_fidelity.metric_prc")
    expected = other.prc_features_to_metric(FAKE, REAL, verbose=False, save_cpu_ram=False)
    found = neighbourhoods(REAL, FAKE)
    assert found.precision == pytest.approx(expected["precision"], abs=1e-6)
    assert found.recall == pytest.approx(expected["recall"], abs=1e-6)


def test_score_agrees_with_torch_fidelity(load: Any) -> None:
    other = load("torch_fidelity.metric_isc")
    expected = other.isc_features_to_metric(REAL, splits=1)["inception_score_mean"]
    p = REAL.softmax(1)
    found = score(p.mean(0), torch.special.entr(p).sum(1).mean().item())
    assert found == pytest.approx(expected, rel=1e-9)
    options = {"splits": 10, "shuffle": False}
    expected = other.isc_features_to_metric(REAL, **options)
    splits = split_scores(REAL)
    assert splits.mean().item() == pytest.approx(expected["inception_score_mean"], rel=1e-9)
    deviation = splits.std(correction=0).item()
    assert deviation == pytest.approx(expected["inception_score_std"], rel=1e-9)


class AsTheyAre(nn.Module):
    """Takes 'images' [n, 1, 1, 16] for features."""

    num_features = 16

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).double()


def test_fid_and_kid_agree_with_torchmetrics(load: Any) -> None:
    fids, kids = load("torchmetrics.image.fid"), load("torchmetrics.image.kid")
    measured = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as those that advise on memory
        fid_metric = fids.FrechetInceptionDistance(AsTheyAre(), input_img_size=(1, 1, 16))
        kid_metric = kids.KernelInceptionDistance(AsTheyAre(), subsets=1, subset_size=300)
        for metric in (fid_metric.set_dtype(torch.float64), kid_metric):
            for real, some in ((True, REAL), (False, FAKE)):
                metric.update(some.reshape(-1, 1, 1, 16), real=real)
            measured.append(metric.compute())
    assert fid(REAL, FAKE) == pytest.approx(measured[0].item(), rel=1e-5)
    assert squared_discrepancy(FAKE, REAL).item() == pytest.approx(measured[1][0].item(), rel=1e-5)
