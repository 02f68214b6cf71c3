import gzip
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gan_cli.data.assets.mnist import make
from gan_cli.data.mnist import FOLDER, MNIST
from gan_cli.errors import ConfigError


@pytest.fixture(scope="module")
def test_split() -> MNIST:
    return MNIST("test")


def test_shipped_files_are_the_originals_as_the_readme_states() -> None:
    readme = (FOLDER / "README.md").read_text()
    for name, expected in make.RAW_SHA256.items():
        stored = (FOLDER / f"{name}.gz").read_bytes()
        raw = gzip.decompress(stored)
        assert hashlib.sha256(raw).hexdigest() == expected
        for file, content in ((name, raw), (f"{name}.gz", stored)):
            row = f"| {file} | {len(content):,} | {hashlib.sha256(content).hexdigest()} |"
            assert row in readme


def test_shipped_gzip_headers_hold_no_name_and_no_time() -> None:
    for path in FOLDER.glob("*.gz"):
        header = path.read_bytes()[:8]
        assert header[3] == 0, path
        assert header[4:8] == bytes(4), path


def test_making_the_files_again_gives_the_same_content(tmp_path: Path, monkeypatch) -> None:
    labels = {name: sha for name, sha in make.RAW_SHA256.items() if "labels" in name}
    monkeypatch.setattr(make, "RAW_SHA256", labels)
    monkeypatch.setattr(make, "__file__", str(tmp_path / "packed" / "make.py"))
    (tmp_path / "packed").mkdir()
    for name in labels:
        (tmp_path / name).write_bytes(gzip.decompress((FOLDER / f"{name}.gz").read_bytes()))
    make.main(tmp_path)
    for name in labels:
        made = (tmp_path / "packed" / f"{name}.gz").read_bytes()
        assert gzip.decompress(made) == (tmp_path / name).read_bytes()
        assert made[4:8] == bytes(4)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"other")
    with pytest.raises(SystemExit, match="t10k-labels-idx1-ubyte: not the original MNIST file"):
        make.main(tmp_path)


def test_the_splits(test_split: MNIST) -> None:
    train, both = MNIST("train"), MNIST("all")
    assert train.values.shape == (60000, 1, 28, 28)
    assert test_split.values.shape == (10000, 1, 28, 28)
    assert torch.equal(both.values, torch.cat([train.values, test_split.values]))
    assert train.targets is not None
    assert train.targets[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # as published
    assert train.targets.bincount().tolist() == counts
    assert train.values.float().mean() / 255 == pytest.approx(0.1307, abs=5e-5)  # as published
    assert train.spec.classes == 10
    assert train.spec.name == "mnist"


def test_images_lie_in_minus_one_to_one(test_split: MNIST) -> None:
    real = test_split.real(torch.arange(100))
    assert real.shape == (100, 1, 28, 28)
    assert real.dtype == torch.float32
    assert (real.min(), real.max()) == (-1, 1)


def test_images_are_resized_to_the_given_size() -> None:
    assert MNIST("test", size=[20, 32]).spec.shape == (1, 20, 32)


def test_a_wrong_split_is_named() -> None:
    message = "data.split = tset: train, test or all is needed (did you mean test?)"
    with pytest.raises(ConfigError, match=re.escape(message)):
        MNIST("tset")


def test_importing_it_imports_nothing_that_it_does_not_need() -> None:
    code = "import sys, torch; before = set(sys.modules); import gan_cli.data.mnist; "
    code += "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(loaded.stdout.split()) - sys.stdlib_module_names == {"gan_cli"}
