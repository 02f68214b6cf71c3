"""N-grams and BLEU on sentences that can be counted by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from gan_cli.metrics.sentences import NGramModel, bleu_of_each, ngram_js, ngrams

CAT, DOG = [1, 2, 3, 4, 5], [1, 2, 6, 4, 5]


def test_ngrams() -> None:
    assert ngrams([1, 2, 3], 2) == [(1, 2), (2, 3)]
    assert ngrams([1], 2) == []


def test_probabilities_of_all_sentences_sum_to_1() -> None:
    model = NGramModel([[0, 1, 1], [1, 1, 0]], 2, 3)
    every = itertools.product(range(3), repeat=3)
    assert sum(math.exp(model.log_prob(one)) for one in every) == pytest.approx(1.0)


def test_a_probability_by_hand() -> None:
    """Of the symbols 1, 2 after fitting on [1, 2], [1, 1]: unigrams 3/4 and 1/4, P(2 | 1) = 1/2."""
    model = NGramModel([[1, 2], [1, 1]], 2, 4)
    first = (1 / 4 + 3 / 4 + 1 / 4) / 3  # no beginning for a bigram: uniform
    second = (1 / 4 + 1 / 4 + 1 / 2) / 3
    assert model.log_prob([1, 2]) == pytest.approx(math.log(first * second))


class TestSelfBLEU:
    def test_equal_sentences_have_1_and_strange_ones_0(self) -> None:
        assert bleu_of_each([CAT, CAT, DOG])[:2] == pytest.approx([1.0, 1.0])
        assert bleu_of_each([CAT, [7, 8, 9, 10, 11]]) == [0.0, 0.0]

    def test_by_hand(self) -> None:
        """CAT and DOG share 4 of 5 symbols and 2 of 4 pairs."""
        assert bleu_of_each([CAT, DOG], order=2) == pytest.approx([math.sqrt(4 / 5 * 2 / 4)] * 2)

    def test_counts_are_clipped(self) -> None:
        """Of 1 1 1 1 only two are in 1 1 2 2."""
        assert bleu_of_each([[1, 1, 1, 1], [1, 1, 2, 2]], order=1) == pytest.approx([0.5, 0.5])

    def test_short_sentences_are_penalised(self) -> None:
        found = bleu_of_each([[1, 2], [1, 2, 3, 4]], order=1)
        assert found[0] == pytest.approx(math.exp(1 - 4 / 2))
        assert found[1] == pytest.approx(0.5)


def test_divergence_of_ngrams() -> None:
    assert ngram_js([CAT], [CAT], 2) == pytest.approx(0.0)
    assert ngram_js([CAT], [[7, 8, 9]], 2) == pytest.approx(math.log(2))
    # 1 against 1 and 2 in halves: .5 log(1 / .75) + .5 (.5 log(.5 / .75) + .5 log(.5 / .25)).
    expected = 0.5 * math.log(1 / 0.75) + 0.25 * math.log(0.5 / 0.75) + 0.25 * math.log(2)
    assert ngram_js([[1]], [[1, 2]], 1) == pytest.approx(expected)
