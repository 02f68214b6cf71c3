"""Features of the user's own network, in the place of Inception's."""

from __future__ import annotations

import hashlib
import inspect
import logging
import sys

import torch
from torch import Tensor, nn

from gan_cli.config.instantiate import TARGET, Trust, build
from gan_cli.errors import ConfigError
from gan_cli.evaluation.features import exactly
from gan_cli.evaluation.metric import Extractor
from gan_cli.model import DataSpec

log = logging.getLogger(__name__)
KEY = "evaluation.extractor"


class OwnExtractor(Extractor):
    """A network that takes images float32 [n, C, H, W] in [-1, 1] and returns features [n, ...].

    Args:
        network: it; put into eval mode. What it returns is flattened.
        data: the description of the images.
        device: where it computes.

    Raises:
        ConfigError: it returns something else, or fails.
    """

    resize = "as it is"

    def __init__(self, network: nn.Module, data: DataSpec, device: torch.device | str) -> None:
        self.name = type(network).__name__
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.identity = identity(network)
        try:
            self.width = self.features(torch.zeros(2, *data.shape, dtype=torch.uint8))[0].shape[1]
        except (RuntimeError, ValueError, TypeError, IndexError) as cause:
            reason = " ".join(str(cause).split())
            raise ConfigError(
                f"{KEY} = {self.name}: fails on images {list(data.shape)} of {data.name}: {reason}"
            ) from cause

    @torch.inference_mode()
    def features(self, images: Tensor) -> tuple[Tensor, None]:
        """Features float32 [n, width] of uint8 [n, C, H, W], on the CPU.

        Raises:
            ValueError: the network returns no features of each image.
        """
        with exactly(), torch.autocast(self.device.type, enabled=False):
            found = self.network(images.to(self.device).float() / 127.5 - 1)
        if not isinstance(found, Tensor) or found.dim() < 2 or len(found) != len(images):
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"returns {shape}, and features [n, width] are needed")
        return found.flatten(1).float().cpu(), None


def identity(network: nn.Module) -> str:
    """A sha256 over the class's name, its module's code, and all weights and buffers, in hex."""
    kind = type(network)
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__}".encode())
    try:
        digest.update(inspect.getsource(sys.modules[kind.__module__]).encode())
    except (OSError, TypeError, KeyError):
        log.warning(
            f"{KEY} = {kind.__name__}: its source cannot be read, so the cache may hold features "
            "of an earlier version of it"
        )
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def own_extractor(name: str, data: DataSpec, device: torch.device | str, trust: Trust) -> Extractor:
    """Build the class `name`: an `Extractor`, or a module as `OwnExtractor` takes it.

    Raises:
        ConfigError: it is not trusted, or no such class, or cannot be built or used.
    """
    made = build({TARGET: name}, KEY, trust)
    if isinstance(made, Extractor):
        return made
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{KEY} = {name}: must be a torch.nn.Module or an Extractor")
    return OwnExtractor(made, data, device)
