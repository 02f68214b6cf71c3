"""gan-traverse: sheets and animations of codes, dimensions and directions."""

import numpy as np
import pytest
import torch
from inprocess import told
from PIL import Image
from test_sample import COLOUR, NETWORK, POINTS, make, pixels

from gan_cli.commands import traverse


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run():
    return make("model=gan", *NETWORK, "prior.dim=6")


def call(capsys, *arguments: object, status: int = 0) -> tuple[str, str]:
    return told(traverse.main, capsys, *arguments, status=status)


def test_codes_by_default(capsys):
    run = make("model=infogan", "network.width=4", name="info")
    out, _ = call(capsys, run.path, "--zoom", 1)
    assert out == str(run.samples / "traversal-00000030-seed0.png")
    # Two samples of the category and of each continuous code, ten categories wide.
    assert pixels(out).shape[0] == 6 * 30 + 2
    assert 10 * 30 + 2 < pixels(out).shape[1] < 10 * 30 + 100


def test_dimensions_by_default_where_they_are_few(run, capsys):
    out, _ = call(capsys, run.path, "--zoom", 1, "--steps", 5)
    assert pixels(out).shape[0] == 6 * 30 + 2 + 19  # and the steps above


def test_directions_come_back_from_their_file(run, capsys):
    words = ["--sefa", 2, "--pca", 2, "--save", "d.npy", "--steps", 3, "--out"]
    out, err = call(capsys, run.path, *words, "a.png")
    assert out == "a.png\nd.npy"
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "sefa 1",
        "sefa 2",
        "pca 1",
        "pca 2",
    ]
    assert np.load("d.npy").shape == (4, 6)
    out, _ = call(capsys, run.path, "--directions", "d.npy", "--steps", 3, "--out", "b.gif")
    with Image.open(out) as film:
        assert getattr(film, "n_frames", 1) == 4
    sheet = call(capsys, run.path, "--directions", "d.npy", "--steps", 3, "--out", "b.png")[0]
    width = 3 * 58 + 2  # magnified twice
    assert np.array_equal(pixels("a.png")[:, -width:], pixels(sheet)[:, -width:])


def test_a_direction_toward_a_class(run, capsys, monkeypatch):
    def bright(*_):
        return lambda images: images.mean((1, 2, 3)) > images.mean()

    monkeypatch.setattr(traverse, "labeller", bright)
    words = ["--toward", "class=7", "--samples", 400, "--steps", 3, "-n", 2, "--save", "d.npy"]
    _, err = call(capsys, run.path, *words)
    assert err.startswith("class=7: ")
    assert "of those held out" in " ".join(err.split())
    assert np.load("d.npy").shape == (1, 6)
    assert all(len(line) <= 80 for line in err.splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--toward", "7"], "--toward 7: class=NAME or category=K is required"),
        (["--toward", "class=12"], "--toward class=12: unknown class; available: 0, 1, 2"),
        (["--toward", "category=1"], "--toward category=1: this model has no codes"),
        (["--codes"], "--codes: this model has no codes"),
        (["--dims", "6"], "--dims 6: the latent has dimensions 0 to 5"),
        (["--sefa", "9"], "--sefa 9: there are at most"),
        (["--save", "d.npy"], "--save d.npy: there are no vectors without --sefa"),
        (["--out", "a.npz"], "--out a.npz: a file must end in"),
    ],
)
def test_wrong_wishes_are_one_line(run, capsys, words, message):
    assert message in call(capsys, run.path, *words, status=2)[1]


def test_a_class_that_is_no_part_of_the_latent(capsys):
    run = make("model=cgan", *NETWORK, spec=COLOUR)
    _, err = call(capsys, run.path, "--toward", "class=dog", status=2)
    assert "gan-interpolate --class FROM,dog goes from class to class" in err


def test_points_have_no_sheet(capsys):
    run = make("model=gan", *NETWORK, "data=ring", spec=POINTS)
    assert "gan-traverse: this model makes points" in call(capsys, run.path, status=2)[1]


@pytest.mark.slow
def test_the_classifier_labels_samples(run, capsys, monkeypatch):
    from gan_cli.runs.load import load_model

    loaded = load_model(run, device="cpu")
    options = traverse.parser().parse_args([str(run.path)])
    is_three = traverse.labeller("class=3", options, loaded)
    from gan_cli.data.mnist import MNIST

    data = MNIST(split="test")
    places = torch.arange(200)
    truth = data.labels(places)
    assert truth is not None
    assert ((is_three(data.real(places))) == (truth == 3)).double().mean() > 0.98


@pytest.mark.slow
def test_an_infogan_labels_its_categories():
    run = make("model=infogan", "network.width=4", name="info")
    from gan_cli.runs.load import load_model

    loaded = load_model(run, device="cpu")
    options = traverse.parser().parse_args([str(run.path)])
    images = torch.rand(64, 1, 28, 28) * 2 - 1
    found = torch.stack(
        [traverse.labeller(f"category={k}", options, loaded)(images) for k in range(10)]
    )
    assert (found.sum(0) == 1).all()
