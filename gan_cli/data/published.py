"""Published data sets: `data.root` if it is given, else the cache, else the official mirrors.

Content is always checked against known hashes, so that a damaged file, or MNIST's files under
Fashion-MNIST's identical names, cannot be trained on by mistake.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import tarfile
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from gan_cli import files
from gan_cli.console import ignore, progress_bar
from gan_cli.data.scan import read_file
from gan_cli.errors import ConfigError, DataError
from gan_cli.files import locked
from gan_cli.formatting import user_path

GZIP_MAGIC = b"\x1f\x8b"
LARGEST_RATIO = 1040  # of deflate, so that a forged length allocates nothing absurd
ROUNDS = 3  # how often all mirrors are tried
PAUSE = 1.0  # seconds before the second round, twice that before the third
TIMEOUT = 20.0  # seconds without an answer


@dataclass(frozen=True)
class Remote:
    """A file on official mirrors."""

    name: str
    size: int  # bytes
    sha256: str  # of the file as the mirrors hold it
    urls: tuple[str, ...]  # in the order in which they are tried


def cache_folder() -> Path:
    """The folder of downloaded and prepared data: $GAN_CLI_CACHE, else the user's cache folder."""
    chosen = os.environ.get("GAN_CLI_CACHE")
    if chosen:
        return user_path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("gan-cli")


def unwritable(folder: Path, cause: OSError) -> DataError:
    """The error for a cache that cannot be written."""
    return DataError(
        f"{folder}: cannot be written: {cause.strerror or cause}; free space or permissions, or "
        "choose another cache folder with the variable GAN_CLI_CACHE"
    )


class FetchError(Exception):
    """No mirror delivered the file; the message is the reason, in a few words."""


def fetch(remote: Remote, folder: Path) -> Path:
    """Download `remote` into `folder`, checked, unless it is there; return its path.

    Raises:
        FetchError: no mirror could be reached, or none had the right bytes.
        OSError: the folder cannot be written.
    """
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel(logging.WARNING)
    reason = "no mirror is known"
    for attempt in range(ROUNDS):
        time.sleep(PAUSE * attempt)
        for url in remote.urls:
            try:
                with progress_bar(remote.name, remote.size, in_bytes=True) as advance:
                    what = f"{url} ({remote.size / 1e6:.1f} MB)"
                    bar: Any = _Bar(advance, what)  # pooch's types know its own bar only
                    downloader: Any = pooch.HTTPDownloader(
                        progressbar=bar, timeout=TIMEOUT, headers=_PLAIN
                    )
                    path = pooch.retrieve(
                        url, f"sha256:{remote.sha256}", remote.name, folder, downloader=downloader
                    )
                return Path(path)
            except RequestException as cause:
                reason = _in_short(cause, url)
            except ValueError:
                reason = f"{url} sent another file than the official one (its sha256 differs)"
            log.debug("%s", reason)
    raise FetchError(reason)


# The files are compressed already, and their hashes are of the bytes as they lie on the mirror.
_PLAIN = {"Accept-Encoding": "identity"}


class _Bar:
    """The progress bar's interface as pooch expects it. Ours closes by itself."""

    def __init__(self, advance: Callable[[int], None], what: str) -> None:
        self.total = 0  # pooch sets it
        self.update = self._first
        self._advance, self._what = advance, what

    def _first(self, count: int) -> None:
        # Logged once data arrives, so that without a network the error is the only message.
        log.info("downloading %s", self._what)
        self.update = self._advance
        self._advance(count)

    def reset(self) -> None:
        """Ignore later updates: pooch would fill the bar a second time."""
        self.update = ignore

    def close(self) -> None:
        """Nothing to do."""


def _in_short(cause: Exception, url: str) -> str:
    from requests import exceptions

    host = url.split("/")[2]
    if isinstance(cause, exceptions.HTTPError) and cause.response is not None:
        return f"{url} answered {cause.response.status_code}"
    if isinstance(cause, exceptions.Timeout):
        return f"{host} did not answer within {TIMEOUT:g} s"
    if isinstance(cause, exceptions.ConnectionError):
        return f"{host} cannot be reached"
    return f"{url}: {type(cause).__name__}"


log = logging.getLogger(__name__)

LARGEST_CONTENT = 1 << 28  # bytes of a file, unpacked; MNIST's images have 47 million
TOO_LARGE = f"has more than {LARGEST_CONTENT >> 20} MiB, which no file of these sets has"
LARGEST = 1 << 25  # bytes of a file in an archive; those of CIFAR-10 have 31 million
LARGEST_ARCHIVE = 1 << 28  # bytes of an unpacked archive; that of CIFAR-10 has 186 million


