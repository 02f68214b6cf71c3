"""Models train and are evaluated with all their tensors on a device beside the CPU.

So faults of placement are found without a GPU: data of the CPU in a loss or a metric, an index of
the wrong device, a generator of the CPU.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from composing import MODELS
from torch.utils import backend_registration

PROGRAM = Path(__file__).with_name("other_device.py")
PARTS = 3  # processes, each with some of the models
# What a device made in Python cannot do: torch's fused LSTM cell; a norm's second derivative, which
# changes a tensor's shape in place.
UNFIT = {"seqgan", "wgan_gp"}


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch knows no devices made in Python",
)
@pytest.mark.parametrize("part", range(PARTS))
def test_models_on_a_device_beside_the_cpu(part: int) -> None:
    models = [model for model in MODELS if model not in UNFIT][part::PARTS]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *models],
        cwd=PROGRAM.parents[1],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == models
