"""Curves are read as they grow."""

from __future__ import annotations

from pathlib import Path

from gan_cli.runs.curves import Curves


def test_only_what_is_new_and_whole_is_read(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    curves = Curves(file)
    assert curves.new() == []
    file.write_text('{"step": 1, "a": 2}\n{"step": 2', encoding="utf-8")
    assert curves.new() == [{"step": 1, "a": 2}]
    assert curves.new() == []
    with file.open("a", encoding="utf-8") as more:
        more.write(', "a": 3}\nbroken\n[]\n')
    assert curves.new() == [{"step": 2, "a": 3}]


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    file, other = tmp_path / "metrics.jsonl", tmp_path / "other"
    curves = Curves(file)
    file.write_text('{"step": 1}\n{"step": 2}\n', encoding="utf-8")
    assert len(curves.new()) == 2
    other.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n', encoding="utf-8")
    other.replace(file)
    assert [point["step"] for point in curves.new()] == [1, 2, 3]
    file.write_text('{"step": 9}\n', encoding="utf-8")  # cut, the same file
    assert [point["step"] for point in curves.new()] == [9]
