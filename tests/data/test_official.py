import gzip
import hashlib
import io
import logging
import pickle
import re
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cifar_pickles import batch
from mirror import Mirror, serving
from test_idx import idx

from gan_cli.data import cifar10, fashion_mnist, kmnist
from gan_cli.data import published as published_module
from gan_cli.data.cifar10 import CIFAR10
from gan_cli.data.cifar10_pickle import binary_form
from gan_cli.data.fashion_mnist import FashionMNIST
from gan_cli.data.idx import load, paired
from gan_cli.data.kmnist import KMNIST
from gan_cli.data.mnist import FOLDER as MNIST_FOLDER
from gan_cli.data.published import Member, Published
from gan_cli.errors import DataError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
UNPACK = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10" / "unpack.py"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published_module, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving() as running:
        yield running


IMAGES = idx(torch.randint(256, (20, 28, 28), generator=torch.Generator().manual_seed(0)).byte())
LABELS = idx((torch.arange(20) % 10).byte())


def small(mirror: Mirror, known: bool, served: bool = True) -> Published:
    """A set in MNIST's form; `known`: whether the hash of the unpacked files is known."""

    def member(name: str, content: bytes) -> Member:
        packed = gzip.compress(content)
        make = mirror.remote if served else mirror.promised
        sha256 = hashlib.sha256(content).hexdigest() if known else ""
        return Member(name, make(f"{name}.gz", packed), sha256)

    members = (member("images", IMAGES), member("labels", LABELS))
    return Published("small", {"train": members, "test": members}, homes=("raw",))


@pytest.mark.parametrize("known", [True, False])
def test_downloaded_once_then_read_from_the_cache(mirror: Mirror, cache: Path, known: bool) -> None:
    published = small(mirror, known)
    for _ in range(2):
        images, labels = load(published, "train", None)
        assert (images.shape, images.dtype) == ((20, 1, 28, 28), torch.uint8)
        assert labels.tolist() == [*range(10), *range(10)]
    assert mirror.requests == ["/images.gz", "/labels.gz"]
    assert (cache / "small" / "images.gz").is_file()
    assert len(load(published, "all", None)[0]) == 40


def test_a_damaged_cache_is_fetched_again_and_said(mirror: Mirror, cache: Path, caplog) -> None:
    published = small(mirror, known=True)
    load(published, "train", None)
    damaged = cache / "small" / "images.gz"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    load(published, "train", None)
    assert f"{damaged} is damaged" in caplog.text
    assert mirror.requests == ["/images.gz", "/labels.gz", "/images.gz"]


@pytest.mark.parametrize("form", ["raw", "other gzip header"])
def test_files_put_into_the_cache_by_hand_are_used(mirror: Mirror, cache: Path, form: str) -> None:
    published = small(mirror, known=True, served=False)
    put(cache / "small", form)
    assert len(load(published, "train", None)[0]) == 20
    assert mirror.requests == []


