"""Sentences: files of text, the grammar, and the oracle."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import pytest
import torch

from gan_cli.data.text import UNKNOWN, Oracle, OracleLSTM, Text, grammar, grammatical
from gan_cli.errors import ConfigError, DataError


def sentence(data: Text, row: int) -> str:
    symbols = [data.spec.vocabulary[index] for index in data.values[row].tolist()]
    return data.spec.separator.join(symbol for symbol in symbols if symbol)


def test_lines_are_cut_and_filled_up(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    file.write_text("ab  cd\n\nabcdefgh\n")
    data = Text(str(file), length=6, split="all")
    assert data.spec.name == "corpus"
    assert [sentence(data, 0), sentence(data, 1)] == ["ab cd", "abcdef"]
    assert data.values[0, 5] == 0
    assert data.spec.vocabulary[0] == ""


def test_lines_that_are_cut_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "some.txt"
    file.write_text("abc\nabcd\nabcde\n" * 5)
    caplog.set_level(logging.INFO)
    Text(str(file), length=3)
    (said,) = caplog.messages
    assert said.endswith("10 of 15 lines are longer than data.length = 3 and are cut")
    caplog.clear()
    Text(str(file), length=5)
    assert caplog.messages == []


def test_rare_words_are_unknown(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    file.write_text("the cat sat\nthe dog sat\n")
    data = Text(str(file), level="words", length=3, most=2, split="all")
    assert sentence(data, 0) == f"the {UNKNOWN} sat"


def test_a_vocabulary_is_of_what_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    file.write_text(f"the {UNKNOWN} sat\nthe dog sat zoo\n", encoding="utf-8-sig")
    data = Text(str(file), level="words", length=3, split="all")
    assert data.spec.vocabulary == ("", UNKNOWN, "dog", "sat", "the")


def test_a_stream_is_cut_into_pieces(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    file.write_text("one two\nthree four five\n")
    data = Text(str(file), level="words", length=2, form="stream", split="all")
    assert [sentence(data, row) for row in range(len(data))] == ["one two", "three four"]


def test_every_tenth_sentence_is_held_out() -> None:
    train, test = Text(split="train"), Text(split="test")
    assert (len(train), len(test)) == (18000, 2000)
    assert train.spec.vocabulary == test.spec.vocabulary


def test_the_grammar_recognises_its_sentences() -> None:
    sentences = grammar(300)
    assert all(map(grammatical, sentences))
    assert len(set(sentences)) > 200
    for wrong in (
        "",
        "the cat sleeps",
        "cat sleeps .",
        "the cat the cat .",
        "the blue cat sleeps .",
    ):
        assert not grammatical(wrong)


class TestOracle:
    def test_its_law_sums_to_1_and_its_samples_follow_it(self) -> None:
        oracle = Oracle(3, 4, torch.Generator().manual_seed(1))
        every = torch.tensor(list(itertools.product(range(3), repeat=3)))
        law = oracle.log_prob(every).exp()
        assert law.sum().item() == pytest.approx(1.0, abs=1e-5)
        drawn = oracle.sample(20000, 3, torch.Generator().manual_seed(2))
        counts = (drawn @ torch.tensor([9, 3, 1])).bincount(minlength=27) / 20000
        torch.testing.assert_close(counts, law, atol=0.015, rtol=0)

    def test_train_and_test_are_drawn_apart_from_one_law(self) -> None:
        train, test = OracleLSTM(20, 5, 500), OracleLSTM(20, 5, 500, split="test")
        assert not torch.equal(train.values, test.values)
        logs = [data.log_density(data.values).mean().item() for data in (train, test)]
        assert logs[0] == pytest.approx(logs[1], abs=0.5)
        again = OracleLSTM(20, 5, 500)
        assert torch.equal(train.values, again.values)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"caf\xe9", {}, r"is not UTF-8 text \(byte 3 is unknown\)"),
        ("café".encode("utf-16"), {}, "convert it, as by iconv -f utf-16 -t utf8"),
        (b" \n\n", {}, "holds no text"),
        (b"one two", {"form": "stream", "length": 20}, "holds 7 characters, fewer than one sente"),
        (b"abc", {"split": "test"}, "1 lines leave no sentence for test"),
    ],
)
def test_what_is_no_text_is_refused(
    content: bytes, settings: dict, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "corpus.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        Text(str(file), **settings)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe\.txt: cannot be read: not a regular file"):
        Text(str(tmp_path / "pipe.txt"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        Text(str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "bytes"}, "data.level = bytes: must be characters or words"),
        ({"form": "book"}, "data.form = book: must be lines or stream"),
        ({"length": 1}, "data.length = 1: must be at least 2"),
    ],
)
def test_settings_that_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Text(**settings)
