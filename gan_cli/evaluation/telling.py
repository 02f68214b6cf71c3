"""Which figures tell most, and how one is written. Imports nothing heavy: reports stand on it."""

from __future__ import annotations

# What tells most of a generator, the first of these that there is.
SENSIBLE = ("fid_classifier", "fid_inception", "kid_inception", "wasserstein_1", "energy_distance")


def number(value: float) -> str:
    """Four digits that matter, and no power of ten between 0.0001 and a million."""
    if value != value or abs(value) == float("inf"):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    digits = max(0, 4 - len(f"{abs(value):.0f}")) if abs(value) >= 1 else 4
    return f"{value:,.{digits}f}"
