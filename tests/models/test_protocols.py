"""The optional methods of models: who has them, and what is not mistaken for one."""

from __future__ import annotations

import pytest
import torch
from composing import MODELS, little, session_of
from torch import Tensor, nn

from gan_cli.model import (
    Draws,
    Encodes,
    HasLikelihood,
    HasSampleGradient,
    HasViews,
    Model,
    Phase,
    Recognises,
    Reconstructs,
    Scores,
    Translates,
)

GAME = {Scores, HasSampleGradient, Draws}
CODES = {Draws, HasViews, Reconstructs, Encodes}
AUTOENCODING = {Scores, Draws, Reconstructs}
BINARY = {HasViews, Reconstructs, HasLikelihood, Encodes}
TRANSLATION = {HasViews, Translates}
HAS = {
    "aae": CODES | {Scores},
    "autoencoder": CODES,
    "avb": CODES,
    "began": AUTOENCODING,
    "bigan": CODES | {Scores},
    "context_encoder": TRANSLATION,
    "cyclegan": TRANSLATION,
    "d2gan": {Scores, Draws},
    "discogan": TRANSLATION,
    "dualgan": TRANSLATION,
    "ebgan": AUTOENCODING,
    "gap": {Scores, Draws},
    "helmholtz": BINARY,
    "magan": AUTOENCODING,
    "mdgan": GAME | CODES,
    "mmd_gan": {Draws, Reconstructs},
    "pix2pix": TRANSLATION,
    "rbm": BINARY,
    "seqgan": {Scores, HasLikelihood},
    "srgan": TRANSLATION,
    "text_wgan": {Scores},
    "vaegan": CODES | {Scores},
    "cvae": CODES | {HasLikelihood},
    "divergence": {Scores, HasViews},
    "energy": {Scores, HasViews, HasLikelihood},
    "glo": {Draws, Reconstructs},
    "infogan": GAME | {Recognises},
    "mixture": {HasViews, HasLikelihood},
    "vae": CODES | {HasLikelihood},
}
ALL = (Scores, HasSampleGradient, Draws, HasViews, Reconstructs, HasLikelihood, Recognises)
ALL += (Translates, Encodes)


@pytest.mark.parametrize("model", MODELS)
def test_what_each_model_can_do(model: str) -> None:
    made = session_of(*little(model)).model
    assert {kind for kind in ALL if isinstance(made, kind)} == HAS.get(model, GAME)


class Bare(Model):
    """Nothing but samples, from networks that have the names of optional methods."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.pictures = nn.Linear(1, 1), nn.Linear(1, 1)
        self.register_buffer("views", torch.zeros(1))
        self.recognise = lambda x: {}

    def phases(self) -> list[Phase]:
        return []

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 1)


class Able(Bare):
    def reconstruct(self, batch: object) -> None:
        return None


class Unable(Able):
    reconstruct = None  # type: ignore[assignment]


def test_a_submodule_of_that_name_is_no_method() -> None:
    assert not any(isinstance(Bare(), kind) for kind in ALL)


def test_a_subclass_can_take_a_method_away() -> None:
    assert isinstance(Able(), Reconstructs)
    assert not isinstance(Unable(), Reconstructs)
