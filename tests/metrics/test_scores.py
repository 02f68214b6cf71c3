"""The score against its definition and its extremes."""

import pytest
import torch

from gan_cli.metrics.scores import Probabilities, score


def streamed(logits: torch.Tensor, pieces: int) -> float:
    found = Probabilities(logits.shape[1])
    for piece in logits.split(pieces):
        found.update(piece)
    assert found.count == len(logits)
    return score(found.mean, found.entropy)


@pytest.mark.parametrize("pieces", [1, 7, 50])
def test_score_is_its_definition_whatever_the_pieces(pieces: int) -> None:
    logits = 3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    p = logits.double().softmax(1)
    divergence = (p * (p.log() - p.mean(0).log())).sum(1).mean()
    assert streamed(logits, pieces) == pytest.approx(divergence.exp().item(), rel=1e-12)


def test_score_of_certain_and_even_classes_is_their_number() -> None:
    logits = torch.eye(10).repeat(3, 1) * 1e4
    assert streamed(logits, 4) == pytest.approx(10, rel=1e-12)


def test_score_of_one_class_or_of_no_idea_is_1() -> None:
    assert streamed(torch.tensor([[1e4, 0, 0]] * 5), 2) == pytest.approx(1, rel=1e-12)
    assert streamed(torch.zeros(5, 3), 2) == pytest.approx(1, rel=1e-12)


def test_score_of_two_of_three_classes_by_hand() -> None:
    # p(y) = (3/4, 1/4, 0), no entropy within: exp(H) = (4/3)^(3/4) 4^(1/4)
    found = score(torch.tensor([0.75, 0.25, 0.0], dtype=torch.float64), 0.0)
    assert found == pytest.approx((4 / 3) ** 0.75 * 4**0.25, rel=1e-12)
