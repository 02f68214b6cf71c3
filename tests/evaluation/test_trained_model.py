"""What measures are given: samples, features and real data, whatever the batch size."""

from __future__ import annotations

import logging

import pytest
import torch
from painting import DAMAGES, Painter, Pictures, Random, subject

from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation.features import Collector, load, merged, place, quantised
from gan_cli.evaluation.metric import Features, Subject
from gan_cli.evaluation.trained_model import NotFiniteError, Real
from gan_cli.images import to_uint8
from gan_cli.metrics.classes import split_scores

MNIST = {"_target_": "gan_cli.data.mnist.MNIST"}
POINTS = {"_target_": "gan_cli.data.toy.Ring", "points": 500}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))


def same(a: Features, b: Features) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in vars(a)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


def test_it_is_what_the_contract_says() -> None:
    given: Subject = subject()
    assert (given.step, given.weights, given.data.name) == (7, "ema", "pictures")


def test_samples_depend_on_seed_and_number_alone() -> None:
    few = torch.cat([d.samples for d in subject(batch_size=1).draw(70)])
    many = torch.cat([d.samples for d in subject(batch_size=500).draw(200)])
    assert torch.equal(few, many[:70])
    other = torch.cat([d.samples for d in subject().draw(70, seed=1)])
    assert not torch.equal(few, other)


def test_classes_take_turns_where_the_model_knows_them() -> None:
    labels = torch.cat([d.labels for d in subject(batch_size=64).draw(130) if d.labels is not None])
    assert torch.equal(labels, torch.arange(130) % 3)
    assert all(d.labels is None for d in subject(model=Painter(conditional=False)).draw(130))


@pytest.mark.parametrize("batch", [1, 64, 100, 1000])
def test_features_do_not_depend_on_the_batch_size(batch: int) -> None:
    random = Random()
    usual, other = subject(random), subject(random, batch_size=batch)
    assert same(usual.generated(random), other.generated(random))


def test_features_are_those_of_the_saved_pictures() -> None:
    random = Random()
    given = subject(random)
    samples = torch.cat([d.samples for d in given.draw(200)])
    pictures = torch.from_numpy(to_uint8(samples)).permute(0, 3, 1, 2)
    features, logits = random.features(pictures)
    found = given.generated(random)
    probability = logits.double().softmax(1)
    assert found.count == 200
    assert torch.allclose(found.kept, features)
    assert torch.allclose(found.mean, features.double().mean(0))
    assert torch.allclose(found.covariance, features.double().T.cov())
    assert found.histogram is not None
    assert torch.equal(found.histogram, logits.argmax(1).bincount(minlength=3))
    assert found.mean_probability is not None
    assert torch.allclose(found.mean_probability, probability.mean(0))
    entropy = -(probability * probability.log()).sum(1).mean()
    assert found.mean_entropy == pytest.approx(entropy.item())
    assert found.hits == int((logits.argmax(1) == torch.arange(200) % 3).sum())


def test_few_features_are_kept(monkeypatch) -> None:
    monkeypatch.setattr("gan_cli.evaluation.features.MOST_KEPT", 10)
    random = Random()
    found = subject(random).generated(random)
    assert (len(found.kept), found.count) == (10, 200)
    assert found.kept_labels is not None
    assert len(found.kept_labels) == 10


def test_pieces_of_any_size_are_one_stream() -> None:
    images = quantised(torch.rand(150, 1, 4, 4) * 2 - 1)
    sizes = []

    class Counting(Random):
        def features(self, images):
            sizes.append(len(images))
            return super().features(images)

    collector = Collector(Counting())
    for piece in images.split(7):
        collector.add(piece)
    assert collector.features().count == 150
    assert sizes == [64, 64, 22]


@pytest.mark.parametrize("size", [7, 150])
def test_scores_of_tenths_are_those_of_all_logits_at_once(size: int) -> None:
    random, images = Random(), quantised(torch.rand(153, 1, 4, 4) * 2 - 1)
    collector = Collector(random, 153)
    for piece in images.split(size):
        collector.add(piece)
    found = collector.features().splits
    assert found is not None
    torch.testing.assert_close(found, split_scores(random.features(images)[1]), rtol=1e-9, atol=0)


