"""The score against its definition and its extremes."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_cli.metrics.classes import score, split_scores


def averaged(logits: Tensor) -> float:
    p = logits.double().softmax(1)
    return score(p.mean(0), torch.special.entr(p).sum(1).mean().item())


def test_score_is_its_definition() -> None:
    logits = 3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    p = logits.double().softmax(1)
    divergence = (p * (p.log() - p.mean(0).log())).sum(1).mean()
    assert averaged(logits) == pytest.approx(divergence.exp().item(), rel=1e-12)


def test_score_of_certain_and_even_classes_is_their_number() -> None:
    assert averaged(torch.eye(10).repeat(3, 1) * 1e4) == pytest.approx(10, rel=1e-12)


def test_score_of_one_class_or_of_no_idea_is_1() -> None:
    assert averaged(torch.tensor([[1e4, 0, 0]] * 5)) == pytest.approx(1, rel=1e-12)
    assert averaged(torch.zeros(5, 3)) == pytest.approx(1, rel=1e-12)


def test_score_of_two_of_three_classes_by_hand() -> None:
    # p(y) = (3/4, 1/4, 0), no entropy within: exp(H) = (4/3)^(3/4) 4^(1/4)
    found = score(torch.tensor([0.75, 0.25, 0.0], dtype=torch.float64), 0.0)
    assert found == pytest.approx((4 / 3) ** 0.75 * 4**0.25, rel=1e-12)


def test_inception_score_is_the_published_loop_over_ten_splits() -> None:
    """Salimans et al. 2016, their classify_image_graph_def loop, on 53 samples of 8 classes."""
    logits = 3 * torch.randn(53, 8, generator=torch.Generator().manual_seed(1))
    p = np.exp(logits.double().numpy())
    p /= p.sum(1, keepdims=True)
    expected = []
    for i in range(10):
        part = p[i * 53 // 10 : (i + 1) * 53 // 10]
        divergence = part * (np.log(part) - np.log(part.mean(0, keepdims=True)))
        expected.append(np.exp(divergence.sum(1).mean()))
    assert split_scores(logits).tolist() == pytest.approx(expected, rel=1e-12)


def test_inception_score_of_a_split_sees_its_own_classes_alone() -> None:
    # Pairs of two classes, always the same two within a split: 2 each, though there are 20 classes.
    assert split_scores(1e4 * torch.eye(20)).tolist() == pytest.approx([2] * 10, rel=1e-12)
    with pytest.raises(ValueError, match="at least 10"):
        split_scores(torch.zeros(9, 3))
