"""What is said of batches that fit neither the data nor batch norm."""

from __future__ import annotations

import pytest
from composing import session_of

from gan_cli.errors import ConfigError

RING = ("data=ring", "data.points=32")


def test_a_batch_larger_than_the_data_is_told() -> None:
    said = session_of("model=gan", *RING, "batch_size=64").warnings
    assert said == [
        "batch_size = 64: more than the 32 samples of ring, so each batch holds some of them "
        "several times"
    ]
    assert session_of("model=gan", *RING, "batch_size=32").warnings == []


def test_a_run_that_ends_before_its_first_evaluation_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = ("model=gan", *RING, "batch_size=32", "steps=20")
    assert session_of(*line, "evaluation.every=20").warnings == []
    (said,) = session_of(*line, "evaluation.every=21").warnings
    assert said.startswith("evaluation.every = 21: the run ends before, after 20 steps")
    assert said in caplog.messages


def test_batch_norm_over_one_image_is_told() -> None:
    (said,) = session_of("model=dcgan", "data.split=test", "batch_size=1").warnings
    assert said == (
        "batch_size = 1: batch norm takes mean and deviation over the batch, here over a single "
        "image; set batch_size=2 or more, or a network without batch norm"
    )


def test_batch_norm_over_one_point_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"batch_size = 1: batch norm .*, of which one sample has"
    ):
        session_of("model=gan", "network=pacgan", "data=ring", "batch_size=1")
