"""Names of sweeps and of their jobs: short, without slashes, the same each time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from gan_cli.config.overrides import split

LONGEST = 60  # characters before the hash
# What a run learns does not depend on it, nor which run it is.
APART = ("hydra", "sweep", "run", "dry_run", "force")
APART_KEYS = ("runtime.threads", "runtime.device")


def typed(override: str) -> str:
    """An override as one types it, without the sign that Hydra is given."""
    return override.lstrip("+")


def telling(overrides: Iterable[str]) -> list[str]:
    """Those that say which run it is, in an order that is always the same."""
    kept = []
    for override in map(typed, overrides):
        key, _ = split(override)
        top = key.partition(".")[0].partition("/")[0]
        if top not in APART and key not in APART_KEYS:
            kept.append(override)
    return sorted(kept)


def sweep_name(fixed: Sequence[str], swept: Sequence[str]) -> str:
    """Of the keys that take several values, and a hash of what all jobs share.

    The values themselves do not count, so that more of them go into the same sweep.
    """
    keys = sorted(dict.fromkeys(swept))
    short = _plain("-".join(key.rpartition(".")[2] for key in keys) or "one")
    return f"{short}-{_hash([*telling(fixed), *(f'{key}=*' for key in keys)])}"


def job_name(overrides: Sequence[str], swept: Sequence[str]) -> str:
    """Of the job's own values, and a hash of all that says which run it is."""
    values = []
    for key, value in map(split, map(typed, overrides)):
        if key in swept:
            last = key.rpartition(".")[2]
            words = bool(value) and not re.search(r"\d", (value or "")[:1])
            values.append(str(value) if words else f"{last}{value}")
    told, short = telling(overrides), _plain("-".join(values) or "one")
    apart = [o for o in map(typed, overrides) if split(o)[0] in swept and o not in told]
    if len(short) < LONGEST:  # their values stand there whole, and older versions hashed no others
        apart = [override for override in apart if split(override)[0] not in APART_KEYS]
    return f"{short}-{_hash([*told, *sorted(apart)])}"


def _plain(text: str) -> str:
    plain = re.sub(r"[^\w.=+-]+", "-", text, flags=re.ASCII)
    return re.sub(r"--+", "-", plain).strip("-.")[:LONGEST] or "x"


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]
