"""gan-neighbors: the sheet and the score, from a run folder."""

import numpy as np
import pytest
from inprocess import told
from test_sample import NETWORK, POINTS, make, pixels

from gan_cli.commands import neighbors


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(capsys, *arguments: object, status: int = 0) -> tuple[str, str]:
    return told(neighbors.main, capsys, *arguments, status=status)


FEW = ["-n", 3, "-k", 2, "--among", 50, "--features", "none", "--zoom", 1]


def test_a_sheet_in_pixels(capsys):
    run = make("model=gan", *NETWORK)
    out, err = call(capsys, run.path, *FEW, "--no-score")
    assert out == str(run.samples / "neighbours-00000030-seed0.png")
    assert pixels(out).shape[0] == 3 * 30 + 2 + 19
    assert "nearest training images" in err
    assert "near_copy_share" not in err
    second = call(capsys, run.path, *FEW, "--no-score", "--out", "a.png", "--batch-size", 1)[0]
    assert (pixels(second) == pixels(out)).all()


@pytest.mark.slow
def test_the_score_and_features(capsys):
    run = make("model=gan", *NETWORK)
    words = ["-n", 2, "-k", 2, "--among", 100, "--closest", "--samples", 20, "--out", "a.png"]
    _, err = call(capsys, run.path, *words)
    assert "near_copy_share" in err
    assert "in features" in err


@pytest.mark.parametrize("words", [(), ("--closest",)])
def test_each_latent_of_a_file_is_shown_once(capsys, words):
    run = make("model=gan", *NETWORK)
    np.save("z.npy", np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32))
    few = ["-k", 2, "--among", 50, "--features", "none", "--zoom", 1, "--no-score", *words]
    out, _ = call(capsys, run.path, "--z", "z.npy", *few)
    assert pixels(out).shape[0] == 2 * 30 + 2 + 19
    message = call(capsys, run.path, "--z", "z.npy", "-n", 5, *few, status=2)[1]
    assert message == "error: -n 5: z.npy is enough for 2 samples\n"


def test_wrong_wishes_are_one_line(capsys):
    run = make("model=gan", *NETWORK)
    assert "-k 9: there are 5" in call(capsys, run.path, "-k", 9, "--among", 5, status=2)[1]
    assert (
        "--out a.gif: a file must end in .png"
        in call(capsys, run.path, "--out", "a.gif", status=2)[1]
    )
    points = make("model=gan", *NETWORK, "data=ring", spec=POINTS, name="points")
    assert "gan-neighbors: this model makes points" in call(capsys, points.path, status=2)[1]
