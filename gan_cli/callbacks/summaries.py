"""What TensorBoard shows, as values of an event: scalars, pictures, histograms, text."""

# The classes of protobuf messages are made at import, where pyright cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from numpy import ndarray
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

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
    return Summary.Value(tag=tag, tensor=_strings(markdown.encode(), 1), metadata=_made_for("text"))


def layout(charts: Mapping[str, Mapping[str, Sequence[str]]]) -> Summary.Value:
    """The page of the Custom Scalars tab: section -> chart -> patterns of the tags drawn in it."""
    from tensorboard.plugins.custom_scalar import layout_pb2 as proto

    sections = [
        proto.Category(
            title=section,
            chart=[
                proto.Chart(title=title, multiline=proto.MultilineChartContent(tag=tags))
                for title, tags in contents.items()
            ],
        )
        for section, contents in charts.items()
    ]
    content = proto.Layout(category=sections).SerializeToString()
    return Summary.Value(
        tag="custom_scalars__config__",
        tensor=_strings(content),
        metadata=_made_for("custom_scalars"),
    )


def _strings(content: bytes, *shape: int) -> TensorProto:
    sizes = [TensorShapeProto.Dim(size=size) for size in shape]
    return TensorProto(
        dtype=DT_STRING, tensor_shape=TensorShapeProto(dim=sizes), string_val=[content]
    )


def _made_for(plugin: str, content: bytes = b"") -> SummaryMetadata:
    data = SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    return SummaryMetadata(plugin_data=data)
