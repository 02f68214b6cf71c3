"""gan-interpolate: pictures and animations of paths, in every form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from inprocess import told
from PIL import Image
from test_sample import COLOUR, NETWORK, POINTS, expected, make, pixels

from gan_cli.commands import interpolate
from gan_cli.images import to_uint8
from gan_cli.sampling.samples import SampleRequest


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run():
    return make("model=gan", *NETWORK, "prior.dim=6")


def call(capsys, *arguments: object, status: int = 0) -> str:
    out, err = told(interpolate.main, capsys, *arguments, status=status)
    return out if out and not status else err


def frames(path: str) -> list[np.ndarray]:
    found = []
    with Image.open(path) as film:
        assert film.info["loop"] == 0
        for k in range(getattr(film, "n_frames", 1)):
            film.seek(k)
            found.append(np.asarray(film.convert("L")).copy())
    return found


@pytest.mark.parametrize("path", ["lerp", "matched"])
def test_rows_and_an_animation(run, capsys, path):
    words = ["--method", path, "-n", 3, "--zoom", 1]
    out = call(capsys, run.path, *words).split("\n")
    assert out == [str(run.samples / f"{path}-00000030-seed0{end}") for end in (".png", ".gif")]
    table = pixels(out[0])
    assert table.shape == (3 * 30 + 2, 10 * 30 + 2)
    ends = to_uint8(expected(run, 6))[..., 0]
    for row in range(3):
        band = table[2 + 30 * row :][:28]
        assert np.array_equal(band[:, 2:30], ends[2 * row])
        assert np.array_equal(band[:, -30:-2], ends[2 * row + 1])
    moments = frames(out[1])
    assert len(moments) == 46
    assert np.array_equal(moments[0][2:30, 2:30], ends[0])
    assert np.array_equal(moments[23][2:30, 2:30], ends[1])
    for k in range(1, 23):
        assert np.array_equal(moments[k], moments[-k])


def test_the_norms_are_printed(run, capsys):
    with pytest.raises(SystemExit):
        interpolate.main([str(run.path), "-n", "2", "--out", "a.png", "--method", "lerp"])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("lerp: |z| along each path")
    assert len(lines) >= 4


def test_a_loop_of_seeds_goes_round(run, capsys):
    words = ["--seeds", "4,7,9", "--loop", "-n", 1, "--frames", 4, "--zoom", 1, "--save-z", "z.npy"]
    assert call(capsys, run.path, *words, "--out", "a.webp", "--steps", 3) == "a.webp\nz.npy"
    moments = frames("a.webp")
    assert len(moments) == 9
    z = torch.from_numpy(np.load("z.npy"))
    assert z.shape == (1, 6, 6)
    path = call(capsys, run.path, "--z", "z.npy", "--out", "b.png", "--zoom", 1, "--steps", 5)
    seed7 = pixels(path)[2:30, 2 + 30 * 2 * 4 :][:, :28]  # the third of six points
    assert np.array_equal(moments[3][2:30, 2:30], seed7)
    assert np.array_equal(seed7, to_uint8(expected(run, 1, SampleRequest(seed=7)))[0, :, :, 0])


def test_classes_are_points(capsys):
    run = make("model=cgan", *NETWORK, spec=COLOUR)
    out = call(capsys, run.path, "--class", "cat-2", "-n", 2, "--out", "a.png", "--steps", 2)
    table = pixels(out)
    assert table.shape == (2 * 42 + 2, 3 * 26 + 2, 3)
    assert call(capsys, run.path, "--class", "dog", "-n", 2, "--out", "b.gif") == "b.gif"
    assert not Path("b.png").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of its reader
def test_mp4_where_ffmpeg_is_there(run, capsys):
    v2 = pytest.importorskip("imageio.v2", reason='needs imageio[ffmpeg], the extra "video"')
    words = ["-n", 1, "--frames", 3, "--zoom", 1, "--fps", 10, "--out", "a.mp4"]
    assert call(capsys, run.path, *words) == "a.mp4"
    with v2.get_reader("a.mp4") as film:
        assert film.get_meta_data()["fps"] == 10
        shown = [np.asarray(frame) for frame in film]
    assert len(shown) == 4
    assert shown[0].shape == (32, 32, 3)
    first = to_uint8(expected(run, 1))[0, :, :, 0].astype(float)
    assert abs(shown[0][2:30, 2:30, 0].astype(float) - first).mean() < 12  # lossy


def test_mp4_without_ffmpeg_is_one_line(run, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    said = call(capsys, run.path, "--out", "a.mp4", status=2)
    assert 'a.mp4: needs imageio with ffmpeg; run: pip install "gan-cli[video]"' in said


def test_what_has_no_pictures_between(capsys):
    run = make("model=gan", *NETWORK, "data=ring", spec=POINTS)
    assert "gan-interpolate: this model makes points" in call(capsys, run.path, status=2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "a.csv"], "--out a.csv: a file must end in .png (pictures), .gif"),
        (["--out", "a.zip"], "--out a.zip: a file must end in"),
        (["--class", "3"], "--class 3: this model knows no classes"),
        (["--truncation", "0"], "--truncation 0: must be greater than 0"),
        (["--z", "none.npy"], "none.npy: no such file"),
    ],
)
def test_wrong_wishes_are_one_line(run, capsys, words, message):
    assert message in call(capsys, run.path, *words, status=2)


@pytest.mark.parametrize(
    "words", [["--seeds", "3,x"], ["--seeds", "9-3"], ["--fps", "0"], ["--fps", "0.001"]]
)
def test_wrong_options_are_2(run, words):
    with pytest.raises(SystemExit) as exit_:
        interpolate.main([str(run.path), *words])
    assert exit_.value.code == 2
