"""The data set's own classifier: what it learns, what it leaves alone, and how it is kept."""

from __future__ import annotations

import logging

import pytest
import torch
from painting import DAMAGES, Pictures
from torch import Generator, Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.data.mnist import MNIST
from gan_cli.data.toy import Ring
from gan_cli.errors import DataError
from gan_cli.evaluation import classifier as keeping
from gan_cli.evaluation import classifier_training
from gan_cli.evaluation.classifier import Classifier, load, place, trained_classifier
from gan_cli.evaluation.classifier_training import (
    ClassifierNetwork,
    Recipe,
    accuracy,
    shifted,
    trained,
)
from gan_cli.evaluation.metric import Extractor
from gan_cli.evaluation.trained_model import Real

SHORT = Recipe(images=300, batch=30)
CPU = torch.device("cpu")


class Blobs(Dataset):
    """Images whose class is their brightness."""

    def __init__(self, shape=(1, 6, 5), size=10, classes=2, labelled=True) -> None:
        labels = torch.arange(size) % classes
        noise = torch.randint(0, 20, (size, *shape), generator=Generator().manual_seed(0))
        images = (noise + (230 * labels // (classes - 1)).view(-1, 1, 1, 1)).to(torch.uint8)
        names = tuple(map(str, range(classes))) if labelled else ()
        super().__init__("blobs", images, labels if labelled else None, names)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))


def same(a: ClassifierNetwork, b: ClassifierNetwork) -> bool:
    others = b.state_dict()
    return all(torch.equal(x, others[name]) for name, x in a.state_dict().items())


def test_it_learns_and_knows_how_well() -> None:
    found = trained_classifier(Pictures("train"), Pictures("test"), recipe=SHORT)
    as_extractor: Extractor = found
    assert (as_extractor.name, as_extractor.width, as_extractor.classes) == ("classifier", 128, 3)
    assert found.test_accuracy is not None
    assert found.test_accuracy > 0.95  # brightness alone tells the classes
    assert trained_classifier(Pictures("train"), recipe=SHORT).test_accuracy is None


@pytest.mark.parametrize(
    ("shape", "classes"),
    [((1, 1, 1), 2), ((1, 28, 28), 10), ((3, 32, 32), 1000), ((3, 40, 90), 5), ((2, 7, 33), 3)],
    ids=str,
)
def test_images_of_any_size_and_classes_of_any_number(shape, classes) -> None:
    network = ClassifierNetwork(shape, classes).eval()
    found = Classifier(network)
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    features, logits = found.features(images)
    assert (features.shape, logits.shape) == ((3, 128), (3, classes))
    assert features.dtype == logits.dtype == torch.float32
    one_by_one = torch.cat([found.features(image[None])[0] for image in images])
    assert torch.allclose(one_by_one, features, atol=1e-5)
    expected = network.last(features)
    assert torch.allclose(logits, expected, atol=1e-5)


def test_channels_are_standardised() -> None:
    network = ClassifierNetwork((2, 2, 1), 2)
    images = torch.tensor([[0.0, 1.0], [0.5, 0.5]]).view(1, 2, 2, 1)
    network.standardise(images)
    assert network.mean.flatten().tolist() == [0.5, 0.5]
    assert network.deviation.flatten().tolist() == [0.5, 1.0]  # a constant channel is left alone


def test_the_rate_climbs_and_falls_to_nothing() -> None:
    recipe = Recipe(peak=1.0, climb=0.25)
    rates = [recipe.rate(step, 7) for step in range(7)]
    assert rates == pytest.approx([0.5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_images_are_moved_one_by_one() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    moved = shifted(image.expand(200, -1, -1, -1), 1, Generator().manual_seed(0))
    seen = {tuple(x.flatten().int().tolist()) for x in moved}
    assert len(seen) == 9
    assert (0, 1, 2, 3, 4, 5, 6, 7, 8) in seen
    assert (3, 4, 5, 6, 7, 8, 6, 7, 8) in seen  # up, and the lower edge repeated
    assert shifted(image, 0, Generator()) is image


def test_training_is_the_same_each_time_and_disturbs_nobody() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        first = trained(Blobs(), SHORT, CPU)
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    with torch.inference_mode():
        second = trained(Blobs(), SHORT, CPU)
    assert same(first, second)
    assert not first.training
    assert not any(p.requires_grad for p in first.parameters())
    assert not same(first, trained(Blobs(), Recipe(images=300, batch=30, seed=1), CPU))


def test_accuracy_is_the_share_of_hits() -> None:
    data = Blobs(size=10)
    network = trained(data, SHORT, CPU)
    assert accuracy(network, data) == 1
    assert data.targets is not None
    data.targets[:3] = 1 - data.targets[:3]
    assert accuracy(network, data) == pytest.approx(0.7)


def test_it_is_trained_once_and_kept(monkeypatch) -> None:
    train, test = Blobs(), Blobs(size=12)
    first = trained_classifier(train, test, recipe=SHORT)
    monkeypatch.setattr(keeping, "trained", None)  # any further training would fail
    again = trained_classifier(train, test, recipe=SHORT)
    assert again.identity == first.identity
    assert again.test_accuracy == first.test_accuracy
    images = test.values
    assert all(map(torch.equal, first.features(images), again.features(images)))
    monkeypatch.setattr(keeping, "accuracy", None)
    assert trained_classifier(train, test, recipe=SHORT).test_accuracy == first.test_accuracy
    assert trained_classifier(train, recipe=SHORT).test_accuracy is None


def test_other_data_and_other_recipes_have_other_files() -> None:
    paths = {place(Blobs(), SHORT), place(Blobs(size=12), SHORT), place(Blobs(), Recipe())}
    assert len(paths) == 3


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_trained_again(damage, caplog) -> None:
    first = trained_classifier(Blobs(), recipe=SHORT)
    path = place(Blobs(), SHORT)
    path.write_bytes(damage(path.read_bytes(), first.network.last.weight))
    with caplog.at_level(logging.WARNING):
        again = trained_classifier(Blobs(), recipe=SHORT)
    assert "damaged" in caplog.text
    assert again.identity == first.identity


def test_a_cache_that_cannot_be_written_is_only_a_pity(tmp_path, monkeypatch, caplog) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "file"))
    assert trained_classifier(Blobs(), recipe=SHORT).classes == 2
    assert "not kept" in caplog.text


