"""Commands as text, which work when they are pasted, and lengths of time."""

from __future__ import annotations

import math
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gan_cli.config.command_line import prepare
from gan_cli.config.settings import composed
from gan_cli.formatting import (
    assignment,
    leaves,
    literal,
    number,
    parse_duration,
    rounded,
    shell_command,
    show_duration,
    unquoted,
)

NASTY = ["a b", "it's", 'say "x"', "(1)", "a & b", "a;b", "$HOME", "${seed}", "*", "a\\", "a\\'b"]
NASTY += ["a,b", "[x]", "{a:1}", "a=b", "a#b", "dü", "~/x", "-n", "--out", "7", "1e3", "null"]
NASTY += ["\\${x}", "a\nb", "\x1b[31mred", "!x", "a:b", " a ", "`id`", "", "\\", "'", "''", "\\\\'"]


def fuzz(count: int) -> list[str]:
    chance = random.Random(0)
    letters = "ab 7'\"\\${}()[],:=&;*~-/\nü"
    return ["".join(chance.choices(letters, k=chance.randrange(1, 9))) for _ in range(count)]


def test_a_shell_gets_the_words_back() -> None:
    words = [*NASTY, *fuzz(300), b"\xff'.png".decode(errors="surrogateescape")]
    line = shell_command("printf", r"%s\0", *words)
    found = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert [part.decode(errors="surrogateescape") for part in found.split(b"\0")[:-1]] == words


def test_a_line_shows_no_control_characters() -> None:
    assert shell_command("gan-sample", "a\x1b[31mb\n") == r"gan-sample $'a\x1b[31mb\x0a'"


def test_plain_words_stay_plain() -> None:
    words = [
        "gan-train",
        assignment("run.dir", Path("runs/x-1/20250601-1200")),
        assignment("seed", 3),
    ]
    assert shell_command(*words) == "gan-train run.dir=runs/x-1/20250601-1200 seed=3"
    assert assignment("optimizer.betas", [0.5, 0.9]) == "optimizer.betas=[0.5,0.9]"


def test_a_path_is_no_option_and_no_home() -> None:
    assert shell_command("gan-sample", Path("-n")) == "gan-sample ./-n"
    assert assignment("resume", Path("~x")) == "resume='./~x'"


def test_hydra_reads_what_overrides_were_made_of() -> None:
    others = [None, True, 3, -0.5, [1, "a,b"], {"a": "b c"}, Path("a b/c,d")]
    values: list[Any] = [*NASTY, *fuzz(300), *others]
    config = composed(prepare([assignment(f"model.n{i}", value) for i, value in enumerate(values)]))
    found = [config.model[f"n{i}"] for i in range(len(values))]
    assert found == [str(value) if isinstance(value, Path) else value for value in values]
    texts = [value for value in values if isinstance(value, str)]
    assert [unquoted(literal(text)) for text in texts] == texts


def test_the_leaves_of_a_config_have_dotted_keys() -> None:
    config = {"seed": 1, "ema": {"decay": None, "of": {"from": [2]}}, "none": {}}
    plain = {"seed": 1, "ema.decay": None, "ema.of.from": [2]}
    assert list(leaves(config)) == list(plain.items())
    assert list(dict(leaves(config, inner=True))) == [
        *("seed", "ema", "ema.decay", "ema.of", "ema.of.from", "none")
    ]
    assert dict(leaves({"lr": 1}, "optimizer.")) == {"optimizer.lr": 1}


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
def test_a_duration_is_read(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


REFUSED = [
    *("", " ", "0", "0s", "0h0m", "-5", "-5m", "nan", "inf", "-inf", "1e999", "9" * 1000),
    *("10 parsecs", "m", "1h1h", "30m1h", "1h30", "ten", "1_000", "1,5h", "٣s", "1.2.3s"),
    *(0, -1, 0.0, math.nan, math.inf, 10**400, True, None, [1]),
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text)[:20])
def test_what_is_no_duration_is_refused_with_what_to_write(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a positive duration; write 90s") as caught:
        parse_duration(text)
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
def test_a_duration_is_shown(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


def test_a_duration_that_is_shown_is_read_back() -> None:
    for seconds in (0.3, 45, 200, 3600, 7500, 86400 * 3 + 4 * 3600):
        assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.12346, "0.1235"),
        (-1.00001, "-1.000"),
        (12.3456, "12.35"),
        (12345.6, "12,346"),
        (3.0, "3"),
        (0.0, "0"),
        (1e-5, "1e-05"),
        (2.5e6, "2.5e+06"),
        (math.inf, "inf"),
    ],
)
def test_a_number_keeps_four_digits(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("error", "values", "shown"),
    [
        (0.0745, (0.86, 0.0745), ["0.86", "0.07"]),
        (0.827, (0.827, 0.119), ["0.8", "0.1"]),  # the PDG's own examples
        (0.119, (0.827, 0.119), ["0.83", "0.12"]),
        (0.0367, (0.827,), ["0.83"]),
        (0.354, (1.2345, 0.354), ["1.23", "0.35"]),
        (0.962, (1.25, 0.962), ["1.2", "1.0"]),
        (31.4, (1234.5, 31.4), ["1,234", "31"]),
        (450.0, (1234.5, 450.0), ["1,200", "400"]),
        (0.5, (-0.04, 0.5), ["0.0", "0.5"]),  # no minus
        (415_703.0, (1_273_456.0, 415_703.0), ["1,300,000", "400,000"]),
        (2e12, (3e12, 2e12), ["3e+12", "2e+12"]),
        (None, (0.12345,), ["0.1235"]),
        (0.0, (12.3456, 0.0), ["12.35", "0"]),
        (1e-14, (0.5, 1e-14), ["0.5000", "1e-14"]),
        (float("nan"), (2.0,), ["2"]),
    ],
)
def test_values_have_the_digits_that_their_error_leaves(
    error: float | None, values: tuple[float, ...], shown: list[str]
) -> None:
    assert rounded(error, *values) == shown
