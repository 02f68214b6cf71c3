from pathlib import Path

import pytest
import torch

from gan_cli.data.dataset import Rows
from gan_cli.errors import DataError

TABLE = torch.arange(5 * 12, dtype=torch.uint8).view(5, 3, 2, 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pixels"
    path.write_bytes(TABLE.numpy().tobytes())
    return path


def test_rows_come_in_the_order_of_their_places(file: Path) -> None:
    index = torch.tensor([4, 0, 0, 2])
    out = torch.empty(4, 3, 2, 2, dtype=torch.uint8)
    Rows(file, (3, 2, 2)).read(index, out)
    assert torch.equal(out, TABLE[index])


def test_a_file_truncated_while_in_use_is_an_error_that_names_it(file: Path) -> None:
    rows = Rows(file, (3, 2, 2))
    with file.open("r+b") as table:
        table.truncate(30)
    out = torch.empty(1, 3, 2, 2, dtype=torch.uint8)
    rows.read(torch.tensor([1]), out)
    with pytest.raises(DataError, match=r"pixels: ends before row 2: it was truncated"):
        rows.read(torch.tensor([2]), out)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: cannot be read: No such file"):
        Rows(tmp_path / "none", (1,))
