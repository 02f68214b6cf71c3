import gzip
import struct
from pathlib import Path

import pytest
import torch

from gan_cli.data.idx import read_idx
from gan_cli.errors import DataError


def idx(table: torch.Tensor) -> bytes:
    header = struct.pack(f">HBB{table.ndim}I", 0, 8, table.ndim, *table.shape)
    return header + table.numpy().tobytes()


TABLE = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_what_was_written(tmp_path: Path, pack) -> None:
    path = tmp_path / "table"
    path.write_bytes(pack(idx(TABLE)))
    assert torch.equal(read_idx(path), TABLE)


def test_large_gzip_is_read_piece_by_piece(tmp_path: Path) -> None:
    table = torch.randint(256, (1000, 400), generator=torch.Generator().manual_seed(0)).byte()
    path = tmp_path / "table.gz"
    path.write_bytes(gzip.compress(idx(table)))
    assert torch.equal(read_idx(path), table)


GOOD = idx(TABLE)
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an idx file"),
        (b"\0\0", "not an idx file"),
        (b"<html>not found</html>", "not an idx file"),
        (GOOD[:2] + b"\x0d" + GOOD[3:], "not an idx file of unsigned bytes"),
        (GOOD[:8], "not an idx file"),
        (b"\0\0\x08\xff" + bytes([0, 0, 0, 1]) * 255 + b"\0", "not an idx file"),
        (GOOD[:-1], "23 bytes of data, but its header states 2 x 3 x 4"),
        (GOOD + b"x", "25 bytes of data"),
        (struct.pack(">HBBI", 0, 8, 1, 0), "is empty"),
        (b"\x1f\x8b", "incomplete or damaged gzip file"),
        (PACKED[:-9], "incomplete or damaged gzip file"),
        (PACKED + b"tail", "incomplete or damaged gzip file"),
        (PACKED[:-5] + b"\x01" + PACKED[-4:], "damaged gzip file"),  # its checksum
        (PACKED[:12] + b"\xff\xff" + PACKED[14:], "damaged gzip file"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "some-idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: cannot be read: No such file"):
        read_idx(tmp_path / "nowhere")
