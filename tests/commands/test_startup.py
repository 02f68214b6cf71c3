"""What a start leaves out: modules that are dear to import and that nothing in it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gan_cli.__main__ import COMMANDS

DEAR = ("torch", "hydra", "omegaconf", "numpy", "pydantic", "rich", "tensorboard", "scipy")
UNUSED = (
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "scipy",
    "pandas",
    "matplotlib",
    "pooch",
    "rich",
)
SEEN = "\nimport sys\nsys.stderr.write('\\n' + ' '.join(sys.modules))"


def modules(code: str, folder: Path) -> set[str]:
    """The modules that a process has imported when it has run `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code + SEEN], capture_output=True, text=True, cwd=folder, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_neither_torch_nor_hydra(command: str, tmp_path: Path) -> None:
    words = ["gan_cli", *command.split(), "--help"]
    code = f"import sys\nfrom gan_cli.__main__ import main\nsys.argv = {words}\n"
    code += "try:\n    main()\nexcept SystemExit:\n    pass"
    assert not modules(code, tmp_path) & set(DEAR)


def test_an_unknown_option_is_named_without_torch(tmp_path: Path) -> None:
    code = "import sys\nfrom gan_cli.__main__ import main\n"
    code += "sys.argv = ['gan_cli', 'train', 'model=no']\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 2"
    assert not modules(code, tmp_path) & {"torch", "numpy"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch=3"], "nosuch: unknown key"),
        (["steps=many"], "steps = many: must be a whole number"),
        (["model.pakcing=2"], "model.pakcing: GAN has no such setting (did you mean packing?); "),
        (["network.width=wide"], "network.width = wide: must be a whole number"),
        (["loss.smoothing=a", "prior.dim=b"], "prior.dim = b: must be a whole number"),
        (["optimizer.lr=-1"], "optimizer.lr = -1: must be greater than 0"),
    ],
)
def test_common_faults_of_settings_are_named_without_torch(
    words: list[str], said: str, tmp_path: Path
) -> None:
    code = "import sys\nfrom gan_cli.__main__ import main\n"
    code += f"sys.argv = {['gan_cli', 'train', *words]}\n"
    code += "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 2"
    done = subprocess.run(
        [sys.executable, "-c", code + SEEN],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    *lines, seen = done.stderr.splitlines()
    assert any(line.removeprefix("error: ").startswith(said) for line in lines), lines
    assert len([line for line in lines if line]) == len(words)
    assert not {"torch", "numpy"} & set(seen.split())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_first_step_imports_no_compiler_and_no_tables(device: str, tmp_path: Path) -> None:
    small = ["steps=1", "batch_size=4", "network.width=4", f"runtime.device={device}"]
    code = f"from gan_cli.commands.train import compose\nassert compose({small!r}) == 0"
    seen = modules(code, tmp_path)
    assert "torch.optim" in seen
    assert not seen & set(UNUSED)


@pytest.mark.parametrize(
    ("own", "count"),
    [({}, "8000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_spin_as_the_user_says_else_shortly(own: dict[str, str], count: str | None) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    code = "import gan_cli, os, sys\nassert 'torch' not in sys.modules\n"
    code += "print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment | own,
        check=True,
    )
    assert done.stdout.strip() == str(count)


def test_the_package_alone_imports_nothing_dear(tmp_path: Path) -> None:
    assert not modules("import gan_cli\ngan_cli.UserError, dir(gan_cli)", tmp_path) & set(DEAR)
