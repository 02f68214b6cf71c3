"""CUDA graphs: whether a run can have them, and the recorder that makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from gan_cli.errors import ConfigError
from gan_cli.training.optimizers import Player


class CudaRecorder:
    """Records what a function launches as a CUDA graph.

    All graphs share one pool of memory, as nothing in it lives from one to the next.

    Args:
        device: the CUDA device, which must be the current one.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm(self, run: Callable[[], None]) -> str:
        """Run it on the stream of the recordings; why it must not be recorded, or nothing."""
        here = torch.cuda.current_stream(self._device)
        before = torch.default_generator.get_state()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            run()
        here.wait_stream(self._stream)
        if torch.equal(before, torch.default_generator.get_state()):
            return ""
        return "which draws random numbers on the CPU"

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """Record it without running it; what plays it back."""
        here = torch.cuda.current_stream(self._device)
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        spare = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                run()
        except BaseException:
            # Torch leaves the stream, the random stream and the pool as if it still recorded.
            torch.cuda.set_stream(here)
            generator.graphsafe_set_state(spare)
            self._pool = torch.cuda.graph_pool_handle()
            raise
        return graph.replay


def hindrance(
    wanted: bool | str,
    device: torch.device,
    *,
    resident: bool,
    compiled: bool,
    ranks: int,
    optimizers: Iterable[Optimizer],
) -> str:
    """Why a run has no CUDA graphs; empty where it has.

    Args:
        wanted: `runtime.graphs`: "auto", true or false.
        device: of the run.
        resident: whether the data lies on it.
        compiled: whether torch.compile has the networks.
        ranks: how many devices train together.
        optimizers: of all players.

    Raises:
        ConfigError: graphs are asked for and cannot be had.
    """
    reason = ""
    if device.type != "cuda":
        reason = f"only CUDA devices have them, and this run is on {device.type}"
    elif wanted is False:
        reason = "runtime.graphs = false"
    elif compiled:
        reason = "runtime.compile = true brings its own way"
    elif ranks > 1:
        reason = f"gradients travel between {ranks} devices"
    elif not resident:
        reason = "the data does not fit on the device, so batches come from the host"
    else:
        reason = next(filter(None, map(_uncapturable, optimizers)), "")
    if wanted is True and reason:
        raise ConfigError(f"runtime.graphs = true: {reason}; set runtime.graphs=auto")
    return reason


def _uncapturable(optimizer: Optimizer) -> str:
    """Why a graph cannot hold an optimizer's step; empty where it can."""
    for group in optimizer.param_groups:
        if "capturable" not in group and not (isinstance(optimizer, SGD) and group["fused"]):
            return f"{type(optimizer).__name__} computes on the host"
    return ""


def make_capturable(player: Player) -> None:
    """Keep all that an optimizer's step depends on where a graph reads it: on the device."""
    for group in player.optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
        if not isinstance(group["lr"], Tensor):
            device = group["params"][0].device
            group["lr"] = torch.tensor(player.rate, dtype=torch.float32, device=device)