def test_progress_is_told_and_may_break_off() -> None:
    seen: list[int] = []
    trained_classifier(Blobs(), progress=seen.append, recipe=SHORT)
    assert seen == [10] * 30

    def stop(count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        trained_classifier(Blobs(size=12), progress=stop, recipe=SHORT)
    assert not place(Blobs(size=12), SHORT).exists()


def break_off(data: Dataset, images: int) -> None:
    """Train a classifier as far as so many images."""
    seen = [0]

    def stop(count: int) -> None:
        seen[0] += count
        if seen[0] >= images:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trained_classifier(data, progress=stop, recipe=SHORT)


def test_an_interrupted_training_is_continued_exactly(monkeypatch, caplog) -> None:
    monkeypatch.setattr(classifier_training, "KEEP_EVERY", 0.0)
    straight = trained(Blobs(), SHORT, CPU)
    break_off(Blobs(), 120)
    assert not place(Blobs(), SHORT).exists()
    seen: list[int] = []
    with caplog.at_level(logging.INFO):
        found = trained_classifier(Blobs(), progress=seen.append, recipe=SHORT)
    assert seen == [10] * 18, "the rest of 30 steps"
    assert "training the classifier of blobs from 40% on, where it was interrupted" in caplog.text
    assert same(found.network, straight)
    assert [path.suffix for path in place(Blobs(), SHORT).parent.iterdir()].count(".partial") == 0


def test_a_damaged_state_begins_anew(monkeypatch, caplog) -> None:
    monkeypatch.setattr(classifier_training, "KEEP_EVERY", 0.0)
    break_off(Blobs(), 120)
    partial = place(Blobs(), SHORT).with_suffix(".partial")
    partial.write_bytes(partial.read_bytes()[:1000])
    found = trained_classifier(Blobs(), recipe=SHORT)
    assert "damaged (BadZipFile), so the training starts again" in caplog.text
    assert same(found.network, trained(Blobs(), SHORT, CPU))


def test_it_is_said_once_how_long_it_takes(monkeypatch, caplog) -> None:
    monkeypatch.setattr(keeping, "ESTIMATE_AFTER", 0.0)
    with caplog.at_level(logging.INFO):
        trained_classifier(Blobs(), recipe=SHORT)
    assert caplog.text.count("the classifier of blobs takes about") == 1
    monkeypatch.setattr(keeping, "LINE_EVERY", 0.0)
    with caplog.at_level(logging.INFO):
        trained_classifier(Blobs(size=12), recipe=SHORT)
    assert "classifier of blobs: 40%, " in caplog.text


def test_the_first_step_says_nothing_of_how_long_it_takes(monkeypatch, caplog) -> None:
    now = [0.0]
    monkeypatch.setattr(keeping.time, "monotonic", lambda: now[0])
    pace = keeping._Pace("blobs", total=1000, done=100)
    with caplog.at_level(logging.INFO):
        for seconds in (60.0, 1.0, 1.0):
            now[0] += seconds
            pace.advance(10)
    assert "the classifier of blobs takes about 1 min 27 s;" in caplog.text


def test_mnist_s_comes_with_the_program(monkeypatch) -> None:
    monkeypatch.setattr(keeping, "trained", None)  # any training would fail
    train, test = MNIST("train"), MNIST("test")
    path = keeping.SHIPPED / place(train, Recipe()).name
    assert path.stat().st_size < 1e6
    found = trained_classifier(train, test)
    assert not place(train, Recipe()).exists(), "nor is anything put into the cache"
    assert found.test_accuracy == accuracy(found.network, test) > 0.993
    # Figures that were judged by it have this in their protocols.
    assert found.identity.startswith("3119c49a4dd3288b")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (Ring(points=5), "this data holds points"),
        (Blobs(labelled=False), "this data has none"),
        (Blobs(size=1), "cannot be trained on 1 image"),
    ],
    ids=["points", "unlabelled", "single"],
)
def test_what_cannot_be_learned_is_refused(data, reason) -> None:
    with pytest.raises(DataError, match=reason):
        trained_classifier(data)


def test_images_of_another_form_are_refused() -> None:
    found = Classifier(ClassifierNetwork((1, 8, 8), 2).eval())
    with pytest.raises(DataError, match="images of 1 channels alone"):
        found.features(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(DataError, match="images of 1 channels alone"):
        found.features(torch.zeros(2, 1, 8, 8))


def test_a_runs_data_is_learned_from_its_train_part_whatever_it_was_trained_on(monkeypatch) -> None:
    learned: list[Dataset | None] = []

    def note(train: Dataset, test: Dataset | None, *others, **more) -> Tensor:
        learned.extend((train, test))
        return torch.zeros(1)

    monkeypatch.setattr(keeping, "trained_classifier", note)
    real = Real({"_target_": "gan_cli.data.mnist.MNIST", "split": "test"})
    load(real)
    assert [data.spec.size for data in learned if data] == [60_000, 10_000]
    whole = Real({"_target_": "gan_cli.data.toy.Ring", "points": 500})
    load(whole)
    assert learned[-1] is None
