"""Files that grow while others read them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gan_cli.atomic import appending, cannot_write


class AppendedFile:
    """A file to which whole records are appended; each is with the operating system at once.

    Nothing waits in memory, so a killed process leaves all its records, and a full disk shows at
    the very call that meets it.

    Raises:
        UserError: (also from `append`) the file cannot be written, or was deleted meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.fdopen(appending(path), "ab", buffering=0)
        except OSError as cause:
            raise cannot_write(path, cause) from cause

    def append(self, record: bytes) -> None:
        """Write `record` at the end."""
        try:
            rest = memoryview(record)
            while rest:  # a disk that fills up takes a part, and refuses the next
                rest = rest[self._file.write(rest) or 0 :]
            # A deleted file swallows what is written; its readers would see a curve that stops.
            if os.name == "posix" and os.fstat(self._file.fileno()).st_nlink == 0:
                raise OSError(errno.ENOENT, "deleted while the run was writing to it")
        except OSError as cause:
            raise cannot_write(self.path, cause) from cause

    def close(self) -> None:
        """Let go of the file; more than once does no harm."""
        self._file.close()
