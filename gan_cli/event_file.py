"""TensorBoard's event file: records of `Event` messages, each with two checksums.

TensorBoard's own writer hands records to a thread and computes checksums byte by byte in Python:
an error of the disk shows a record later or, at the end, never, and half a megabyte of picture
costs 40 ms during which no other thread runs. Here a record is written at once, so there is no
thread to fail unseen, with checksums by the C library.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import google_crc32c
import numpy as np
from numpy import ndarray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from gan_cli.files import AppendedFile

# The classes of protobuf messages are made at import, where pyright cannot see them.
# pyright: reportAttributeAccessIssue=false


OWN_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})(?!\d)", re.ASCII)
LAST_SECOND = 10**10 - 1  # with ten digits, by which names sort


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
    found = (OWN_NAME.match(path.name) for path in folder.glob("events.out.tfevents.*"))
    latest = max((int(name[1]) for name in found if name is not None), default=0)
    second = min(max(int(time.time()), latest + 1), LAST_SECOND)
    return folder / f"events.out.tfevents.{second:010d}.{os.getpid()}"


BUCKETS = 30  # TensorBoard shows no more


def scalar(tag: str, value: float, description: str = "") -> Summary.Value:
    """A point of the curve `tag`; the description (Markdown) counts with the first one."""
    metadata = SummaryMetadata(summary_description=description) if description else None
    return Summary.Value(tag=tag, simple_value=value, metadata=metadata)


def picture(tag: str, pixels: ndarray, description: str = "") -> Summary.Value:
    """A uint8 picture [height, width, 1 or 3]."""
    from PIL.Image import fromarray

    height, width, channels = pixels.shape
    file = BytesIO()
    flat = np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels)
    # Level 6, the default, takes four times as long as 1 and saves a seventh.
    fromarray(flat).save(file, format="PNG", compress_level=1)
    image = Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue()
    )
    metadata = SummaryMetadata(summary_description=description) if description else None
    return Summary.Value(tag=tag, image=image, metadata=metadata)


def histogram(tag: str, values: ndarray) -> Summary.Value | None:
    """The distribution of the finite among `values` in equal buckets; None where there is none.

    Values that lie too close together for so many buckets share one.
    """
    values = values[np.isfinite(values)].astype(np.float64)
    if values.size == 0:
        return None
    try:
        counts, edges = np.histogram(values, bins=BUCKETS)
    except ValueError:
        edges = np.array([values.min(), np.nextafter(values.max(), np.inf)])
        counts = np.array([values.size])
    histo = HistogramProto(
        min=values.min(),
        max=values.max(),
        num=values.size,
        sum=values.sum(),
        sum_squares=np.square(values).sum(),
        bucket_limit=edges[1:].tolist(),
        bucket=counts.tolist(),
    )
    return Summary.Value(tag=tag, histo=histo)


def text(tag: str, markdown: str) -> Summary.Value:
    """A page of the Text tab."""
    words = TensorProto(
        dtype=DT_STRING,
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        string_val=[markdown.encode()],
    )
    made_for = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary.Value(tag=tag, tensor=words, metadata=made_for)


YAML = {None: "null", True: "true", False: "false"}  # as in config.yaml


def session_start(settings: Mapping[str, object], started: float) -> Summary.Value:
    """The run's row; `started` in seconds since 1970."""
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=started)
    for name, value in settings.items():
        # A column is of one kind for all runs, so all but plain numbers are words.
        if isinstance(value, int | float) and not isinstance(value, bool):
            info.hparams[name].number_value = value
        elif value is None or isinstance(value, bool):
            info.hparams[name].string_value = YAML[value]
        else:
            info.hparams[name].string_value = str(value)
    return _value("session_start_info", plugin_data_pb2.HParamsPluginData(session_start_info=info))


def session_end(ended: float) -> Summary.Value:
    """The run's row is final: it succeeded."""
    info = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=ended)
    return _value("session_end_info", plugin_data_pb2.HParamsPluginData(session_end_info=info))


def _value(name: str, content: plugin_data_pb2.HParamsPluginData) -> Summary.Value:
    data = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    empty = TensorProto(
        dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)])
    )
    return Summary.Value(
        tag=f"_hparams_/{name}", tensor=empty, metadata=SummaryMetadata(plugin_data=data)
    )
