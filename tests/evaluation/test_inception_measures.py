"""FID, KID and neighbourhood figures: their names, baselines, protocols and cautions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from painting import Random, subject
from scipy.linalg import sqrtm
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.errors import ConfigError
from gan_cli.evaluation import inception, real_baseline
from gan_cli.evaluation.measures import fid_kid_prdc
from gan_cli.evaluation.measures import fid_kid_prdc as fid_kid_prdc_module
from gan_cli.evaluation.measures.fid_kid_prdc import FID, PRDC
from gan_cli.evaluation.metric import Extractor, MetricValue
from gan_cli.metrics.kernel import kernel_distance
from gan_cli.metrics.neighbours import neighbourhoods, two_sample


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))
    monkeypatch.setattr(real_baseline, "_known", {})


def of(figures: list[MetricValue], name: str) -> MetricValue:
    return next(figure for figure in figures if figure.name == name)


def plain_fid(a: Tensor, b: Tensor) -> float:
    (m, c), (n, d) = ((x.double().mean(0).numpy(), np.cov(x.double().numpy().T)) for x in (a, b))
    return float(((m - n) ** 2).sum() + np.trace(c + d - 2 * np.real(np.asarray(sqrtm(c @ d)))))


def test_fid_is_the_distance_of_generated_and_real_features() -> None:
    random = Random()
    given = subject(random)
    (found,) = FID().measure(given).values
    generated, real = given.generated(random), given.reference(random)
    assert found.name == "fid_random"  # by the extractor that was used
    assert found.value == pytest.approx(plain_fid(generated.kept, real.kept), rel=1e-4)
    first, second = given.halves(random)
    assert found.baseline == pytest.approx(plain_fid(first.kept, second.kept), rel=1e-4)
    assert found.baseline is not None
    assert found.baseline < found.value
    assert found.note == ""
    assert found.protocol["extractor_sha256"] == random.identity
    assert found.protocol["samples"] == 200
    assert "150 real samples against 150 others" in str(found.protocol["floor"])


def test_fids_baseline_is_of_as_many_real_samples_as_were_generated() -> None:
    random = Random()
    given = subject(random, samples=60)
    (found,) = FID().measure(given).values
    first, second = given.halves(random)
    assert found.baseline == pytest.approx(plain_fid(first.kept[:60], second.kept), rel=1e-4)
    assert "60 real samples against 150 others" in str(found.protocol["floor"])


@pytest.mark.parametrize("samples", [4, 5, 6])
def test_fid_of_no_more_samples_than_features_says_so_and_offers_kid(samples: int) -> None:
    (found,) = FID().measure(subject(samples=samples)).values
    if samples > Random.width:
        assert found.note == ""
    else:
        assert f"{samples} samples are too few" in found.note
        assert "kid_random" in found.note


def test_kid_is_that_of_the_kept_features_with_its_error() -> None:
    random = Random()
    given = subject(random)
    (found,) = fid_kid_prdc_module.KID().measure(given).values
    generated, real = given.generated(random), given.reference(random)
    assert found.name == "kid_random"
    # Subsets take all 200 generated samples, and 200 of 300 real ones.
    assert found.value == pytest.approx(kernel_distance(generated.kept, real.kept).value)
    assert found.protocol["subset_size"] == 200
    assert found.protocol["compared"] == "200 generated with 300 real"
    assert found.error is None
    first, second = given.halves(random)
    assert found.baseline == pytest.approx(kernel_distance(first.kept, second.kept).value)


def test_kid_has_an_error_where_subsets_leave_samples_out(monkeypatch) -> None:
    monkeypatch.setattr(
        fid_kid_prdc_module, "kernel_distance", lambda a, b: kernel_distance(a, b, 20, 50)
    )
    (found,) = fid_kid_prdc_module.KID().measure(subject()).values
    assert found.error is not None
    assert 0 < found.error < found.value
    assert "over the subsets" in found.note


def test_neighbourhoods_compare_equally_many() -> None:
    random = Random()
    given = subject(random)
    figures = PRDC().measure(given).values
    assert [f.name for f in figures] == [
        "precision_random",
        "recall_random",
        "density_random",
        "coverage_random",
        "two_sample_random",
    ]
    real, fake = given.reference(random).kept[:200], given.generated(random).kept
    expected = [*neighbourhoods(real, fake), two_sample(real, fake).accuracy]
    assert [f.value for f in figures] == pytest.approx(expected)
    first, second = given.halves(random)
    best = [
        *neighbourhoods(first.kept, second.kept),
        two_sample(first.kept, second.kept).accuracy,
    ]
    assert [f.baseline for f in figures] == pytest.approx(best)
    assert [f.protocol["neighbours"] for f in figures] == [3, 3, 5, 5, 1]
    assert of(figures, "recall_random").protocol["compared"] == "200 generated with 200 real"


def test_the_baseline_of_neighbourhoods_is_of_as_many_samples() -> None:
    random = Random()
    given = subject(random, samples=60)
    few, (first, second) = PRDC().measure(given).values, given.halves(random)
    best = neighbourhoods(first.kept[:60], second.kept[:60])
    assert [f.baseline for f in few[:4]] == pytest.approx([*best])
    assert "between 60 and 60" in str(few[0].protocol["floor"])
    more = PRDC().measure(subject(random, samples=100)).values
    assert "between 100 and 100" in str(more[0].protocol["floor"])
    assert [f.baseline for f in more] != [f.baseline for f in few]


def test_figures_do_not_depend_on_the_batch_size() -> None:
    for measure in (FID(), fid_kid_prdc_module.KID(), PRDC()):
        usual, other = (measure.measure(subject(batch_size=b)).values for b in (256, 7))
        assert [f.value for f in usual] == [f.value for f in other]


def test_baselines_are_computed_once(monkeypatch) -> None:
    calls = []
    plain = fid_kid_prdc.frechet_distance
    monkeypatch.setattr(
        fid_kid_prdc, "frechet_distance", lambda *given: calls.append(given) or plain(*given)
    )
    given = subject()
    first, second = (FID().measure(given).values[0] for _ in range(2))
    assert len(calls) == 3  # two figures and one baseline
    assert first == second


@pytest.mark.parametrize(
    "measure", [FID(), fid_kid_prdc_module.KID(), PRDC()], ids=lambda m: m.name
)
def test_inception_looks_at_pictures_of_one_or_three_channels(measure) -> None:
    given = subject()
    assert measure.unfit(given) == ""
    given.model.data = type(given.model.data)("points", (2,), 100)
    assert "points" in measure.unfit(given)
    given.model.data = type(given.model.data)("pairs", (2, 4, 4), 100)
    assert "2 channels" in measure.unfit(given)


def test_neighbours_need_enough_samples() -> None:
    assert "it takes 12" in PRDC().unfit(subject(samples=11))
    assert PRDC().unfit(subject(samples=12)) == ""


class Brightness(Extractor):
    """Eight features of small colour images."""

    name, width, identity, resize = "inception", 8, "cd" * 32, "none"

    def features(self, images: Tensor) -> tuple[Tensor, None]:
        assert images.dtype == torch.uint8
        return images.float().flatten(1)[:, :8] / 255, None


class SmallCIFAR(Dataset):
    """In the place of CIFAR-10: 60 train and 30 test images of noise."""

    def __init__(self, split: str, root: str | None) -> None:
        assert root == "somewhere"
        n = {"train": 60, "test": 30}[split]
        values = torch.randint(256, (n, 3, 4, 4), generator=torch.Generator().manual_seed(n))
        super().__init__("cifar10", values.byte())


def test_the_self_check_compares_train_with_test(monkeypatch) -> None:
    monkeypatch.setattr(inception, "CIFAR10", SmallCIFAR)
    train, test = (SmallCIFAR(s, "somewhere").values for s in ("train", "test"))
    look = Brightness().features
    whole = inception.self_check("somewhere", None, Brightness())
    assert [f.name for f in whole] == ["fid_inception", "kid_inception"]
    assert whole[0].value == pytest.approx(plain_fid(look(train)[0], look(test)[0]), rel=1e-6)
    assert whole[0].note == "near 3.15 is expected"
    fewer = inception.self_check("somewhere", 20, Brightness())
    expected = plain_fid(look(train[:20])[0], look(test[:20])[0])
    assert fewer[0].value == pytest.approx(expected, rel=1e-6)
    assert "20 and 20 give more" in fewer[0].note
    assert (fewer[0].protocol["train_samples"], whole[0].protocol["test_samples"]) == (20, 30)
    with pytest.raises(ConfigError, match="must be at least 2"):
        inception.self_check("somewhere", 1, Brightness())
