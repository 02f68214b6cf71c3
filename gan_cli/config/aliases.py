"""Names of the field for options and settings: aliases, and what wrong ones were meant to be.

A command line may use them; what is composed, written to a run's config and compared on resume are
the names of conf/. Imports neither Hydra nor torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from gan_cli.config import groups
from gan_cli.errors import ConfigError
from gan_cli.formatting import any_of, closest, shell_command, unquoted

SN = ("network=sngan", "loss=hinge", "optimizer=adam_sngan")
# What stands for an option, by group and plain name: another one, or several overrides. The case of
# an option and its dashes, underscores and dots do not count, so WGAN-GP needs no line.
OPTIONS: dict[str, dict[str, str | tuple[str, ...]]] = {
    "model": {
        "vanilla": "gan",
        "lsgan": ("model=dcgan", "loss=least_squares"),
        "rpgan": ("model=dcgan", "loss=relativistic"),
        "rgan": ("model=dcgan", "loss=relativistic"),
        "ragan": ("model=dcgan", "loss=relativistic_average"),
        "bgan": ("model=dcgan", "loss=boundary_seeking"),
        "dragan": ("model=dcgan", "network=dcgan_gp", "penalty=dragan"),
        "wganlp": ("model=wgan_gp", "penalty=one_sided_gradient_penalty"),
        "wgandiv": ("model=wgan_gp", "penalty=wgan_div", "model.d_steps=4"),
        "sngan": ("model=gan", *SN, "model.d_steps=5"),
        "sagan": ("model=gan", "network=sagan", *SN[1:]),
        "r3gan": (
            *("model=gan", "network=r3gan", "loss=relativistic", "penalty=r1_r2"),
            *("penalty.weight=1.0", "optimizer.betas=[0.0,0.9]"),
        ),
        "ali": ("model=bigan", "network=dcgan", "model.stochastic=true"),
        "conditionalgan": "cgan",
        "projection": "projection_gan",
        "ebm": "energy",
        "gmm": "mixture",
        "ae": "autoencoder",
    },
    "loss": {
        "bce": "non_saturating",
        "vanilla": "non_saturating",
        "ns": "non_saturating",
        "saturating": "minimax",
        "lsgan": "least_squares",
        "mse": "least_squares",
        "wgan": "wasserstein",
        "rpgan": "relativistic",
        "rgan": "relativistic",
        "ragan": "relativistic_average",
        "bgan": "boundary_seeking",
    },
    "penalty": {
        "gp": "gradient_penalty",
        "wgangp": "gradient_penalty",
        "lp": "one_sided_gradient_penalty",
        "wganlp": "one_sided_gradient_penalty",
        "0gp": "zero_centred",
        "zerogp": "zero_centred",
        "zerocentered": "zero_centred",
        "clip": "weight_clip",
        "weightclipping": "weight_clip",
        "orthogonalregularization": "orthogonal",
    },
    "network": {"fc": "mlp", "sn": "dcgan_sn"},
    "prior": {"normal": "gaussian"},
    "optimizer": {"oadam": "optimistic_adam"},
    "data": {
        "cifar": "cifar10",
        "fashion": "fashion_mnist",
        "fmnist": "fashion_mnist",
        "8gaussians": "ring",
        "25gaussians": "grid",
    },
}
# Keys, where no root setting or group has the name; also what an unknown `model.clip` means.
KEYS = {
    "dataset": "data",
    "arch": "network",
    "optim": "optimizer",
    "lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "betas": "optimizer.betas",
    "batch": "batch_size",
    "batchsize": "batch_size",
    "bs": "batch_size",
    "iterations": "steps",
    "iters": "steps",
    "max_steps": "steps",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "z_dim": "prior.dim",
    "nz": "prior.dim",
    "latent_dim": "prior.dim",
    "n_critic": "model.d_steps",
    "clip": "penalty.limit",
    "clip_value": "penalty.limit",
    "gp_weight": "penalty.weight",
    "lambda_gp": "penalty.weight",
    "width": "network.width",
    "image_size": "data.size",
    "img_size": "data.size",
    "device": "runtime.device",
    "precision": "runtime.precision",
    "threads": "runtime.threads",
    "outdir": "run.dir",
    "animation": "film",
}
GPU = {"gpu", "gpus", "cuda", "use_gpu", "use_cuda", "no_cuda", "gpu_id", "gpu_ids"}
HINT_OF_DEVICE = (
    " (did you mean runtime.device=cuda, cuda:N or cpu?); auto, the default, uses a GPU"
)
HINT_OF_DEVICE += " where there is one"
SECTIONS = {"weights": "weights.source"}  # whose name alone stands for one of their settings
# Options that are not here, but near another in spelling.
ABSENT = {"stylegan", "stylegan3", "progan", "pggan", "lapgan", "stackgan"}
ABSENT |= {"vqgan", "vqvae", "stargan", "unit", "munit", "infovae", "gigagan"}
INSTEAD: dict[str, dict[str, str]] = {
    "model": {"biggan": "a network: network=biggan, experiment=biggan_mnist"},
    "data": dict.fromkeys(
        ("celeba", "celebahq", "lsun", "imagenet", "ffhq", "svhn", "cifar100", "stl10"),
        "download it, and name its folder: data=DIR",
    ),
}
OVERRIDE = re.compile(r"(?P<sign>\+\+|\+|)(?P<key>[^=~+][^=]*)=(?P<value>.*)", re.DOTALL)
PATH_LIKE = re.compile(r"[./~]|[A-Za-z]:[\\/]|.*[/\\]")


def plain(name: str) -> str:
    """A name without its case, dashes, underscores and dots."""
    return re.sub(r"[\W_]", "", name.lower())


def option_of(group: str, name: str, have: Iterable[str]) -> str | tuple[str, ...]:
    """The option of `group` that `name` stands for, itself where it is none; or overrides."""
    options = {plain(option): option for option in have}
    word = plain(name)
    if name in options.values() or not word or PATH_LIKE.match(name):
        return name
    return options.get(word) or OPTIONS.get(group, {}).get(word, name)


def expanded(
    overrides: Sequence[str], folders: Collection[Path] = ()
) -> tuple[list[str], list[str]]:
    """`overrides` with the names of conf/ for aliases; and what is wrong with some, a line each.

    Of several overrides that an alias stands for, those of keys that are typed too are left out.
    """
    names = groups.names(folders)
    known = {*groups.root_keys(), *names}
    found: list[Sequence[str]] = []
    faults: list[str] = []
    for override in overrides:
        match = OVERRIDE.fullmatch(override)
        if match is None or set(match["key"]) & set("./@"):
            found.append([override])
            continue
        sign, key, value = match["sign"], match["key"].strip(), match["value"]
        word = key.lower().replace("-", "_")
        key = key if key in known else word if word in known else KEYS.get(word, key)
        if word in GPU:
            faults.append(f"{key}: unknown key{HINT_OF_DEVICE}")
            continue
        if key not in names:
            key = SECTIONS.get(key, key)
            found.append([f"{sign}{key}={value}"])
            continue
        try:
            found.append(_chosen(sign, key, value, folders))
        except ConfigError as error:
            faults.append(str(error))
    typed = {_key(made[0]) for made in found if len(made) == 1}
    return [one for made in found for one in _beside(made, typed)], faults


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").strip()


def _beside(made: Sequence[str], typed: Collection[str]) -> Iterator[str]:
    """What an alias stands for, without what is typed: its keys, and parts of chosen groups."""
    first, *others = made
    yield first
    for other in others:
        if not {key := _key(other), key.partition(".")[0]} & set(typed):
            yield other


def _chosen(sign: str, group: str, value: str, folders: Collection[Path]) -> Sequence[str]:
    """The overrides for an option of a group, or for several with commas, as typed."""
    have = groups.options(group, folders)
    if group == "data" and (own := _own_data(value, have)):
        return own
    if set(value) & set("[]{}()'\"$\\"):
        return [f"{sign}{group}={value}"]
    typed = [name.strip() for name in value.split(",")]
    names = [option_of(group, name, have) for name in typed]
    for name, stands_for in zip(typed, names, strict=True):
        if isinstance(stands_for, tuple):
            if len(names) == 1:
                return stands_for
            raise ConfigError(
                f"{group} = {name}: stands for {' '.join(stands_for)}, which cannot be one of "
                "several values; give it a command of its own"
            )
    return [f"{sign}{group}={','.join(map(str, names))}"]


def _own_data(value: str, have: Collection[str]) -> Sequence[str]:
    """The overrides for the user's own images, folders, or text, a file; none for other data."""
    names = [unquoted(name.strip()) for name in value.split(",")]
    if all(_is_own(name, have) for name in names):
        text = all(name.endswith(".txt") for name in names)
        return [f"data={'text' if text else 'folder'}", f"data.root={value}"]
    return []


