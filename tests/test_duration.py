"""Lengths of time: read, refused, shown."""

import math

import pytest

from gan_cli import formatting


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (90, 90),
        (1.5, 1.5),
        ("1e3", 1000),
        ("90s", 90),
        ("10m", 600),
        ("10 min", 600),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1D 2H 30m 5s", 86400 + 7200 + 1800 + 5),
        ("0.5h", 1800),
        (".5m", 30),
        (" 2h ", 7200),
    ],
)
def test_parse(text, seconds):
    assert formatting.parse_duration(text) == seconds


REFUSED = [
    *("", " ", "0", "0s", "0h0m", "-5", "-5m", "nan", "inf", "-inf", "1e999", "9" * 1000),
    *("10 parsecs", "m", "1h1h", "30m1h", "1h30", "ten", "1_000", "1,5h", "٣s", "1.2.3s"),
    *(0, -1, 0.0, math.nan, math.inf, 10**400, True, None, [1]),
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text)[:20])
def test_parse_refuses_and_says_what_to_write(text):
    with pytest.raises(ValueError, match="is no length of time above zero; write 90s") as caught:
        formatting.parse_duration(text)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (0.04, "0 s"),
        (0.3, "0.3 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (45.2, "45 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (86400 - 1, "1 d"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
        (400 * 86400, "400 d"),
        (math.nan, "?"),
        (math.inf, "?"),
    ],
)
def test_show(seconds, text):
    assert formatting.show_duration(seconds) == text


def test_what_is_shown_is_read_back():
    for seconds in (0.3, 45, 200, 3600, 7500, 86400 * 3 + 4 * 3600):
        assert formatting.parse_duration(formatting.show_duration(seconds)) == seconds