@dataclass(frozen=True)
class Member:
    """A file of a published set, as it is read; it may lie compressed as `<name>.gz`."""

    name: str
    remote: Remote  # the file itself, or an archive that holds it
    sha256: str = ""  # of the decompressed bytes; where unknown, the remote's own bytes are checked
    other: str = ""  # name of the same file in another form, as other programs keep it
    convert: Callable[[bytearray, Path], bytearray] | None = None  # from that form

    def read(self, path: Path) -> bytearray:
        """The file's bytes, decompressed and in its own form.

        Raises:
            DataError: it cannot be read.
        """
        return self.own_form(path.name.removesuffix(".gz"), read_content(path), path)

    def own_form(self, name: str, content: bytearray, path: Path) -> bytearray:
        """The bytes of a file `name`, converted where that is the other form."""
        other = self.convert is not None and name == self.other
        return self.convert(content, path) if other and self.convert else content

    @property
    def archived(self) -> bool:
        """Whether `remote` is an archive of several files."""
        return self.remote.name.endswith(".tar.gz")


@dataclass(frozen=True)
class Published:
    """A published data set."""

    name: str  # also of its folder in the cache
    members: dict[str, tuple[Member, ...]]  # by split
    homes: tuple[str, ...]  # folders below data.root in which other programs keep these files
    archives: tuple[str, ...] = ()  # further ones that may lie in data.root, with the other form

    def contents(self, part: str, root: str | None) -> list[tuple[Path, bytearray]]:
        """Path and verified bytes, decompressed, of each file of `part`.

        Raises:
            DataError: files are missing, damaged, or of another data set.
        """
        members = self.members[part]
        if root is not None:
            return self._from_root(members, user_path(root))
        return [self._from_cache(member, members) for member in members]

    def _from_root(self, members: Sequence[Member], root: Path) -> list[tuple[Path, bytearray]]:
        urls = _urls(members)
        if not root.is_dir():
            raise DataError(
                f"data.root = {root}: no such folder; {self.name} needs {_names(members)} from "
                f"{urls}, or remove data.root to use the cache and the mirrors"
            )
        missing = [member for member in members if _find(member, root, self.homes) is None]
        names = (members[0].remote.name, *self.archives) if members[0].archived else ()
        archive = next((root / name for name in names if (root / name).is_file()), None)
        if missing and archive is not None:
            return self._from_archive(members, archive)
        if missing:
            raise DataError(
                f"data.root = {root}: no {_names(missing)} there; they come from {urls}; or "
                "remove data.root to use the cache and the mirrors"
            )
        results = []
        for member in members:
            path = _find(member, root, self.homes)
            assert path is not None
            results.append((path, self._checked(member, path, member.read(path))))
        return results

    def _from_archive(self, members: Sequence[Member], path: Path) -> list[tuple[Path, bytearray]]:
        found = read_archive(path, {name for m in members for name in (m.name, m.other) if name})

        def content(member: Member) -> bytearray:
            names = [name for name in (member.name, member.other) if name in found]
            return member.own_form(names[0], found[names[0]], path) if names else bytearray()

        return [(path, self._checked(member, path, content(member))) for member in members]

    def _from_cache(self, member: Member, members: Sequence[Member]) -> tuple[Path, bytearray]:
        folder = cache_folder() / self.name
        found = _find_good(member, folder)
        if found is not None:
            return found
        try:
            with locked(folder / ".lock", f"downloads {self.name}"):
                found = _find_good(member, folder)  # another process may have fetched it meanwhile
                return found or self._fetched(member, folder)
        except FetchError as reason:
            raise DataError(
                f"{self.name}: no {_names(members)} in {folder}, and no download: {reason}; put "
                f"the files there or into a folder that data.root names; they come from "
                f"{_urls(members)}"
            ) from reason
        except OSError as cause:
            raise unwritable(folder, cause) from cause

    def _fetched(self, member: Member, folder: Path) -> tuple[Path, bytearray]:
        fetched = fetch(member.remote, folder)
        if member.archived:
            names = {m.name for members in self.members.values() for m in members}
            for name, content in read_archive(fetched, names).items():
                files.write(folder / name, bytes(content), DataError)
            fetched.unlink()
            fetched = folder / member.name
        return fetched, self._checked(member, fetched, read_content(fetched))

    def _checked(self, member: Member, path: Path, content: bytearray) -> bytearray:
        if not is_official(member, path, content):
            if not member.sha256 and path.name != member.remote.name:
                raise DataError(
                    f"{path}: {self.name} can be checked only as {member.remote.name}, which comes "
                    f"from {member.remote.urls[0]}; put that there"
                )
            raise DataError(
                f"{path}: not {self.name}'s {member.name}, but damaged or of another data set; "
                f"the official one comes from {member.remote.urls[0]}"
            )
        return content