def _is_own(name: str, have: Collection[str]) -> bool:
    if not name.strip() or name in have or "${" in name:
        return False
    if PATH_LIKE.match(name):
        return True
    return Path(name).is_dir() and option_of("data", name, have) == name


def meant_key(name: str) -> str | None:
    """The setting that is elsewhere called `name`."""
    return "runtime.device" if name in GPU else KEYS.get(name)


def hint_of_option(group: str, name: str, have: Iterable[str]) -> str:
    """` (did you mean ...?)` for an unknown option, or another way to have it; or ""."""
    word = plain(name)
    if group == "data" and Path(name).is_file():
        return f" (your file is {shell_command(f'data=./{name}')})"
    if instead := INSTEAD.get(group, {}).get(word):
        return f" ({instead})"
    options = {plain(option): option for option in have}
    near = closest(word, options, 0.75) or closest(word, OPTIONS.get(group, {}), 0.75)
    if near is None or word in ABSENT or re.sub(r"\d", "", near) == re.sub(r"\d", "", word):
        return ""  # cifar100 is not cifar10
    return f" (did you mean {options.get(near, near)}?)"


def listed(group: str, options: Collection[str]) -> str:
    """The options of a group for a message, or the command that lists them where they are many."""
    if len(options) > MOST_OPTIONS:
        return f"gan-train --help {group} lists all {len(options)}"
    return f"available: {', '.join(options) or 'none yet'}"


MOST_OPTIONS = 10  # that a message lists


def hint_of_setting(group: str, key: str) -> str:
    """Where a setting is that `group` or its chosen option does not have; "" where nowhere."""
    if (group, key) == ("data", "root"):
        return " (your own images are data=DIR, or data=folder data.root=DIR)"
    if (other := meant_key(key)) and other != f"{group}.{key}":
        return f" (did you mean {other}?)"
    having = {
        name: [o for o, file in groups.options(name).items() if key in groups.keys(name, file)]
        for name in groups.names()
        if name not in ("experiment", "callbacks")
    }
    if options := having.get(group):
        return f" (it is a setting of {any_of([f'{group}={option}' for option in options[:3]])})"
    others = [name for name, options in having.items() if options]
    return f" (did you mean {any_of([f'{name}.{key}' for name in others[:2]])}?)" if others else ""
