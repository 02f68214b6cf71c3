"""Accuracy of the nearest code, on codes whose neighbours are known."""

from __future__ import annotations

import pytest
from painting import Painter, Pictures, subject
from torch import Tensor

from gan_cli.evaluation.measures.encoding import Encoding
from gan_cli.evaluation.metric import Subject


class Encoder(Painter):
    """The brightness of an image, which is its class, as a code; or nothing of it."""

    def __init__(self, scale: float = 1.0, conditional: bool = False) -> None:
        super().__init__(conditional)
        self.scale = scale

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.scale * x.flatten(1).mean(1, keepdim=True)


def of(model: Painter) -> Subject:
    some = subject(model=model, node={"_target_": "gan_cli.data.mnist.MNIST"})
    some.truth._sets["test"] = Pictures("test")
    return some


def test_codes_that_hold_the_class_and_codes_that_hold_nothing() -> None:
    assert Encoding().unfit(of(Encoder())) == ""
    (found,) = Encoding().measure(of(Encoder())).values
    assert (found.name, found.value, found.error) == ("encoding_accuracy", 1.0, 0.0)
    assert (found.protocol["training_images"], found.protocol["test_images"]) == (300, 300)
    assert found.protocol["code"] == 1
    (found,) = Encoding().measure(of(Encoder(0.0))).values  # one training image is all images'
    assert found.value == pytest.approx(1 / 3)
    assert Encoding().directed(found).better == "higher"


def test_what_it_does_not_apply_to() -> None:
    assert Encoding().unfit(of(Painter())) == "the model has no codes of images"
    given = Encoding().unfit(of(Encoder(conditional=True)))
    assert given == "the labels are an input of the codes"
