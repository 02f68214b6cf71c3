"""The Inception network of 2015-12-05, whose pooled features FID and KID are defined on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_cli.errors import DataError
from gan_cli.evaluation.collecting import exactly
from gan_cli.evaluation.inception_network import WIDTH, ConvWeights, convolutions, network
from gan_cli.evaluation.inception_weights import find_weights, identity
from gan_cli.evaluation.measure import Extractor

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


class Inception(Extractor):
    """Pooled features [n, 2048] of the Inception network of 2015-12-05, always in fp32.

    Args:
        weights: of its 94 convolutions, in order.
        device: where it computes.
    """

    name = "inception"
    width = WIDTH
    resize = "bilinear to 299x299 without antialiasing, as pytorch-fid; grey as three channels"

    def __init__(self, weights: list[ConvWeights], device: torch.device | str = "cpu") -> None:
        self.identity = identity(weights)
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
    def features(self, images: Tensor) -> tuple[Tensor, None]:
        """Features float32 [n, 2048] of uint8 [n, 1 or 3, H, W], on the CPU.

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
                x = prepared(chunk.to(self.device)).contiguous(memory_format=torch.channels_last)
                found.append(self.network(x).cpu())
        return torch.cat(found), None


def load(path: str | None = None, device: torch.device | str = "cpu") -> Inception:
    """The network with its weights, from `path` or wherever else they are found.

    Raises:
        DataError: they cannot be had; the message says what can be done.
    """
    return Inception(find_weights(path), device)
