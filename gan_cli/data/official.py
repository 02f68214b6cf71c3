"""Published data sets: `data.root` if it is given, else the cache, else the official mirrors.

Content is always checked against known hashes, so that a damaged file, or MNIST's files under
Fashion-MNIST's identical names, cannot be trained on by mistake.
"""

from __future__ import annotations

import hashlib
import logging
import tarfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gan_cli import atomic
from gan_cli.data.download import FetchError, Remote, cache_folder, fetch, unwritable
from gan_cli.data.idx import read_content
from gan_cli.data.lock import locked
from gan_cli.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A file of a published set, as it is read; it may lie compressed as `<name>.gz`."""

    name: str
    remote: Remote  # what to fetch for it: the file itself, or an archive that holds it
    sha256: str = ""  # of the decompressed bytes; where unknown, the remote's own bytes are checked

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

    def contents(self, part: str, root: str | None) -> list[tuple[Path, bytearray]]:
        """Path and verified bytes, decompressed, of each file of `part`.

        Raises:
            DataError: files are missing, damaged, or of another data set.
        """
        members = self.members[part]
        if root is not None:
            return self._from_root(members, Path(root).expanduser())
        return [self._from_cache(member, members) for member in members]

    def _from_root(self, members: Sequence[Member], root: Path) -> list[tuple[Path, bytearray]]:
        urls = _urls(members)
        if not root.is_dir():
            raise DataError(
                f"data.root = {root}: no such folder; {self.name} needs {_names(members)} from "
                f"{urls}, or leave data.root away to use the cache and the mirrors"
            )
        missing = [member for member in members if _find(member, root, self.homes) is None]
        archive = root / members[0].remote.name
        if missing and members[0].archived and archive.is_file():
            return self._from_archive(members, archive)
        if missing:
            raise DataError(
                f"data.root = {root}: no {_names(missing)} there; they come from {urls}; or "
                "leave data.root away to use the cache and the mirrors"
            )
        results = []
        for member in members:
            path = _find(member, root, self.homes)
            assert path is not None
            results.append((path, self._checked(member, path, read_content(path))))
        return results

    def _from_archive(self, members: Sequence[Member], path: Path) -> list[tuple[Path, bytearray]]:
        found = read_archive(path, [member.name for member in members])
        return [(path, self._checked(m, path, found.get(m.name, bytearray()))) for m in members]

    def _from_cache(self, member: Member, wanted: Sequence[Member]) -> tuple[Path, bytearray]:
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
                f"{self.name}: no {_names(wanted)} in {folder}, and no download: {reason}; put "
                f"the files there or into a folder that data.root names; they come from "
                f"{_urls(wanted)}"
            ) from reason
        except OSError as cause:
            raise unwritable(folder, cause) from cause

    def _fetched(self, member: Member, folder: Path) -> tuple[Path, bytearray]:
        fetched = fetch(member.remote, folder)
        if member.archived:
            names = {m.name for members in self.members.values() for m in members}
            for name, content in read_archive(fetched, names).items():
                atomic.write(folder / name, bytes(content), DataError)
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


def is_official(member: Member, path: Path, content: bytearray) -> bool:
    """Whether `content`, decompressed from `path`, is what was published."""
    if member.sha256:
        return hashlib.sha256(content).hexdigest() == member.sha256
    return hashlib.sha256(path.read_bytes()).hexdigest() == member.remote.sha256


def read_archive(path: Path, names: Collection[str]) -> dict[str, bytearray]:
    """Those of the files `names` that are in a .tar.gz, by name, wherever in it they lie.

    Raises:
        DataError: the archive is cut short or damaged.
    """
    found: dict[str, bytearray] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for entry in archive:
                name = PurePosixPath(entry.name).name
                file = archive.extractfile(entry) if name in names else None
                if file is not None:
                    found[name] = bytearray(file.read())
    except (tarfile.TarError, OSError, EOFError, zlib.error) as cause:
        raise DataError(f"{path}: damaged archive ({cause}); delete it and get it again") from cause
    return found


def _names(members: Sequence[Member]) -> str:
    return ", ".join(m.name if m.archived else m.remote.name for m in members)


def _urls(members: Sequence[Member]) -> str:
    return " ".join(dict.fromkeys(member.remote.urls[0] for member in members))


def _candidates(member: Member, folder: Path, homes: Sequence[str] = ()) -> list[Path]:
    """The files that may be `member`, the best first."""
    # Where only the packed file's hash is known, that one is preferred.
    endings = ("", ".gz") if member.sha256 else (".gz", "")
    paths = [folder / home / f"{member.name}{end}" for home in ("", *homes) for end in endings]
    return [path for path in paths if path.is_file()]


def _find(member: Member, folder: Path, homes: Sequence[str] = ()) -> Path | None:
    return next(iter(_candidates(member, folder, homes)), None)


def _find_good(member: Member, folder: Path) -> tuple[Path, bytearray] | None:
    for path in _candidates(member, folder):
        try:
            content = read_content(path)
            if is_official(member, path, content):
                return path, content
        except DataError as cause:
            log.info("%s", cause)
        log.warning("%s is damaged or of another data set, and is not used", path)
    return None
