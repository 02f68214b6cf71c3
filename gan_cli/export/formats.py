"""Networks as files that load without this program: ONNX and torch.export, checked when written."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli import files
from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import one_line
from gan_cli.export.networks import Network
from gan_cli.formatting import needs

TOLERANCE = 1e-4  # of the largest output, or absolute where outputs are below 1
BATCHES = (1, 3, 16)  # sizes that are checked; what is traced has yet another
TRACED = 4
LONGEST = 200  # characters of another program's error
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # in torch's messages
LOUD = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
Run = Callable[[tuple[Tensor, ...]], Tensor]


class UnfitError(UserError):
    """A format cannot hold a network."""


@dataclass(frozen=True)
class Exported:
    """A file that holds a network."""

    path: Path
    network: Network
    difference: float  # the largest from the original's output, over that output where above 1


def torch_export(network: Network) -> tuple[bytes, Run]:
    """A network as a program of torch.export, and that program as it is read again."""
    with quietly():
        content = io.BytesIO()
        torch.export.save(traced(network), content)
        content.seek(0)
        module = torch.export.load(content).module()
    return content.getvalue(), lambda inputs: module(*inputs)


def onnx(network: Network) -> tuple[bytes, Run]:
    """A network as ONNX, and a session of onnxruntime that holds it.

    Raises:
        ConfigError: the packages onnx, onnxscript and onnxruntime are not all there.
    """
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
        import onnxscript  # noqa: F401 # pyright: ignore[reportMissingImports] - torch.onnx needs it
    except ImportError as cause:
        raise ConfigError(f"--format onnx: {needs(str(cause.name), 'export')}") from cause
    names = [one.name for one in network.inputs]
    with quietly():
        program: Any = torch.onnx.export(
            traced(network),
            dynamo=True,
            verbose=False,
            input_names=names,
            output_names=[network.output],
        )
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(inputs: tuple[Tensor, ...]) -> Tensor:
        given = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, given)[0])

    return content, run


FORMATS: Mapping[str, tuple[str, Callable[[Network], tuple[bytes, Run]]]] = {
    "onnx": (".onnx", onnx),
    "torch_export": (".pt2", torch_export),
}


def traced(network: Network) -> torch.export.ExportedProgram:
    """The network's computation for any number of samples."""
    batch = torch.export.Dim("batch")
    shapes = (tuple({0: batch} for _ in network.inputs),)  # one tuple, of *inputs
    inputs = network.random(TRACED, 1)
    with torch.no_grad():
        return torch.export.export(network.module, inputs, dynamic_shapes=shapes)


def export(network: Network, kind: str, folder: Path, seed: int) -> Exported:
    """Write a network in a format of `FORMATS`, after it was read again and compared.

    Args:
        network: what.
        kind: the format.
        folder: where to; exists.
        seed: of the random inputs.

    Raises:
        ConfigError: a package is missing.
        UnfitError: the format cannot hold this network, or computes something else.
        UserError: the file cannot be written.
    """
    suffix, make = FORMATS[kind]
    try:
        content, run = make(network)
    except ConfigError:
        raise
    except Exception as cause:  # tracing fails in any way
        reason = COLOURS.sub("", one_line(cause.__cause__ or cause))[:LONGEST]
        raise UnfitError(f"{network.name}: --format {kind} cannot hold it: {reason}") from cause
    difference = largest_difference(network, run, seed)
    if not difference <= TOLERANCE:
        raise UnfitError(
            f"{network.name}: --format {kind} computes other values when it is read again "
            f"(by up to {difference:.2g})"
        )
    path = folder / f"{network.name}{suffix}"
    files.write(path, content)
    return Exported(path, network, difference)


@torch.no_grad()
def largest_difference(network: Network, run: Run, seed: int) -> float:
    """The largest difference from the original over batches of several sizes."""
    largest = 0.0
    for n in BATCHES:
        inputs = network.random(n, seed)
        true, found = network.module(*inputs), run(inputs)
        if true.shape != found.shape:
            return float("inf")
        gap = (true - found).abs().max() / true.abs().max().clamp_min(1)
        largest = max(largest, gap.item())
    return largest


@contextmanager
def quietly() -> Iterator[None]:
    """Within it, torch's exporters say nothing of what is their own business."""
    loud = [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loud]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loud:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loud, levels, strict=True):
                logger.setLevel(level)
