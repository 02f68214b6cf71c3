"""The metric that runs are compared by: its name, better direction and conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gan_cli.errors import ConfigError
from gan_cli.formatting import SENSIBLE, hint
from gan_cli.runs.record import EVALUATED, Conditions, Record

LOWER, HIGHER = "lower", "higher"
ORDER = (*SENSIBLE, "stacked_modes", "modes_captured")
# Curves of the training; the direction of a metric is in the files of its evaluations.
LOWER_CURVES, HIGHER_CURVES = ("loss/",), ("accuracy/", "speed/images")


@dataclass(frozen=True)
class ReportedMetric:
    """What is compared."""

    name: str
    better: str  # LOWER or HIGHER
    conditions: Conditions | None = None  # of the evaluations whose values are compared
    warnings: tuple[str, ...] = ()

    def beats(self, a: float, b: float) -> bool:
        """Whether `a` is better than `b`."""
        return a < b if self.better == LOWER else a > b

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return min(values) if self.better == LOWER else max(values)


def named(records: Sequence[Record], wanted: str) -> str:
    """The full name of the metric or curve that was asked for.

    Raises:
        ConfigError: no run has it.
    """
    names = list(dict.fromkeys(name for record in records for name in record.names()))
    short = wanted.removeprefix(EVALUATED)
    name = completed(short, names, f"--metric {wanted}")
    if name is None:
        there = ", ".join(names) or "nothing yet"
        raise ConfigError(
            f"--metric {wanted}: no run has it{hint(short, names, 0.5)}; available: {there}"
        )
    return name


def choose(
    records: Sequence[Record], wanted: str | None, better: str | None
) -> ReportedMetric | None:
    """The metric that was asked for, else what the runs kept their best by, else the most telling.

    None where no run has it, or where nothing was evaluated after training began: losses are not
    comparable between models.

    Args:
        records: of one data set.
        wanted: the full name of a metric or curve.
        better: LOWER, HIGHER, or None where the runs tell.

    Raises:
        ConfigError: its direction is not known and was not given.
    """
    names = _evaluated(records) if wanted is None else [wanted]
    trained = [name for name in names if any(max(r.curve(name), default=0) > 0 for r in records)]
    name = _default(records, trained)
    if name is None:
        return None
    warnings = []
    if name.startswith("loss/"):
        warnings.append(
            f"{name} does not measure quality: losses can fall while samples get worse, and those "
            "of different models are not comparable"
        )
    return ReportedMetric(
        name, better or _direction(records, name), _conditions(records, name), tuple(warnings)
    )


def completed(name: str, names: Sequence[str], key: str) -> str | None:
    """The metric that is meant: `fid` is fid_classifier where no other begins so; None for none.

    Args:
        name: as typed.
        names: all metrics.
        key: what messages call it.

    Raises:
        ConfigError: several begin so.
    """
    if name in names:
        return name
    near = [one for one in names if one.startswith(f"{name}_")]
    if len(near) > 1:
        raise ConfigError(f"{key}: may be {' or '.join(near)}; name one of them")
    return near[0] if near else None


def _default(records: Sequence[Record], names: Sequence[str]) -> str | None:
    kept = Counter(
        name for record in records if (name := _kept_by(record)) in names and name is not None
    )
    if kept:
        return kept.most_common(1)[0][0]
    return next((name for name in (*ORDER, *names) if name in names), None)


def _evaluated(records: Sequence[Record]) -> list[str]:
    """The metrics of evaluations, by name."""
    found = {name for record in records for name in record.metrics}
    curves = {name for record in records for name in record.curves}
    return sorted(found | {n.removeprefix(EVALUATED) for n in curves if n.startswith(EVALUATED)})


def _kept_by(record: Record) -> str | None:
    """The metric by which a run keeps its best checkpoint."""
    best = record.status.get("best")
    if isinstance(best, dict) and best.get("figure"):
        return str(best["figure"])
    asked = record.config.get("evaluation")
    best = asked.get("best") if isinstance(asked, dict) else None
    return best if isinstance(best, str) else None


def _direction(records: Sequence[Record], name: str) -> str:
    """As the metric's class states it, which evaluations and status.json keep."""
    for record in records:
        best = record.status.get("best")
        kept = best if isinstance(best, dict) and best.get("figure") == name else {}
        for better in (*(one.better for one in record.metrics.get(name, [])), kept.get("better")):
            if better in (LOWER, HIGHER):
                return better
    if name.startswith(LOWER_CURVES):
        return LOWER
    if name.startswith(HIGHER_CURVES):
        return HIGHER
    raise ConfigError(f"--metric {name}: its better direction is unknown; add --lower or --higher")


def _conditions(records: Sequence[Record], name: str) -> Conditions | None:
    """Those under which most runs were evaluated; of equally many, those with more samples."""
    seen = Counter(
        conditions
        for record in records
        for conditions in {one.conditions for one in record.metrics.get(name, []) if one.step > 0}
    )
    return max(seen, key=lambda one: (seen[one], _samples(one)), default=None)


def _samples(conditions: Conditions) -> int:
    return int(conditions[0]) if conditions[0].isdigit() else 0


def differences(ours: Conditions, theirs: Conditions) -> tuple[str, str]:
    """What is different, as half a sentence for each: `4,096 samples` and `500 samples`."""
    words = ("{} samples", "seed {}", "split {}", "extractor {:.8}", "data {:.8}", "size {}")
    differ = [n for n in range(len(ours)) if ours[n] != theirs[n]]
    sides = (
        ", ".join(words[n].format(_thousands(side[n]) or "unknown") for n in differ)
        for side in (ours, theirs)
    )
    first, second = sides
    return first, second


def _thousands(text: str) -> str:
    return f"{int(text):,}" if text.isdigit() else text
