"""TensorBoard's HParams table: one row per run, settings beside the last values of its curves.

Nothing here names the table's columns. Where a run does, TensorBoard takes those of the first run
that it finds for all, and what only other models have is missing; where none does, it takes all
settings and curves of all runs, and puts the settings that differ first.
"""

# The classes of protobuf messages are made at import, where pyright cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

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
