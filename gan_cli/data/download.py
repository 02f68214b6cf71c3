"""Files of official mirrors: kept in the user's cache, fetched once, checked against their hash."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_cli.data.progress import ignore, progress_bar
from gan_cli.errors import DataError

log = logging.getLogger(__name__)

ROUNDS = 3  # how often all mirrors are tried
PAUSE = 1.0  # seconds before the second round, twice that before the third
TIMEOUT = 20.0  # seconds without an answer


@dataclass(frozen=True)
class Remote:
    """A file that official mirrors hold."""

    name: str
    size: int  # bytes
    sha256: str  # of the file as the mirrors hold it
    urls: tuple[str, ...]  # in the order in which they are tried


def cache_folder() -> Path:
    """Where fetched and prepared data is kept: $GAN_CLI_CACHE, else the user's cache folder."""
    chosen = os.environ.get("GAN_CLI_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("gan-cli")


def unwritable(folder: Path, cause: OSError) -> DataError:
    """The one line for a cache that cannot be written."""
    return DataError(
        f"{folder}: cannot be written: {cause.strerror or cause}; free space or permissions, or "
        "choose another cache folder with the variable GAN_CLI_CACHE"
    )


class FetchError(Exception):
    """No mirror gave the file; the message says why, in a few words."""


def fetch(remote: Remote, folder: Path) -> Path:
    """Put `remote` into `folder`, whole and checked, and say where; a good one there is kept.

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
                reason = f"what {url} sent is not the official file (its sha256 differs)"
            log.debug("%s", reason)
    raise FetchError(reason)


# The files are compressed already, and their hashes are of the bytes as they lie on the mirror.
_PLAIN = {"Accept-Encoding": "identity"}


class _Bar:
    """What pooch wants of a progress bar. Ours closes by itself."""

    def __init__(self, advance: Callable[[int], None], what: str) -> None:
        self.total = 0  # pooch sets it
        self.update = self._first
        self._advance, self._what = advance, what

    def _first(self, count: int) -> None:
        # Said only now that something comes: with no network there is the error alone.
        log.info("downloading %s", self._what)
        self.update = self._advance
        self._advance(count)

    def reset(self) -> None:
        """The file is there: what pooch adds from here on would fill the bar a second time."""
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
