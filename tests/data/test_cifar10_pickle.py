import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from cifar_pickles import ARRAY, array, batch, number, text

from gan_cli.data import cifar10_pickle
from gan_cli.data.cifar10_pickle import binary_form
from gan_cli.errors import DataError

HERE = Path("data_batch_1")


def records(count: int = 4) -> bytes:
    table = np.random.default_rng(0).integers(0, 256, (count, 3073)).astype(np.uint8)
    table[:, 0] = np.arange(count) % 10
    return table.tobytes()


def holding(data: bytes, labels: bytes = b"](K\x07e") -> bytes:
    """A batch of one image with these data and labels."""
    return b"\x80\x02}(" + text(b"labels") + labels + text(b"data") + data + b"u."


ONE = array(bytes(3072), (1, 3072))


def test_a_batch_for_python_becomes_the_binary_one() -> None:
    for count in (1, 300):
        written = batch(records(count))
        assert binary_form(written, HERE) == records(count)
        # The test's own writer writes what Python and numpy read.
        found = pickle.loads(written, encoding="bytes")
        assert found[b"data"].shape == (count, 3072)
        assert found[b"labels"] == [i % 10 for i in range(count)]


class Owned:
    done = False

    def __reduce__(self):
        return setattr, (Owned, "done", True)


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_is_run(protocol: int) -> None:
    for thing in (Owned(), {b"labels": [Owned()], b"data": Owned()}):
        with pytest.raises(DataError, match=r"data_batch_1: is not a batch of CIFAR-10 for Pytho"):
            binary_form(pickle.dumps(thing, protocol), HERE)
    assert not Owned.done


@pytest.mark.parametrize(
    "name", ["os\nsystem", "builtins\neval", "numpy\nload", "numpy\nfromfile", "_codecs\nencode"]
)
def test_names_of_other_functions_are_refused(name: str) -> None:
    content = b"\x80\x02c" + name.encode() + b"\n" + text(b"x") + b"\x85R."
    with pytest.raises(DataError, match=re.escape(f"it names {name.replace(chr(10), '.')}")):
        binary_form(content, HERE)


def nested(references: int) -> bytes:
    """A tuple of two of the same tuple, and so on: 2 ** references places in few bytes."""
    grown = b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(references)
    )
    return b"K\x01\x85q\x00" + grown


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "pickle exhausted before seeing STOP"),
        (b"nothing", "at position 0, opcode "),
        (batch(records())[:-1], "pickle exhausted before seeing STOP"),
        (b"\x80\x02}.", "KeyError"),
        (b"\x80\x02K\x01.", "TypeError"),
        (holding(text(bytes(3072))), "its data are not an array"),
        (holding(b"cnumpy\nndarray\n"), "its data are not an array"),
        (holding(ARRAY), "its data are not an array"),
        (holding(array(bytes(3072), (1, 3072), b"O8")), "not 3,072 bytes for each image"),
        (holding(array(bytes(3072), (1, 3071))), "not 3,072 bytes for each image"),
        (holding(array(bytes(3072), (60000, 3072))), "not 3,072 bytes for each image"),
        (holding(array(bytes(3072), (-1, 3072))), "not 3,072 bytes for each image"),
        (holding(ONE, b"](K\x0ae"), "not one number from 0 to 9 for each image"),
        (holding(ONE, b"](K\x01K\x01e"), "not one number from 0 to 9 for each image"),
        (holding(ONE, b"](" + text(b"1") + b"e"), "not one number from 0 to 9 for each image"),
        (holding(ONE, b"](]e"), "TypeError"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "longer or more nested than the published files"),
        (b"\x80\x02}" + nested(60) + b"Ns.", "longer or more nested than the published files"),
        (b"\x80\x02" + b"N" * 500_001 + b".", "longer or more nested than the published files"),
        (b"\x80\x04\x8e" + b"\xff" * 8, "bytes8 byte count > sys.maxsize"),
        (b"\x80\x02" + ARRAY + b"}" + text(b"a") + number(1) + b"sb.", "TypeError"),
    ],
    ids=range(21),
)
def test_other_pickles_are_refused_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        binary_form(content, HERE)
    said = str(caught.value)
    assert said.startswith("data_batch_1: is not a batch of CIFAR-10 for Python (")
    assert reason in said
    assert "\n" not in said


def test_a_file_that_is_too_large_is_not_looked_through(monkeypatch) -> None:
    monkeypatch.setattr(cifar10_pickle, "LARGEST", 100)
    with pytest.raises(DataError, match="bytes are too many"):
        binary_form(batch(records()), HERE)
