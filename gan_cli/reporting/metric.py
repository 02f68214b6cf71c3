"""Which figure the runs are compared by, and which direction is the better one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gan_cli.errors import ConfigError
from gan_cli.formatting import SENSIBLE, hint
from gan_cli.runs.record import EVALUATED, PROTOCOL, Record

LOWER, HIGHER = "lower", "higher"
ORDER = (*SENSIBLE, "stacked_modes", "modes_captured")
# Curves of the training; the direction of a metric is in the files of its evaluations.
LOWER_CURVES, HIGHER_CURVES = ("loss/",), ("accuracy/", "speed/images")


@dataclass(frozen=True)
class ReportedMetric:
    """What is compared."""

    name: str
    better: str  # LOWER or HIGHER
    warnings: tuple[str, ...] = ()

    def beats(self, a: float, b: float) -> bool:
        """Whether `a` is better than `b`."""
        return a < b if self.better == LOWER else a > b

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return min(values) if self.better == LOWER else max(values)


def choose(records: Sequence[Record], wanted: str | None, better: str | None) -> ReportedMetric:
    """The metric that was asked for, else what the runs kept their best by, else the most telling.

    Raises:
        ConfigError: there is none, or its direction is not known and was not given.
    """
    names = list(dict.fromkeys(name for record in records for name in record.names()))
    warnings: list[str] = []
    if wanted is None:
        name = _default(records, names)
        if name is None:
            raise ConfigError("the runs have no figures and no curves yet; train some steps first")
        if name.startswith("loss/"):
            warnings.append(
                f"{name} is no measure of quality: a game's losses can fall while samples get "
                "worse. gan-eval RUNS, or evaluation.every=N in training, gives figures to compare"
            )
    else:
        short = wanted.removeprefix(EVALUATED)
        name = completed(short, names, f"--metric {wanted}")
        if name is None:
            there = ", ".join(names) or "nothing yet"
            raise ConfigError(
                f"--metric {wanted}: no run has it{hint(short, names, 0.5)}; there are {there}"
            )
    warnings += _protocols(records, name)
    return ReportedMetric(name, better or _direction(records, name), tuple(warnings))


def completed(name: str, names: Sequence[str], key: str) -> str | None:
    """The figure that is meant: `fid` is fid_classifier where no other begins so; None for none.

    Args:
        name: as typed.
        names: all figures.
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
    judged = {name for record in records for name in record.metrics}
    judged |= {
        n.removeprefix(EVALUATED) for r in records for n in r.curves if n.startswith(EVALUATED)
    }
    losses = [name for name in ("loss/generator", *names) if name in names and "loss/" in name]
    return next((name for name in (*ORDER, *losses, *sorted(judged)) if name in names), None)


def _kept_by(record: Record) -> str | None:
    """The figure by which a run keeps its best checkpoint."""
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


def _protocols(records: Sequence[Record], name: str) -> list[str]:
    """A warning where runs were evaluated in different ways."""
    seen: dict[tuple[str, ...], None] = {}
    for record in records:
        found = record.evaluations(name)
        if found:
            last = found[max(found)].protocol
            seen[tuple(str(last.get(key)) for key in (*PROTOCOL, "extractor_sha256"))] = None
    if len(seen) < 2:
        return []
    told = "; ".join(f"{n} samples of seed {seed}, {split}" for n, seed, split, _ in seen)
    return [f"{name} was measured in different ways, so its values do not compare well: {told}"]
