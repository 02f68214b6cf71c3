"""TensorBoard's event file: records of `Event` messages, each with two checksums.

TensorBoard's own writer hands records to a thread and computes checksums byte by byte in Python:
an error of the disk shows a record later or, at the end, never, and half a megabyte of picture
costs 40 ms during which no other thread runs. Here a record is written at once, so there is no
thread to fail unseen, with checksums by the C library.
"""

# The classes of protobuf messages are made at import, where pyright cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from gan_cli.callbacks.appending import AppendedFile


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


class EventFile:
    """A new event file in `folder`, in the TFRecord format.

    Args:
        folder: the run folder; TensorBoard reads its event files in the order of their names.
        first_step: what older files of the folder hold from this step on is void: a resumed run
            draws that part of its curves anew.

    Raises:
        UserError: (also from `add`) the file cannot be written, or was deleted meanwhile.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._file = AppendedFile(_later_than_all(folder))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        # The first such mark in a run is taken for its beginning, so every file needs one.
        log = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), step=first_step, session_log=log))

    def add(self, step: int, *values: Summary.Value) -> None:
        """Write `values` as one event."""
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Let go of the file; more than once does no harm."""
        self._file.close()

    def _write(self, event: Event) -> None:
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        self._file.append(length + _masked(length) + data + _masked(data))


def _later_than_all(folder: Path) -> Path:
    """A name that sorts behind those in `folder`, were two even made in one second."""
    taken = {path.name for path in folder.glob("events.out.tfevents.*")}
    second = int(time.time())
    while any(name >= f"events.out.tfevents.{second:010d}" for name in taken):
        second += 1
    return folder / f"events.out.tfevents.{second:010d}.{os.getpid()}"