def put(folder: Path, form: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in (("images", IMAGES), ("labels", LABELS)):
        if form == "raw":
            (folder / name).write_bytes(content)
        else:
            packed = gzip.compress(content, mtime=0, compresslevel=1)
            (folder / f"{name}.gz").write_bytes(packed)
    return folder


@pytest.mark.parametrize("below", ["", "raw"])
@pytest.mark.parametrize("form", ["raw", "other gzip header"])
def test_root_is_looked_into_and_nothing_fetched(
    mirror: Mirror, tmp_path: Path, form: str, below: str
) -> None:
    put(tmp_path / "root" / below, form)
    published = small(mirror, known=True)
    assert len(load(published, "train", str(tmp_path / "root"))[0]) == 20
    assert mirror.requests == []


def test_where_only_the_packed_hash_is_known_other_packings_are_refused(
    mirror: Mirror, tmp_path: Path
) -> None:
    published = small(mirror, known=False)
    root = put(tmp_path / "raw", "raw")
    with pytest.raises(DataError, match=r"raw/images: small can be checked only as images.gz"):
        load(published, "train", str(root))
    for name, content in mirror.files.items():
        (root / name[1:]).write_bytes(content)
    assert len(load(published, "train", str(root))[0]) == 20


def test_missing_files_in_root_are_named_and_not_fetched(mirror: Mirror, tmp_path: Path) -> None:
    published = small(mirror, known=True)
    root = put(tmp_path / "root", "raw")
    (root / "labels").unlink()
    message = (
        f"data.root = {root}: no labels.gz there; they come from {mirror.address}/images.gz "
        f"{mirror.address}/labels.gz; or remove data.root to use the cache and the mirrors"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        load(published, "train", str(root))
    with pytest.raises(DataError, match=r"data.root = .*nowhere: no such folder; small needs"):
        load(published, "train", str(tmp_path / "nowhere"))
    assert mirror.requests == []


def test_other_content_in_root_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    root = put(tmp_path / "root", "raw")
    (root / "images").write_bytes(IMAGES[:-1] + b"!")
    with pytest.raises(DataError, match=r"root/images: not small's images, but damaged or of an"):
        load(small(mirror, known=True), "train", str(root))


def test_without_a_network_the_error_is_one_line(mirror: Mirror, cache: Path) -> None:
    published = small(mirror, known=True, served=False)
    message = (
        f"small: no images.gz, labels.gz in {cache / 'small'}, and no download: "
        f"{mirror.address}/images.gz answered 404; put the files there or into a folder that "
        f"data.root names; they come from {mirror.address}/images.gz {mirror.address}/labels.gz"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        load(published, "train", None)


def test_a_cache_that_cannot_be_written_is_named(mirror: Mirror, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(DataError, match=r"cannot be written: .*GAN_CLI_CACHE"):
        load(small(mirror, known=True), "train", None)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(3, 28, 27), torch.zeros(3), "i: holds 3 x 28 x 27, not images of 28 x 28"),
        (torch.zeros(3, 28, 28), torch.zeros(2), "l: holds 2, not 3 labels of 0 to 9"),
        (torch.zeros(3, 28, 28), torch.full((3,), 10), "l: holds 3, not 3 labels of 0 to 9"),
        (torch.zeros(3, 28, 28), torch.zeros(3, 1), "l: holds 3 x 1, not 3 labels"),
    ],
)
def test_tables_that_do_not_belong_together(images, labels, message: str) -> None:
    tables = bytearray(idx(images.byte())), bytearray(idx(labels.byte()))
    with pytest.raises(DataError, match=message):
        paired(Path("i"), tables[0], Path("l"), tables[1])


# --- CIFAR-10, in small


def records(number: int) -> bytes:
    values = torch.randint(256, (4, 3073), generator=torch.Generator().manual_seed(number))
    values[:, 0] = torch.tensor([number, 0, 9, 5])
    return values.byte().numpy().tobytes()


BATCHES = {f"data_batch_{n}.bin": records(n) for n in range(1, 6)} | {"test_batch.bin": records(6)}


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in {"batches.meta.txt": b"names", **files}.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def small_cifar(mirror: Mirror, monkeypatch) -> bytes:
    archive = tar(BATCHES)
    remote = mirror.remote("cifar-10-binary.tar.gz", archive)

    def member(name: str) -> Member:
        sha256 = hashlib.sha256(BATCHES[name]).hexdigest()
        return Member(name, remote, sha256, name.removesuffix(".bin"), binary_form)

    members = {
        "train": tuple(member(f"data_batch_{n}.bin") for n in range(1, 6)),
        "test": (member("test_batch.bin"),),
    }
    published = replace(cifar10.PUBLISHED, members=members)
    monkeypatch.setattr(cifar10, "PUBLISHED", published)
    return archive


def test_cifar_is_fetched_unpacked_and_kept(
    small_cifar: bytes, mirror: Mirror, cache: Path, caplog
) -> None:
    caplog.set_level(logging.INFO)
    for split, size in (("train", 20), ("test", 4), ("all", 24)):
        assert CIFAR10(split).values.shape == (size, 3, 32, 32)
    assert mirror.requests == ["/cifar-10-binary.tar.gz"]
    assert "downloading" in caplog.text
    kept = {path.name for path in (cache / "cifar10").iterdir() if path.suffix != ".lock"}
    assert kept - {".lock"} == set(BATCHES)


def test_cifar_planes_and_labels_are_in_their_places(small_cifar: bytes) -> None:
    data = CIFAR10()
    record = BATCHES["data_batch_2.bin"][3073:6146]
    assert data.targets is not None
    assert data.targets[5] == record[0]
    assert data.values[5].flatten().tolist() == list(record[1:])
    assert data.spec.class_names[9] == "truck"


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar_files_in_root(small_cifar: bytes, mirror: Mirror, tmp_path: Path, below) -> None:
    folder = tmp_path / "root" / below
    folder.mkdir(parents=True)
    for name, content in BATCHES.items():
        (folder / name).write_bytes(content)
    assert len(CIFAR10("all", root=str(tmp_path / "root"))) == 24
    assert mirror.requests == []


PICKLES = {name.removesuffix(".bin"): batch(content) for name, content in BATCHES.items()}


@pytest.mark.parametrize("below", ["", *cifar10.PUBLISHED.homes[1:]])
def test_cifar_as_torchvision_and_keras_leave_it(
    small_cifar: bytes, mirror: Mirror, tmp_path: Path, below: str
) -> None:
    folder = tmp_path / "root" / below
    folder.mkdir(parents=True)
    for name, content in PICKLES.items():
        (folder / name).write_bytes(content)
    data = CIFAR10("all", root=str(tmp_path / "root"))
    assert mirror.requests == []
    assert torch.equal(data.values, CIFAR10("all").values)
    (folder / "data_batch_1").write_bytes(PICKLES["data_batch_2"])
    with pytest.raises(DataError, match=r"data_batch_1: not cifar10's data_batch_1.bin, but dam"):
        CIFAR10(root=str(tmp_path / "root"))
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"labels": Path}))
    with pytest.raises(DataError, match=r"data_batch_1: is not a batch of CIFAR-10 for Python"):
        CIFAR10(root=str(tmp_path / "root"))


