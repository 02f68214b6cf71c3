import mmap
import sys

import pytest

from gan_cli import device


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_a_process_takes_is_told_apart_from_files() -> None:
    # Mapped, as an allocator that keeps memory may have room.
    before = device.resident()["memory/own_megabytes"]
    block = mmap.mmap(-1, 80_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.write(b"1" * len(block))
    after = device.resident()
    assert 70 < after["memory/own_megabytes"] - before < 120
    assert after["memory/files_megabytes"] > 1
    assert len(block) < device.total_memory() < 1 << 62


def test_cores_are_bounded_by_a_container_and_by_the_mask(monkeypatch, tmp_path) -> None:
    masked = set(range(8))
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: masked, raising=False)
    monkeypatch.setattr(device, "QUOTA", tmp_path / "cpu.max")
    assert device.cores() == 8  # no container
    for line, allowed in (("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)):
        device.QUOTA.write_text(line + "\n")
        assert device.cores() == allowed
    device.QUOTA.write_text("6400000 100000\n")
    assert device.cores() == 8
    masked -= {0, 1, 2}
    assert device.cores() == 5


def test_a_system_that_does_not_tell_has_no_such_curves(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(device, "STATUS", tmp_path / "none")
    assert device.resident() == {}
