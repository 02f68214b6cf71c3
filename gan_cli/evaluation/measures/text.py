"""How good and how varied generated sentences are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.text import grammatical
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.evaluation.real_baseline import generated, real, shuffled
from gan_cli.metrics.sentences import NGramModel, bleu_of_each, ngram_js

ORDER = 4  # of the n-grams
MOST = 2000  # sentences that n-grams are taken of
BLEU = 500  # sentences compared with each other


class Text(Metric):
    """N-grams, self-BLEU, copies and, where the truth is known, the sentences' probability."""

    order = 107
    higher_is_better: ClassVar = {
        "text_oracle_nll": False,
        "text_ngram_nll": False,
        "text_ngram_js": False,
        "text_self_bleu": None,
        "text_copied_share": None,
        "text_grammatical_share": True,
    }

    def unfit(self, subject: Subject) -> str:
        """Why not: it is for sentences."""
        return "" if subject.data.is_text else "it reads sentences, and this data has none"

    def measure(self, subject: Subject) -> MetricResult:
        """All that this data allows, beside two halves of held-out sentences."""
        data, train = subject.data, subject.trained_on
        held = subject.real("test") if subject.has_test else train
        made = generated(subject, min(subject.options.samples, MOST)).samples.long()
        order = shuffled(held)
        n = min(len(made), held.spec.size // 2, MOST)
        first, second = (real(held, order[k * n : (k + 1) * n]).long() for k in range(2))
        ours, theirs, fitted = map(rows, (made, second, first))
        model = NGramModel(fitted, ORDER, len(data.vocabulary))
        known = {tuple(row) for row in rows(train.values)}
        protocol = subject.protocol() | {
            "samples": len(made),
            "real_samples": n,
            "floor": f"of {n} held-out sentences" if subject.has_test else f"of {n} sentences",
        }
        grams = protocol | {"n": ORDER, "unit": "nats"}
        few = min(BLEU, n)  # it rises with their number
        values = [
            value(
                "ngram_nll",
                [-model.log_prob(row) / max(len(row), 1) for row in ours],
                [-model.log_prob(row) / max(len(row), 1) for row in theirs],
                grams,
            ),
            MetricValue(
                "text_ngram_js",
                ngram_js(ours[:n], fitted, ORDER),  # as many as real ones: it falls with more
                ngram_js(theirs, fitted, ORDER),
                None,
                grams | {"samples": n},
            ),
            value(
                "self_bleu",
                bleu_of_each(ours[:few]),
                bleu_of_each(theirs[:few]),
                protocol | {"n": ORDER, "samples": few},
                "high where sentences are alike; real ones are as alike as the baseline",
            ),
            value(
                "copied_share",
                [tuple(row) in known for row in ours],
                [tuple(row) in known for row in theirs],
                protocol,
                "share of sentences that stand in the training data",
            ),
        ]
        if data.name == "grammar":
            mine, other = (
                [grammatical(line) for line in data.sentences(x)] for x in (made, second)
            )
            values.append(value("grammatical_share", mine, other, protocol))
        if (log := held.log_density(made.to(held.device))) is not None:
            truth = held.log_density(second.to(held.device))
            assert truth is not None, "known for one, known for all"
            length = data.shape[0]
            mine, other = ((-x / length).cpu().tolist() for x in (log, truth))
            values.append(value("oracle_nll", mine, other, protocol | {"unit": "nats per symbol"}))
        return MetricResult(values)


def rows(x: Tensor) -> list[list[int]]:
    """Sentences [n, length] as lists, without the ends that fill them up."""
    return [[symbol for symbol in row if symbol] for row in x.tolist()]


def value(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    protocol: Mapping[str, str | int | float],
    note: str = "",
) -> MetricValue:
    """The mean over sentences, with its standard error, and that of real ones."""
    each = torch.tensor(ours, dtype=torch.float64)
    error = (each.std(correction=1) / math.sqrt(len(each))).item() if len(each) > 1 else None
    baseline = torch.tensor(theirs, dtype=torch.float64).mean().item()
    return MetricValue(f"text_{name}", each.mean().item(), baseline, error, protocol, note)
