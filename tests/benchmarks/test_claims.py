"""The verdicts on claims, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims import HOME, Claim, Results, page, read, verdict
from benchmarks.published.figures import Statistic
from gan_cli.errors import ConfigError


def claim(expect: Any, **others: Any) -> Claim:
    return Claim(claim="", paper="", row="a", figure="f", expect=expect, **others)


@pytest.mark.parametrize(
    ("left", "right", "answer"),
    [
        (Statistic(3, 5.0, 1.0, 0.5), Statistic(3, 3.0, 1.0, 0.5), "yes"),  # 2 > 2 * .71
        (Statistic(3, 4.0, 1.0, 0.5), Statistic(3, 3.0, 1.0, 0.5), "undecided"),
        (Statistic(3, 1.0, 1.0, 0.5), Statistic(3, 3.0, 1.0, 0.5), "**no**"),
        (Statistic(1, 5.0), Statistic(3, 3.0, 1.0, 0.5), "yes, in one run"),
        (Statistic(6, 0), Statistic(6, 0), "**no**"),  # how many passed
        (Statistic(1, 5.0), None, "not run"),
        (None, Statistic(1, 5.0), "not run"),
    ],
)
def test_two_rows_are_apart_or_not(
    left: Statistic | None, right: Statistic | None, answer: str
) -> None:
    assert verdict(claim("greater", other="b"), left, right) == answer
    if "not" not in answer and "undecided" not in answer and left and left.value:
        turned = {"yes": "**no**", "**no**": "yes"}
        word, *rest = answer.split(",")
        expected = ",".join([turned[word], *rest])
        assert verdict(claim("less", other="b"), left, right) == expected


def test_a_value_is_within_bounds_or_not() -> None:
    assert verdict(claim([1.0, None]), Statistic(2, 1.0, 0.1, 0.1), None) == "yes"
    assert verdict(claim([None, 0.9]), Statistic(1, 1.0), None) == "**no**, in one run"
    assert verdict(claim([None, 0.9]), None, None) == "not run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expect": "greater"}, "expect: greater and less need another row"),
        ({"expect": [1, 2], "other": "gan_grid"}, "expect: greater and less need another row"),
        ({"row": "nosuch"}, "systems has no row nosuch"),
        ({"figure": "nosuch"}, "systems has no column nosuch"),
        ({"table": "nosuch"}, "there is no table nosuch"),
    ],
)
def test_a_faulty_claim_is_named(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    content = {"claim": "c", "paper": "p", "row": "gan_ring", "figure": "modes_captured"}
    lines = {**content, "expect": [1, 2], **changes}
    file = tmp_path / "claims.yaml"
    file.write_text(
        "elsewhere: []\nclaims:\n  - " + "\n    ".join(f"{k}: {v}" for k, v in lines.items())
    )
    with pytest.raises(ConfigError, match=message):
        page(read(file), Results())


def test_the_page_is_that_of_the_results() -> None:
    assert (HOME / "docs" / "reproducing.md").read_text("utf-8") == page(read(), Results())
