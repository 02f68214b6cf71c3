"""Text that others may have written: what is read, and that the rest is refused at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gan_cli import foreign
from gan_cli.errors import CheckpointError

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{n}: &{n} [{','.join([f'*{o}'] * 9)}]\n" for o, n in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {k: 1}\n" + "".join(
    f"{n}: &{n}\n  <<: [{','.join([f'*{o}'] * 9)}]\n"
    for o, n in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed: 2020-02-30", "day is out of range for month"),
        ("seed: 2020-02-03", "has a date, datetime.date(2020, 2, 3); write it in quotes"),
        ("seed: " + "9" * 5000, "has a number of 5,000 digits"),
        ("seed: " + "1:" * 200_000 + "1", "has a number of 400,001 digits"),
        ("seed: " + "9" * 100, "has a whole number of more than 64 bits"),
        ("seed: .inf", "has a number that is not finite, inf"),
        ("seed: &me [*me]", "has anchors or aliases; write the values out"),
        (BOMB, "has anchors or aliases"),
        (MERGE_BOMB, "has anchors or aliases"),
        ("[" * 900 + "]" * 900, "has more than 64 levels"),
        ("[" * 300_000, "has more than 64 levels"),  # libyaml's composer overflows the stack
        ("- " * 100_000 + "a", "has more than 64 levels"),
        ("a: !!python/name:os.system x", "has a tag, tag:yaml.org,2002:python/name:os.system"),
        ("a: !!timestamp x", "has a tag"),
        ("a: 1\n---\nb: 2", "found another document in line 2"),
        ("a: [", "is not YAML: did not find expected node content in line 2"),
        ("? [a]\n: b", "found unhashable key"),
        ("~: 1", "has a key that is not text, None"),
        ("a: \x00", "ReaderError"),
    ],
)
def test_yaml_beyond_the_bounds_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(CheckpointError) as error:
        foreign.parse_yaml(text, "config.yaml")
    assert str(error.value).startswith("config.yaml: cannot be read (")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"step": 1e999}', "has a number that is not finite, inf"),
        ("NaN", "has a number that is not finite, nan"),
        ("1" * 5000, "has a number that is too long)"),
        ("1" * 4000, "has a whole number of more than 64 bits"),
        ("[" * 900 + "]" * 900, "has more than 64 levels"),
        ("[" * 300_000, "has more than 64 levels"),
        ("{", "is not JSON: Expecting property name enclosed in double quotes in line 1"),
        (b"\xff", "UnicodeDecodeError"),
    ],
)
def test_json_beyond_the_bounds_is_refused_in_one_line(text: str | bytes, reason: str) -> None:
    with pytest.raises(CheckpointError) as error:
        foreign.parse_json(text, "status.json")
    assert str(error.value).startswith("status.json: cannot be read (")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_plain_values_are_read_as_they_are() -> None:
    assert foreign.parse_yaml("a: [1, 0.5, null, yes, 'x']\n2: {}", "x") == {
        "a": [1, 0.5, None, True, "x"],
        2: {},
    }
    assert foreign.parse_yaml("", "x") is None
    assert foreign.parse_yaml(f"a: {'x' * 5000}\nb: '{'1' * 5000}'", "x")["b"] == "1" * 5000
    assert foreign.parse_json('{"a": [18446744073709551615, "\\ud800"]}', "x") == {
        "a": [2**64 - 1, "\ud800"]
    }


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "text")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin").write_bytes(b"\xe9")
    reasons = {
        "link": "is a link",
        "zero": "is a link",
        "pipe": "is not a regular file",  # and nobody waits for who writes into it
        "folder": "is not a regular file",
        "latin": "is not UTF-8 text",
    }
    for name, reason in reasons.items():
        with pytest.raises(CheckpointError) as error:
            foreign.read_text(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: cannot be read ({reason})"
    with pytest.raises(CheckpointError, match="not a regular file"):
        foreign.read_text(Path("/dev/zero"))
    with pytest.raises(FileNotFoundError):
        foreign.read_text(tmp_path / "missing")
    assert foreign.read_text(tmp_path / "text") == "a"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="has more than 16,777,216 bytes"):
        foreign.read_text(sparse)
    sparse.write_bytes(b"12345")
    with pytest.raises(CheckpointError, match="has more than 4 bytes"):
        foreign.read_text(sparse, 4)


@pytest.mark.parametrize(
    "line", [b'{"step": 1e999}', b'{"step": -1}', b'{"step": true}', b"[1]", b"{", b"[" * 9999]
)
def test_a_line_that_is_no_point_of_a_curve_is_none(line: bytes) -> None:
    assert foreign.point(line) is None


def test_a_point_of_a_curve_holds_its_numbers_alone() -> None:
    line = b'{"step": 5, "a": 1, "b": "inf", "c": [1], "d": "x", "e": 1' + b"0" * 400 + b"}"
    assert foreign.point(line) == (5, {"a": 1.0, "b": float("inf")})
