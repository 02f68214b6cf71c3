"""What is fetched ahead is what would be fetched, and its errors come in their turn."""

import threading
from pathlib import Path

import pytest
import torch

from gan_cli.data import dataset
from gan_cli.data.dataset import Dataset, Rows
from gan_cli.data.stream import Prefetch, Stream
from gan_cli.errors import DataError


class Mapped(Dataset):
    """`size` images in a file, each of one value."""

    def __init__(self, path: Path, size: int) -> None:
        table = torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2)
        path.write_bytes(table.numpy().tobytes())
        super().__init__("mapped", table, rows=Rows(path, (1, 2, 2)))


@pytest.fixture
def small_machine(monkeypatch) -> None:
    """A machine whose memory no table fits into."""
    monkeypatch.setattr(dataset, "total_memory", lambda: 0)


@pytest.mark.usefixtures("small_machine")
@pytest.mark.parametrize("batch", [3, 10, 25])
def test_batches_are_those_of_a_table_in_memory_in_any_order(tmp_path: Path, batch: int) -> None:
    data = Mapped(tmp_path / "pixels", 20)
    assert data.distant
    plain = Dataset.__new__(Mapped)
    Dataset.__init__(plain, "mapped", data.values)
    assert plain.resident
    ahead, here = Stream(data, batch, seed=1), Stream(plain, batch, seed=1)
    for k in (0, 1, 2, 3, 3, 9, 4, 40, 41):
        assert torch.equal(ahead.batch(k).real, here.batch(k).real)
        assert torch.equal(ahead.batch(k).index, here.batch(k).index)


@pytest.mark.usefixtures("small_machine")
def test_an_error_is_raised_by_the_call_for_its_batch(tmp_path: Path) -> None:
    data = Mapped(tmp_path / "pixels", 20)
    stream = Stream(data, 1, seed=0)
    broken = int(stream.index(2))
    row = max(broken, 1)
    last = next(k for k in range(20) if int(stream.index(k)) >= row)
    with (tmp_path / "pixels").open("r+b") as file:
        file.truncate(4 * row)
    for k in range(last):
        assert stream.batch(k).real.shape == (1, 1, 2, 2)
    with pytest.raises(DataError, match="truncated while in use"):
        _ = stream.batch(last).real


def test_a_table_that_fits_has_no_thread(tmp_path: Path) -> None:
    data = Mapped(tmp_path / "pixels", 4)
    assert not data.distant
    before = threading.active_count()
    _ = Stream(data, 2, seed=0).batch(0).real
    assert threading.active_count() == before


def test_work_runs_ahead_on_another_thread() -> None:
    begun = [threading.Event() for _ in range(4)]
    where = []

    def work(k: int) -> int:
        where.append(threading.get_ident())
        begun[k].set()
        return k

    prefetch = Prefetch(work, ahead=2)
    assert prefetch(0) == 0
    assert begun[2].wait(60)  # before any request for it
    assert threading.get_ident() not in where
    assert not begun[3].is_set()
