"""Metrics of sentences: n-grams and BLEU, on lists of symbols."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Sentence = Sequence[int]
NGram = tuple[int, ...]


def ngrams(sentence: Sentence, n: int) -> list[NGram]:
    """All runs of `n` symbols of a sentence, in order."""
    return [tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1)]


class NGramModel:
    """P(symbol | the n - 1 before it): the mean of the models of order 1 to n and a uniform one.

    Each of these is by counts; an order whose beginning was never seen counts as uniform. So all
    probabilities are above 0 and sum to 1.

    Args:
        sentences: that it is fitted on.
        order: n.
        symbols: how many there are.
    """

    def __init__(self, sentences: Sequence[Sentence], order: int, symbols: int) -> None:
        self.order, self.symbols = order, symbols
        self.counts: Counter[NGram] = Counter()
        self.begun: Counter[NGram] = Counter()
        for sentence in sentences:
            for n in range(1, order + 1):
                found = ngrams(sentence, n)
                self.counts.update(found)
                self.begun.update(gram[:-1] for gram in found)

    def log_prob(self, sentence: Sentence) -> float:
        """log P of all symbols of a sentence, in nats."""
        total = 0.0
        for place in range(len(sentence)):
            chance = 1 / self.symbols
            for n in range(1, self.order + 1):
                gram = tuple(sentence[max(0, place - n + 1) : place + 1])
                seen = self.begun[gram[:-1]] if len(gram) == n else 0
                chance += self.counts[gram] / seen if seen else 1 / self.symbols
            total += math.log(chance / (self.order + 1))
        return total


def bleu_of_each(sentences: Sequence[Sentence], order: int = 4) -> list[float]:
    """BLEU of each sentence with all the others as references (self-BLEU, Zhu et al. 2018).

    The geometric mean of the clipped precisions of 1- to `order`-grams, times the brevity penalty
    for the reference of the nearest length (Papineni et al. 2002); 0 where any precision is 0.
    """
    logs = [0.0] * len(sentences)
    for n in range(1, order + 1):
        counts = [Counter(ngrams(sentence, n)) for sentence in sentences]
        best: dict[NGram, tuple[int, int, int]] = {}  # largest count, whose, second largest
        for who, own in enumerate(counts):
            for gram, count in own.items():
                first, owner, second = best.get(gram, (0, -1, 0))
                if count > first:
                    best[gram] = (count, who, first)
                elif count > second:
                    best[gram] = (first, owner, count)
        for who, own in enumerate(counts):
            hits = 0
            for gram, count in own.items():
                first, owner, second = best[gram]
                hits += min(count, second if owner == who else first)
            total = sum(own.values())
            logs[who] += math.log(hits / total) / order if hits else -math.inf
    lengths = Counter(len(sentence) for sentence in sentences)
    return [
        math.exp(log) * _brevity(len(sentence), lengths) if log > -math.inf else 0.0
        for log, sentence in zip(logs, sentences, strict=True)
    ]


def _brevity(length: int, lengths: Counter[int]) -> float:
    """BLEU's penalty for a sentence that is shorter than the nearest of the others."""
    others = [other for other, count in lengths.items() if count > (other == length)]
    if not others or not length:
        return 1.0 if length else 0.0
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length >= nearest else math.exp(1 - nearest / length)


def ngram_js(first: Sequence[Sentence], second: Sequence[Sentence], n: int) -> float:
    """The Jensen-Shannon divergence of two distributions of n-grams, in nats, at most log 2."""
    ours, theirs = (
        Counter(gram for sentence in side for gram in ngrams(sentence, n))
        for side in (first, second)
    )
    totals = sum(ours.values()), sum(theirs.values())
    if not all(totals):
        return math.log(2)
    found = 0.0
    for gram in ours.keys() | theirs.keys():
        p, q = ours[gram] / totals[0], theirs[gram] / totals[1]
        middle = (p + q) / 2
        found += sum(0.5 * x * math.log(x / middle) for x in (p, q) if x)
    return found
