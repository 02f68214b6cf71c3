"""The editor: answers to a page, the brush where the truth is known, and edges."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gan_cli.errors import ConfigError
from gan_cli.images import to_uint8
from gan_cli.model import DataSpec, Model, Phase
from gan_cli.priors import Categorical, Gaussian, Prior, Product, Uniform
from gan_cli.sampling.directions import Direction
from gan_cli.sampling.editor import Editor, Goal, edges, follow

SIDE = 8


class Bands(Model):
    """An image of 8 x 8 pixels whose row k has the level of latent k; a class adds 0.5."""

    def __init__(self, prior: Prior, conditional: bool = False) -> None:
        super().__init__()
        self.data = DataSpec("bands", (1, SIDE, SIDE), 10, 2, ("dark", "bright"))
        self.prior, self.conditional = prior, conditional
        self.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))

    def phases(self) -> list[Phase]:
        return []

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n), y)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        shift = 0.0
        if y is not None:
            shift = 0.5 * (y.float() if y.ndim == 1 else y[:, 1])[:, None]
        return (z[:, :SIDE] + shift)[:, None, :, None].expand(-1, 1, SIDE, SIDE)


@pytest.fixture
def editor() -> Editor:
    return Editor(Bands(Gaussian(SIDE)), [])


def ask(editor: Editor, action: str, **body: Any) -> dict[str, Any]:
    return editor.answer(action, json.dumps(body).encode())


def picture(answer: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(answer["png"]))) as image:
        return np.asarray(image)


def painting(*pixels: tuple[int, int], level: int = 255, side: int = SIDE) -> str:
    """A PNG in base64 with opaque pixels (row, column)."""
    values = np.zeros((side, side, 4), np.uint8)
    for row, column in pixels:
        values[row, column] = (level, level, level, 255)
    file = io.BytesIO()
    Image.fromarray(values).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_point_is_drawn_with_its_files(editor) -> None:
    z = [k / 8 - 0.5 for k in range(SIDE)]
    answer = ask(editor, "draw", z=z, y=None)
    expected = to_uint8(editor.model.generate(torch.tensor([z])))[0, ..., 0]
    assert np.array_equal(picture(answer), expected)
    assert answer["z"] == z
    saved = np.load(io.BytesIO(base64.b64decode(answer["npy"])))
    assert saved.dtype == np.float32
    assert saved.tolist() == [z]


def test_a_seed_is_that_of_gan_sample(editor) -> None:
    from gan_cli.sampling.samples import SampleRequest, latents

    answer = ask(editor, "sample", seed=3)
    assert answer["z"] == latents(editor.model, SampleRequest(3), 0)[0].tolist()


def test_the_way_between_points_is_the_prior_s_and_mixes_classes() -> None:
    prior = Gaussian(SIDE)
    editor = Editor(Bands(prior, conditional=True), [])
    a, b = [1.0, *[0.0] * 7], [0.0, 1.0, *[0.0] * 6]
    points = {"a": {"z": a, "y": [1, 0]}, "b": {"z": b, "y": [0, 1]}}
    answer = ask(editor, "between", **points, t=0.5)
    assert answer["z"] == pytest.approx([0.5**0.5, 0.5**0.5, *[0.0] * 6])
    assert answer["y"] == [0.5, 0.5]
    # slerp at its end, and a whole class: 0 + 0.5.
    end = ask(editor, "between", **points, t=1)
    assert end["z"] == b
    assert picture(end)[0, 0] == round((0.5 + 1) * 127.5)


def test_the_latent_follows_colours_and_nothing_else_moves(editor) -> None:
    start = [0.0] * SIDE
    strokes = {"colour": painting((2, 1), (2, 2)), "shape": painting()}
    answer: dict[str, Any] = {"z": start}
    for _ in range(4):
        z = answer["z"]
        answer = ask(editor, "follow", point={"z": z, "y": None}, near=z, **strokes)
    assert answer["z"][2] == pytest.approx(1, abs=0.05)
    assert answer["distance"] == pytest.approx((answer["z"][2] - 1) ** 2, abs=1e-6)
    assert [k for k in range(SIDE) if answer["z"][k] != 0] == [2]


def test_the_latent_stays_near_where_a_stroke_began(editor) -> None:
    near = torch.zeros(1, SIDE)
    ones, none = torch.ones(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    z, _ = follow(editor.model, near, None, Goal(ones, ones, none, none), near, steps=400)
    # The least of (z - 1)^2 + 0.2 z^2 in each dimension.
    assert z[0] == pytest.approx(torch.full((SIDE,), 1 / 1.2).tolist(), abs=0.01)


def test_categories_and_the_prior_s_range_are_kept() -> None:
    prior = Product(noise=Uniform(SIDE), category=Categorical(3))
    model = Bands(prior)
    start = torch.cat([torch.full((1, SIDE), 0.9), torch.tensor([[0.0, 1.0, 0.0]])], 1)
    bright = torch.full((1, 1, SIDE, SIDE), 3.0)
    ones, none = torch.ones_like(bright), torch.zeros_like(bright)
    z, _ = follow(model, start, None, Goal(bright, ones, none, none), start)
    assert z[0, :SIDE].tolist() == [1.0] * SIDE
    assert z[0, SIDE:].tolist() == [0, 1, 0]


def test_the_latent_follows_a_shape(editor) -> None:
    rows = [(row, column) for row in (3, 4) for column in range(SIDE)]
    point = {"z": [0.2, 0.1, 0.2, 0.3, 0.1, 0.2, 0.1, 0.2], "y": None}
    distances = []
    for _ in range(6):
        shape = {"colour": painting(), "shape": painting(*rows)}
        answer = ask(editor, "follow", point=point, near=point["z"], **shape)
        point = {"z": answer["z"], "y": None}
        distances.append(answer["distance"])
    assert distances[-1] < 0.1 * distances[0]


def test_edges_know_directions_and_no_signs() -> None:
    across = torch.zeros(1, 1, 16, 16)
    across[:, :, 8:] = 1
    upright = across.transpose(2, 3)
    one, other = edges(across).sum((2, 3))[0], edges(upright).sum((2, 3))[0]
    assert one.argmax() == 4  # of eight bins, that at a right angle to the first
    assert other.argmax() == 0
    assert torch.allclose(edges(across), edges(1 - across))
    assert edges(torch.zeros(1, 1, 16, 16)).abs().max() < 1e-3


def test_a_page_is_told_of_codes_classes_and_directions() -> None:
    prior = Product(noise=Gaussian(SIDE), category=Categorical(3), codes=Uniform(2))
    vector = torch.arange(float(prior.dim))
    direction = Direction("one", vector, torch.tensor([-3.0, 3.0]), "a note")
    setup = Editor(Bands(prior), [direction]).setup()
    assert setup["categories"] == [{"name": "category", "start": SIDE, "count": 3}]
    assert [(code["name"], code["start"], code["low"]) for code in setup["codes"]] == [
        ("code1", SIDE + 3, -1),
        ("code2", SIDE + 4, -1),
    ]
    assert setup["directions"] == [{"name": "one", "note": "a note", "vector": vector.tolist()}]
    assert setup["classes"] == []
    assert Editor(Bands(Gaussian(SIDE), True), []).setup()["classes"] == ["dark", "bright"]


@pytest.mark.parametrize(
    ("action", "body", "message"),
    [
        ("draw", {"z": [0.0] * 7}, "z: 8 numbers are required, not 7"),
        ("draw", {"z": [0.0] * 8, "y": [1.0]}, "y: the weights of 0 classes are required"),
        ("draw", {"z": "no"}, "draw: z: Input should be a valid array"),
        ("draw", {"z": [0.0] * 7 + [float("nan")]}, "draw: z.7: Input should be a finite number"),
        ("draw", {"z": [0.0] * 7 + [1e300]}, "draw: z.7: Input should be less than or equal to"),
        ("draw", {}, "draw: z: Field required"),
        ("sample", {"seed": -1}, "sample: seed: Input should be greater than or equal to 0"),
        ("between", {"a": {"z": []}, "b": {"z": []}, "t": 2}, "between: t: Input should be less"),
        (
            "follow",
            {"point": {"z": [0.0] * 8}, "near": [0.0] * 8, "colour": "", "shape": ""},
            "strokes: a PNG of 8 x 8 pixels is required",
        ),
        (
            "follow",
            {
                "point": {"z": [0.0] * 8},
                "near": [0.0] * 8,
                "colour": painting(side=9),
                "shape": painting(),
            },
            "strokes: a PNG of 8 x 8 pixels is required",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(editor, action, body, message) -> None:
    with pytest.raises(ConfigError) as raised:
        ask(editor, action, **body)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
