"""Latents: of a seed, of a file, truncated; and the NumPy files that the commands exchange.

Latents of a seed are drawn on the CPU in chunks of 64, the k-th from the seed (seed, k), so that
latent i depends on the seed and i alone.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from gan_cli import files, foreign
from gan_cli.errors import CheckpointError, ConfigError, DataError
from gan_cli.formatting import user_path
from gan_cli.model import Model
from gan_cli.priors import Prior
from gan_cli.seeding import mix

CHUNK = 64
LARGEST_FILE = 1 << 30  # bytes
NORMED = 1000  # latents whose norms stand for the prior's


def prior_of(model: Model, option: str) -> Prior:
    """The prior of the latents that the model decodes.

    Raises:
        ConfigError: it decodes none; `option` begins the message.
    """
    if model.prior is None:
        raise ConfigError(f"{option}: this model decodes no latents")
    return model.prior


def of_seed(prior: Prior, seed: int, places: Tensor) -> Tensor:
    """The latents number `places` [n] of a seed, float32 [n, dim] on the CPU."""
    chunks = places // CHUNK
    z = torch.empty(len(places), prior.dim)
    for number in chunks.unique().tolist():
        generator = Generator().manual_seed(mix(seed, number))
        chunk, here = prior.sample(CHUNK, generator=generator), chunks == number
        z[here] = chunk[places[here] % CHUNK]
    return z


def truncated(prior: Prior, z: Tensor, bound: float) -> Tensor:
    """Latents `z` [n, dim] within `bound`, by the prior's truncation.

    Raises:
        ConfigError: the bound is not above 0, or this prior cannot be truncated.
    """
    if not bound > 0:
        raise ConfigError(f"--truncation {bound:g}: must be greater than 0")
    try:
        return prior.truncated(z, bound)
    except NotImplementedError as cause:
        raise ConfigError(f"--truncation {bound:g}: {cause}") from cause


def truncates_styles(model: Model) -> bool:
    """Whether the generator's truncation, of styles, takes the place of the prior's."""
    return getattr(getattr(model, "generator", None), "truncation", None) is not None


def read(path: str | Path, prior: Prior, ndim: int = 2) -> Tensor:
    """Latents from a .npy file, float32 [n, dim] (or [paths, n, dim] with `ndim` 3).

    A file of fewer dimensions holds one latent, or one path.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    place = user_path(path)
    try:
        array = np.load(io.BytesIO(foreign.read_bytes(place, LARGEST_FILE)), allow_pickle=False)
    except FileNotFoundError as cause:
        raise DataError(f"{place}: no such file") from cause
    except CheckpointError as cause:
        raise DataError(str(cause)) from cause
    except Exception as cause:  # foreign bytes can fail in any way, and ask for any memory
        raise DataError(f"{place}: is not a .npy file") from cause
    wanted = f"latents [{', '.join(['paths', 'n'][3 - ndim :])}, {prior.dim}]"
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.floating):
        kind = f"{array.dtype} values" if isinstance(array, np.ndarray) else "several arrays"
        raise DataError(f"{place}: holds {kind}; {wanted} as floating-point numbers are required")
    shape = list(array.shape)
    if not 1 <= array.ndim <= ndim or shape[-1] != prior.dim or 0 in shape:
        raise DataError(f"{place}: holds {shape}; {wanted} are required")
    if not np.isfinite(array).all():
        raise DataError(f"{place}: holds values that are not finite")
    return torch.from_numpy(
        array.astype(np.float32).reshape((1,) * (ndim - array.ndim) + (*shape,))
    )


def write(path: str | Path, z: Tensor) -> Path:
    """Write latents as a float32 .npy file, whole or not at all; returns its path.

    Raises:
        ConfigError: the name has another ending.
        UserError: it cannot be written.
    """
    place = user_path(path)
    if place.suffix.lower() != ".npy":
        raise ConfigError(f"{place}: a file of latents must end in .npy")
    make_folder(place.parent)
    with files.replacing(place) as file:
        np.save(file, z.detach().float().cpu().numpy())
    return place


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where missing.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise files.cannot_write(folder, cause) from cause


def usual_norms(prior: Prior) -> tuple[float, float]:
    """The 5 % and the 95 % quantile of |z| under the prior."""
    norms = of_seed(prior, 0, torch.arange(NORMED)).norm(dim=1)
    low, high = norms.quantile(torch.tensor([0.05, 0.95])).tolist()
    return low, high
