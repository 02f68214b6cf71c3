"""Modes of toy data: how many are generated, how exactly and how evenly."""

from __future__ import annotations

import math

from torch import Tensor

from gan_cli.data.toy import Mixture
from gan_cli.evaluation import taking
from gan_cli.evaluation.measure import HIGHER, LOWER, Figure, Finding, Measure, Subject
from gan_cli.metrics.modes import coverage, kl_from_uniform, perfect_share

SAMPLES = 2500  # in VEEGAN and PacGAN; more samples find more modes


class Modes(Measure):
    """VEEGAN's and PacGAN's figures on mixtures of Gaussians such as ring and grid."""

    name = "modes"

    def unfit(self, subject: Subject) -> str:
        """Why not: the modes must be known, and several."""
        if subject.data.is_image:
            return "the modes of images are not known"
        data = subject.real(subject.options.split)
        if not isinstance(data, Mixture):
            return "the data does not say where its modes are"
        return "" if len(data.modes) > 1 else "the data has one mode only"

    def measure(self, subject: Subject) -> Finding:
        """Modes captured, share of samples of high quality, and reverse KL over modes."""
        data = subject.real(subject.options.split)
        assert isinstance(data, Mixture)
        made = coverage(taking.generated(subject, SAMPLES).samples, data.modes, data.deviation)
        places = taking.shuffled(data)[:SAMPLES]
        true = coverage(taking.real(data, places), data.modes, data.deviation)
        share, n = made.high_quality, SAMPLES
        protocol = {
            **subject.protocol(),
            "samples": SAMPLES,
            "modes": len(data.modes),
            "high_quality": "closer to the nearest mode than 3 deviations",
            "floor": f"of {len(places)} real samples",
        }
        asked = "each mode is asked for equally often" if subject.model.conditional else ""
        perfect = 100 * perfect_share(data.modes.shape[1])
        figures = [
            Figure("modes_captured", made.captured, HIGHER, true.captured, None, protocol, asked),
            Figure(
                "high_quality_share",
                share,
                HIGHER,
                true.high_quality,
                math.sqrt(share * (1 - share) / n),
                protocol,
                f"a perfect sampler has {perfect:.2f} %",
            ),
            Figure(
                "modes_reverse_kl",
                _reverse_kl(made.counts),
                LOWER,
                _reverse_kl(true.counts),
                None,
                protocol | {"kl": "of modes, generated from uniform, in nats, high quality only"},
                asked if made.captured else "no sample is of high quality, so it is at its largest",
            ),
        ]
        return Finding(figures)


def _reverse_kl(counts: Tensor) -> float:
    return kl_from_uniform(counts) if int(counts.sum()) else math.log(len(counts))
