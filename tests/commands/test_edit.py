"""gan-edit: the page in a real browser, its options, and how it ends."""

from __future__ import annotations

import base64
import io
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from browsing import browser
from driving import Page, page
from PIL import Image
from test_sample import COLOUR, NETWORK, POINTS, make

from gan_cli.commands import edit
from gan_cli.images import to_uint8
from gan_cli.runs.load import Loaded, load_model
from gan_cli.sampling.editor import Editor
from gan_cli.sampling.editor_server import EditorServer
from gan_cli.sampling.samples import decode

IDLE = "document.getElementById('picture').getAttribute('aria-busy') === 'false'"


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def opened(run: Any, *words: str) -> tuple[Loaded, list[Any]]:
    """A run's model, and the directions that the options choose."""
    loaded = load_model(run, device="cpu")
    return loaded, edit.chosen(edit.parser().parse_args([str(run.path), *words]), loaded.model)


def error(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as exit_:
        edit.main([str(word) for word in words])
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_directions_by_default_and_by_wish() -> None:
    run = make("model=gan", *NETWORK, "prior.dim=7")
    names = [[d.name for d in opened(run, *words)[1]] for words in ((), ("--sefa", "0"))]
    assert names == [[f"sefa {k}" for k in range(1, 7)], []]
    np.save("d.npy", np.eye(7, dtype=np.float32)[:2])
    words = ("--sefa", "1", "--pca", "2", "--directions", "d.npy")
    assert [d.name for d in opened(run, *words)[1]] == [
        *("sefa 1", "pca 1", "pca 2", "file 1", "file 2")
    ]


def test_what_cannot_be_edited_is_one_line(capsys) -> None:
    run = make("model=gan", *NETWORK, "prior.dim=6")
    assert "--sefa 9: there are at most 6 directions" in error(capsys, run.path, "--sefa", 9)
    with EditorServer(Editor(opened(run)[0].model, []), "", "") as server:
        port = server.server_address[1]
        assert f"--port {port}: " in error(capsys, run.path, "--port", port)
    assert "--port 70000: " in error(capsys, run.path, "--port", 70000)
    points = make("model=gan", *NETWORK, "data=ring", spec=POINTS, name="points")
    assert "gan-edit: this model makes points" in error(capsys, points.path)
    assert "nothing" in error(capsys, "nothing")


@pytest.mark.parametrize("screen", [True, False])
def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch, screen) -> None:
    found: list[str] = []
    monkeypatch.setattr("webbrowser.open", found.append)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", ":0")
    edit.open_browser("http://127.0.0.1:1/token/")
    assert found == ["http://127.0.0.1:1/token/"] * screen


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_it_prints_its_address_and_ends_with_ctrl_c() -> None:
    run = make("model=gan", *NETWORK, "prior.dim=6")
    words = [sys.executable, "-m", "gan_cli", "edit", str(run.path), "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    url = process.stdout.readline().strip()
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture
def infogan(tmp_path: Path) -> Iterator[tuple[Page, Loaded]]:
    """The page of an InfoGAN, and its model, of weights that make images of some contrast."""
    loaded, vectors = opened(make("model=infogan", "network.width=4", name="info"))
    generator = loaded.model.get_submodule("generator")
    with torch.no_grad():
        for weight in generator.parameters():
            weight.mul_(8 if weight.ndim > 1 else 1)
    yield from served(loaded, vectors, tmp_path)


@pytest.fixture
def cgan(tmp_path: Path) -> Iterator[tuple[Page, Loaded]]:
    """The page of a conditional GAN of colour images, and its model."""
    loaded, vectors = opened(make("model=cgan", *NETWORK, spec=COLOUR))
    yield from served(loaded, vectors, tmp_path)


def served(loaded: Loaded, vectors: list, folder: Path) -> Iterator[tuple[Page, Loaded]]:
    with EditorServer(Editor(loaded.model, vectors), "a run", "step 30") as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            with page(server.url, folder) as tab:
                tab.wait(IDLE)
                yield tab, loaded
                assert tab.faults == []
        finally:
            server.shutdown()
            thread.join()


def shown(tab: Page) -> np.ndarray:
    """The image on the page, uint8 [h, w, 3], once it has come."""
    tab.wait(IDLE)
    tab.look("new Promise(done => setTimeout(done, 50))")
    script = "document.getElementById('image').toDataURL().split(',')[1]"
    with Image.open(io.BytesIO(base64.b64decode(tab.look(script)))) as image:
        return np.asarray(image.convert("RGB"))


def z_of(tab: Page) -> torch.Tensor:
    """The latent [1, dim] of the link to z.npy."""
    text = tab.look("document.getElementById('npy').href.split(',')[1]")
    return torch.from_numpy(np.load(io.BytesIO(base64.b64decode(text))))


def image_of(loaded: Loaded, z: torch.Tensor, y: int | None = None) -> np.ndarray:
    """What the model makes of a latent, uint8 [h, w, 3]."""
    with torch.no_grad():
        image = decode(loaded.model, z, None if y is None else torch.tensor([y]))
    return np.broadcast_to(to_uint8(image)[0], (*image.shape[2:], 3))


@browser
@pytest.mark.slow
def test_it_draws_moves_and_saves(infogan, tmp_path) -> None:
    tab, loaded = infogan
    first, begin = z_of(tab), shown(tab)
    assert np.array_equal(begin, image_of(loaded, first))
    # A category's button and a code's slider put values into the latent, a direction adds.
    start = loaded.model.prior.dim - 12
    tab.click("#categories button:nth-child(8)")
    shown(tab)
    assert z_of(tab)[0, start : start + 10].tolist() == [0] * 7 + [1, 0, 0]
    tab.drag("#codes .slider input", [(0.5, 0.5), (0.6, 0.5), (0.995, 0.5)])
    image, moved = shown(tab), z_of(tab)
    assert np.array_equal(image, image_of(loaded, moved))
    assert moved[0, start + 10] > 0.95
    tab.drag("#directions .slider input", [(0.5, 0.5), (0.7, 0.5), (0.75, 0.5)])
    shown(tab)
    amount = float(tab.look("document.querySelector('#directions .slider input').value"))
    vector = edit.chosen(edit.parser().parse_args([]), loaded.model)[0].vector
    assert 1 < amount < 2
    torch.testing.assert_close(z_of(tab), moved + amount * vector, atol=1e-5, rtol=0)
    # Each gesture is one step back.
    tab.click("#undo")
    assert torch.equal(z_of(tab), moved)
    for _ in range(2):
        tab.click("#undo")
    assert torch.equal(z_of(tab), first)
    assert np.array_equal(shown(tab), begin)
    assert tab.look("document.getElementById('undo').disabled")
    # Both files are what is shown.
    for link, name in (("#npy", "z.npy"), ("#png", "sample.png")):
        tab.click(link)
        place = tmp_path / "downloads" / name
        arrives(tab, place)
    assert np.array_equal(np.load(tmp_path / "downloads/z.npy"), first.numpy())
    with Image.open(tmp_path / "downloads/sample.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), begin)


def arrives(tab: Page, place: Path) -> None:
    """Wait until a download is there whole."""
    for _ in range(200):
        if place.exists() and place.stat().st_size:
            return
        tab.look("new Promise(done => setTimeout(done, 50))")
    pytest.fail(f"{place} has not come")


@browser
@pytest.mark.slow
def test_the_latent_follows_the_brush(infogan) -> None:
    tab, loaded = infogan
    first, begin = z_of(tab), shown(tab)
    tab.drag("#paint", [(0.2, 0.3), (0.5, 0.3), (0.8, 0.3)])
    after = shown(tab)
    assert np.array_equal(after, image_of(loaded, z_of(tab)))
    row = slice(8, 9)  # of 28, near 0.3
    assert after[row, 7:21].mean() > begin[row, 7:21].mean() + 5
    start = loaded.model.prior.dim - 12
    assert torch.equal(z_of(tab)[0, start : start + 10], first[0, start : start + 10])
    assert tab.look("document.getElementById('distance').textContent").startswith("distance 0.")
    tab.click("#clear")
    tab.click("[data-tool=shape]")
    before = z_of(tab)
    tab.drag("#paint", [(0.5, 0.2), (0.5, 0.8)])
    shown(tab)
    assert not torch.equal(z_of(tab), before)
    tab.click("#undo")
    assert torch.equal(z_of(tab), before)


@browser
@pytest.mark.slow
def test_classes_and_the_way_between_points(cgan) -> None:
    tab, loaded = cgan
    names = "[...document.querySelectorAll('#classes button')].map(b => b.textContent)"
    assert tab.look(names) == ["cat", "dog", "2"]
    a = z_of(tab)
    assert np.array_equal(shown(tab), image_of(loaded, a, 0))
    tab.click(".keep[data-point=a]")
    tab.click("#classes button:nth-child(2)")
    assert np.array_equal(shown(tab), image_of(loaded, a, 1))
    tab.click("#sample")
    shown(tab)
    b = z_of(tab)
    assert tab.look("document.getElementById('seed').value") == "1"
    assert not torch.equal(a, b)
    tab.click(".keep[data-point=b]")
    tab.drag("#way", [(0.99, 0.5), (0.7, 0.5), (0.5, 0.5)])
    shown(tab)
    t = float(tab.look("document.getElementById('way').value"))
    assert 0.4 < t < 0.6
    torch.testing.assert_close(
        z_of(tab), loaded.model.prior.interpolate(a, b, t), atol=1e-6, rtol=0
    )
    tab.click(".go[data-point=a]")
    assert np.array_equal(shown(tab), image_of(loaded, a, 0))
    # In a conditional model of colours, the brush has a colour.
    assert tab.look("document.querySelector('.grey').hidden")
    tab.look("document.getElementById('colour').value = '#ff0000'")
    tab.drag("#paint", [(0.3, 0.5), (0.7, 0.5)])
    after = shown(tab)
    assert np.array_equal(after, image_of(loaded, z_of(tab), 0))
    assert after[10, 4:8, 0].mean() > after[10, 4:8, 1].mean()
