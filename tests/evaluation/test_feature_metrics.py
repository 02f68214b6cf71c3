"""FID-infinity, intra-class FID and PRD: their values by the formulas, baselines and protocols."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from painting import Painter, Pictures, Random, subject

from gan_cli.errors import ConfigError
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.features import quantised
from gan_cli.evaluation.measures.fid_kid_prdc import PRD, FIDInfinity, IntraFID
from gan_cli.metrics.frechet import Moments, extrapolated_distance, frechet_distance
from gan_cli.metrics.prd import precision_recall_curve


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))
    monkeypatch.setattr(real_baseline, "_known", {})


def test_fid_infinity_is_the_line_through_the_kept_features() -> None:
    random = Random()
    given = subject(random)
    (found,) = FIDInfinity().measure(given).values
    real = given.reference(random)
    expected = extrapolated_distance(given.generated(random).kept, real.mean, real.covariance, 100)
    assert found.name == "fid_infinity_random"
    assert found.value == pytest.approx(expected)
    first, second = given.halves(random)
    baseline = extrapolated_distance(first.kept, second.mean, second.covariance, 75)
    assert found.baseline == pytest.approx(baseline)
    assert found.protocol["line"] == "15 points from 100 to 200 samples"
    assert "at least 100 samples" in FIDInfinity().unfit(subject(samples=99))


def test_intra_fid_is_the_mean_over_classes_against_their_own_real_images() -> None:
    random, real = Random(), Pictures()
    given = subject(random, samples=60)
    (found,) = IntraFID().measure(given).values
    distances = []
    for label in range(3):
        made = torch.cat(
            [
                quantised(drawn.samples[drawn.labels == label])
                for drawn in given.draw(60, even=True)
                if drawn.labels is not None
            ]
        )
        moments = [Moments(5), Moments(5)]
        true = quantised(real.real(torch.arange(100 * label, 100 * label + 100)))
        for one, images in zip(moments, (made, true), strict=True):
            one.update(random.features(images)[0])
        a, b = moments
        assert (a.count, b.count) == (20, 100)
        distances.append(frechet_distance(a.mean, a.covariance, b.mean, b.covariance))
    assert found.name == "intra_fid_random"
    assert found.value == pytest.approx(np.mean(distances), rel=1e-5)
    assert found.baseline is not None
    assert 0 < found.baseline < found.value
    worst = "abc"[int(np.argmax(distances))]
    assert f"largest of class {worst}: {max(distances):.4g}" in found.note
    assert (found.protocol["per_class"], found.protocol["classes"]) == (20, 3)
    seen = random.seen
    IntraFID().measure(subject(random, samples=60))
    assert random.seen == seen + 60, "real classes come from the cache"


def test_intra_fid_needs_classes_that_are_asked_for() -> None:
    assert IntraFID().unfit(subject(samples=6)) == ""
    assert "at least 6 samples" in IntraFID().unfit(subject(samples=5))
    assert "takes no class" in IntraFID().unfit(subject(model=Painter(conditional=False)))


def test_prd_is_f8_and_f1_8_of_equally_many_with_its_curve() -> None:
    random = Random()
    given = subject(random)
    found = PRD().measure(given)
    real, made = given.reference(random).kept[:200], given.generated(random).kept
    curve = precision_recall_curve(made, real)
    assert {one.name: one.value for one in found.values} == {
        "prd_recall_random": pytest.approx(curve.f_score(8)),
        "prd_precision_random": pytest.approx(curve.f_score(1 / 8)),
    }
    for one in found.values:
        assert one.baseline is not None
        assert one.value < one.baseline < 1
    assert found.values[0].protocol["compared"] == "200 generated with 200 real"
    (plot,) = found.pictures
    assert plot.name == "prd_random"
    blue = (plot.image == [31, 119, 180]).all(-1)
    assert blue.sum() > 50
    assert "at least as many" in PRD().unfit(subject(samples=19))


def test_a_file_chooses_one_of_two_networks() -> None:
    given = subject()
    assert PRD("classifier").extractor == "classifier"
    given.model.data = type(given.model.data)("points", (2,), 100)
    assert "points" in PRD("classifier").unfit(given)
    assert "points" in PRD().unfit(given)
    with pytest.raises(ConfigError, match="extractor = clip: must be inception or classifier"):
        PRD("clip")