def test_scores_of_tenths_need_the_number_of_samples_and_ten() -> None:
    random, images = Random(), quantised(torch.rand(9, 1, 4, 4) * 2 - 1)
    for expected in (9, 0):
        collector = Collector(random, expected)
        collector.add(images)
        assert collector.features().splits is None


def test_generated_features_are_computed_once() -> None:
    random = Random()
    given = subject(random)
    given.generated(random)
    given.generated(random)
    assert random.seen == 200


def test_real_data_is_cut_in_two_at_random_and_computed_once() -> None:
    random = Random()
    first, second = subject(random).halves(random)
    whole = subject(random).reference(random)  # another subject: from the disk
    assert random.seen == 300
    assert (first.count, second.count, whole.count) == (150, 150, 300)
    for half in (first, second):  # the pictures lie in order of their classes
        assert half.kept_labels is not None
        assert half.kept_labels.bincount().min() > 30
    data = Pictures()
    features, logits = random.features(quantised(data.real(torch.arange(300))))
    assert torch.allclose(whole.mean, features.double().mean(0))
    assert torch.allclose(whole.covariance, features.double().T.cov())
    assert whole.histogram is not None
    assert torch.equal(whole.histogram, logits.argmax(1).bincount(minlength=3))
    assert whole.hits == int((logits.argmax(1) == torch.arange(300) // 100).sum())


def test_other_data_and_other_extractors_have_other_files() -> None:
    random, other = Random(), Random()
    other.identity = "cd" * 32
    third = Random()
    third.resize = "to 8x8"
    paths = {place("f", one) for one in (random, other, third)}
    assert len({*paths, place("g", random)}) == 4


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_computed_again(damage, caplog) -> None:
    random = Random()
    path = place(Pictures().fingerprint, random)
    first, _ = subject(random).halves(random)
    path.write_bytes(damage(path.read_bytes(), first.mean))
    with caplog.at_level(logging.WARNING):
        again = subject(random).halves(random)
    assert "damaged" in caplog.text
    assert random.seen == 600
    kept = load(path)
    assert kept is not None
    assert all(map(same, again, kept))


def test_a_cache_that_cannot_be_written_is_only_a_pity(tmp_path, monkeypatch, caplog) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "file"))
    random = Random()
    assert subject(random).halves(random)[0].count == 150
    assert "not kept" in caplog.text


def test_merging_is_exact() -> None:
    random = Random()
    images = quantised(torch.rand(99, 1, 4, 4) * 2 - 1)
    whole, a, b = Collector(random), Collector(random), Collector(random)
    whole.add(images)
    a.add(images[:40])
    b.add(images[40:])
    joined, direct = merged(a.features(), b.features()), whole.features()
    assert torch.allclose(joined.covariance, direct.covariance, rtol=1e-10)
    assert joined.mean_entropy == pytest.approx(direct.mean_entropy)
    assert torch.equal(joined.kept, direct.kept)


def test_what_is_not_finite_has_no_figures() -> None:
    model = Painter()
    next(model.parameters()).data.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="step 7 are not finite"):
        list(subject(model=model).draw(5))


def test_parts_of_data() -> None:
    real = Real({**MNIST, "split": "test"}, split="test")
    assert (real.part("test").spec.size, real.has_test) == (10_000, False)
    assert Real(MNIST, known=Pictures()).has_test
    whole = Real(POINTS)
    assert whole.part("train") is whole.part("all")
    assert not whole.has_test
    assert whole.described() == "all (the data has no parts)"
    with pytest.raises(DataError, match="no test split"):
        whole.part("test")
    with pytest.raises(ConfigError, match="split = test: Ring has no test split"):
        Real(POINTS, split="test")


def test_a_pause_breaks_off() -> None:
    def stop() -> None:
        raise InterruptedError

    random = Random()
    given = subject(random)
    given.truth.pause = stop
    with pytest.raises(InterruptedError):
        given.generated(random)
    with pytest.raises(InterruptedError):
        given.halves(random)


def test_the_protocol_says_it_all() -> None:
    random = Random()
    told = subject(random).protocol(random)
    assert told["samples"] == 200
    assert told["extractor_sha256"] == "ab" * 32
    assert told["data_sha256"] == Pictures().fingerprint
    assert {"seed", "weights", "step", "split", "resize", "floor"} <= told.keys()