@pytest.mark.parametrize("name", cifar10.PUBLISHED.archives)
def test_cifar_archives_of_torchvision_and_keras(
    small_cifar: bytes, mirror: Mirror, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(tar(PICKLES))
    assert len(CIFAR10("all", root=str(tmp_path))) == 24
    assert mirror.requests == []


def test_cifar_archive_in_root(small_cifar: bytes, mirror: Mirror, tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(small_cifar)
    assert torch.equal(CIFAR10("all", root=str(tmp_path)).values, CIFAR10("all").values)
    path.write_bytes(small_cifar[: len(small_cifar) // 2])
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: damaged archive"):
        CIFAR10(root=str(tmp_path))
    path.write_bytes(tar({"data_batch_1.bin": BATCHES["data_batch_1.bin"]}))
    with pytest.raises(DataError, match=r"not cifar10's data_batch_2.bin"):
        CIFAR10(root=str(tmp_path))


def test_cifar_archive_put_into_the_cache_by_hand(
    small_cifar: bytes, mirror: Mirror, cache: Path
) -> None:
    (cache / "cifar10").mkdir(parents=True)
    (cache / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(small_cifar)
    assert len(CIFAR10()) == 20
    assert mirror.requests == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are not records of 3,073 bytes"),
        (bytes(3072), "3,072 bytes are not records"),
        (bytes([10]) + bytes(3072), "a label is 10; it must be 0 to 9"),
    ],
)
def test_cifar_records_are_checked(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"a.bin: {message}"):
        cifar10.parse(bytearray(content), Path("a.bin"))


# --- the real files


def published_sets() -> list[Published]:
    return [fashion_mnist.PUBLISHED, kmnist.PUBLISHED, cifar10.PUBLISHED]


@pytest.mark.parametrize("published", published_sets(), ids=lambda published: published.name)
def test_descriptions_are_well_formed(published: Published) -> None:
    members = [member for part in published.members.values() for member in part]
    assert len({member.name for member in members}) == len(members)
    hashes = {member.remote.sha256 for member in members} | {m.sha256 for m in members} - {""}
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes)
    for member in members:
        assert member.remote.size > 5000
        assert all(url.endswith(f"/{member.remote.name}") for url in member.remote.urls)


@pytest.mark.parametrize("kind", [FashionMNIST, KMNIST])
def test_mnists_files_under_the_same_names_are_refused(kind) -> None:
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz: not .*of another data set"):
        kind("test", root=str(MNIST_FOLDER))


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"no {DEBIAN} (apt install dataset-fashion-mnist)")
def test_debians_fashion_mnist_works_as_root() -> None:
    data = FashionMNIST("all", root=str(DEBIAN))
    assert data.values.shape == (70000, 1, 28, 28)
    assert data.targets is not None
    assert data.targets.bincount().tolist() == [7000] * 10
    assert data.targets[:5].tolist() == [9, 0, 0, 3, 0]
    assert FashionMNIST("test", root=str(DEBIAN), size=32).spec.shape == (1, 32, 32)


@pytest.mark.slow
@pytest.mark.skipif(not UNPACK.is_file(), reason=f"no {UNPACK}, which rebuilds CIFAR-10")
def test_the_real_cifar_works_as_root(tmp_path: Path) -> None:
    subprocess.run([sys.executable, UNPACK, tmp_path], check=True, capture_output=True)
    data = CIFAR10("all", root=str(tmp_path))
    for path in (tmp_path / "cifar-10-batches-bin").iterdir():
        path.with_suffix("").write_bytes(batch(path.read_bytes()))
        path.unlink()
    assert torch.equal(CIFAR10("all", root=str(tmp_path)).values, data.values)
    assert data.values.shape == (60000, 3, 32, 32)
    assert data.targets is not None
    assert data.targets.bincount().tolist() == [6000] * 10
    assert data.targets[:3].tolist() == [6, 9, 9]  # frog, truck, truck
    mean = data.values[:50000].float().mean((0, 2, 3)) / 255
    assert mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)  # as published