def read_content(path: Path) -> bytearray:
    """The bytes of a file, decompressed where it is gzip.

    Raises:
        DataError: the file cannot be read, or its compressed stream is cut short or damaged.
    """
    try:
        stored = read_file(path, LARGEST_CONTENT + 1)
    except OSError as cause:
        raise DataError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    if len(stored) > LARGEST_CONTENT:
        raise DataError(f"{path}: {TOO_LARGE}")
    return inflate(stored, path) if stored[:2] == GZIP_MAGIC else bytearray(stored)


def inflate(stored: bytes, path: Path) -> bytearray:
    """Decompress one gzip stream; its checksum and length are checked."""
    (length,) = struct.unpack("<I", stored[-4:].rjust(4, b"\0"))
    room = min(length, len(stored) * LARGEST_RATIO, LARGEST_CONTENT)
    content, filled = bytearray(room), 0
    stream, source = zlib.decompressobj(wbits=31), memoryview(stored)
    try:
        # In pieces: each is copied into place while it is in the CPU's cache.
        for start in range(0, len(source), 1 << 16):
            piece = stream.decompress(source[start : start + (1 << 16)])
            content[filled : filled + len(piece)] = piece
            filled += len(piece)
            if filled > room:  # else a small file could fill the memory
                break
    except zlib.error as cause:
        raise DataError(f"{path}: damaged gzip file ({cause}); get it again") from cause
    if filled > LARGEST_CONTENT:
        raise DataError(f"{path}: {TOO_LARGE}")
    if not stream.eof or stream.unused_data or filled != len(content):
        raise DataError(f"{path}: incomplete or damaged gzip file; get it again")
    return content


def is_official(member: Member, path: Path, content: bytearray) -> bool:
    """Whether `content`, decompressed from `path`, is the published file."""
    if member.sha256:
        return hashlib.sha256(content).hexdigest() == member.sha256
    return hashlib.sha256(path.read_bytes()).hexdigest() == member.remote.sha256


def read_archive(path: Path, names: Collection[str]) -> dict[str, bytearray]:
    """The files `names` of a .tar.gz, by name, in any folder of it.

    Raises:
        DataError: the archive is cut short or damaged.
    """
    found: dict[str, bytearray] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for entry in archive:
                if entry.offset_data + entry.size > LARGEST_ARCHIVE:
                    raise tarfile.TarError(f"unpacks to more than {LARGEST_ARCHIVE >> 20} MiB")
                name = PurePosixPath(entry.name).name
                file = archive.extractfile(entry) if name in names and entry.isreg() else None
                if file is not None and entry.size <= LARGEST:
                    found[name] = bytearray(file.read())
    except Exception as cause:  # foreign bytes can fail in any way
        reason = " ".join(str(cause).split())[:100]
        raise DataError(
            f"{path}: damaged archive ({reason}); delete it and get it again"
        ) from cause
    return found


def _names(members: Sequence[Member]) -> str:
    return ", ".join(m.name if m.archived else m.remote.name for m in members)


def _urls(members: Sequence[Member]) -> str:
    return " ".join(dict.fromkeys(member.remote.urls[0] for member in members))


def _candidates(member: Member, folder: Path, homes: Sequence[str] = ()) -> list[Path]:
    """The existing files that may be `member`, in order of preference."""
    # The packed file comes first where only its hash is known.
    endings = ("", ".gz") if member.sha256 else (".gz", "")
    places = [folder / home for home in ("", *homes)]
    paths = [place / f"{member.name}{end}" for place in places for end in endings]
    paths += [place / member.other for place in places if member.other]
    return [path for path in paths if path.is_file()]


def _find(member: Member, folder: Path, homes: Sequence[str] = ()) -> Path | None:
    return next(iter(_candidates(member, folder, homes)), None)


def _find_good(member: Member, folder: Path) -> tuple[Path, bytearray] | None:
    for path in _candidates(member, folder):
        try:
            content = member.read(path)
            if is_official(member, path, content):
                return path, content
        except DataError as cause:
            log.info("%s", cause)
        log.warning("%s is damaged or of another data set, and is not used", path)
    return None


SPLITS = ("train", "test", "all")


def parts(split: str) -> tuple[str, ...]:
    """The parts, "train" and "test", that make up `data.split`, in order.

    Raises:
        ConfigError: it is none of train, test and all.
    """
    check_split(split)
    return ("train", "test") if split == "all" else (split,)


def check_split(split: str) -> None:
    """Check that `split` is train, test or all.

    Raises:
        ConfigError: it is none of them.
    """
    if split not in SPLITS:
        close = get_close_matches(str(split), SPLITS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"data.split = {split}: train, test or all is needed{hint}")


def joined(tables: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Several (images, labels) as one; labels become int64."""
    images, labels = zip(*tables, strict=True)
    if len(tables) == 1:
        return images[0], labels[0].long()
    return torch.cat(images), torch.cat(labels).long()
