"""The private parts of torch that stacking needs, in this one place.

`missing` is empty, or names what this version of torch lacks; then nothing here can be used.
"""

from __future__ import annotations

try:
    from torch._C._functorch import _add_batch_dim as add_batch_dim
    from torch._C._functorch import (
        get_unwrapped,
        is_batchedtensor,
        maybe_get_bdim,
        maybe_get_level,
    )
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
except ImportError as error:
    missing = str(error)
else:
    missing = ""

__all__ = [
    "add_batch_dim",
    "get_unwrapped",
    "is_batchedtensor",
    "maybe_get_bdim",
    "maybe_get_level",
    "missing",
    "temporarily_clear_interpreter_stack",
]