@pytest.mark.parametrize("length", [0, 100, 2**27])
def test_a_gzip_bomb_does_not_fill_the_memory(length: int) -> None:
    packed = gzip.compress(bytes(1 << 26), 1)[:-4] + length.to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(DataError, match=r"damaged gzip file.*; get it again"):
        published_module.inflate(packed, Path("x.gz"))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One piece of 64 KB becomes at most 66 MB; a length that is too large is bounded by the ratio.
    assert most < (1 << 26) + (1 << 20) + min(length, len(packed) * 1040)


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(published_module, "LARGEST_ARCHIVE", 2 << 20)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("zeros")
        entry.size = 3 << 20
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    message = r"x\.tar\.gz: damaged archive \(unpacks to more than 2 MiB\); delete it"
    with pytest.raises(DataError, match=message):
        published_module.read_archive(tmp_path / "x.tar.gz", {"a"})


@pytest.mark.parametrize(("kind", "place"), [(tarfile.SYMTYPE, "a.bin"), (tarfile.LNKTYPE, "none")])
def test_links_in_an_archive_are_not_followed(tmp_path: Path, kind: bytes, place: str) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("a.bin")
        entry.type, entry.linkname = kind, place
        archive.addfile(entry)
    assert published_module.read_archive(tmp_path / "x.tar.gz", {"a.bin"}) == {}
