import sys

import pytest
import torch

from gan_cli import device


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_a_process_takes_is_told_apart_from_files() -> None:
    before = device.resident()["memory/own_megabytes"]
    block = torch.ones(20_000_000, dtype=torch.float32)  # 80 MB
    after = device.resident()
    assert 70 < after["memory/own_megabytes"] - before < 120
    assert after["memory/files_megabytes"] > 1
    assert block.nbytes < device.total_memory() < 1 << 62


def test_a_system_that_does_not_tell_has_no_such_curves(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(device, "STATUS", tmp_path / "none")
    assert device.resident() == {}
