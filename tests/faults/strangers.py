"""Files and overrides of a stranger: random ones, watched, counted and written as JSON.

    python tests/faults/strangers.py FOLDER --overrides 5000 --checkpoints 5000 --data 5000 \
        --folders 2000 --studies 500 --sweeps 500 [--seed 0] [--out counts.json]

Each case is known by its kind and number and made again by `--only KIND:NUMBER`. Works on copies of
one small run in FOLDER. Exits with 1 where a case is at fault: see `watched.py`.
"""

# ruff: noqa: E402 - the tests' own modules are found by their folders
from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import resource
import shutil
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "data"), str(TESTS / "faults")]

import numpy as np
import searches
import torch
import yaml
from cifar_pickles import batch  # pyright: ignore[reportMissingImports]
from composing import MODELS, OF_POINTS
from inprocess import call
from mutations import PLAIN, attack, changed, damaged, deep, json_of, odd_tensor, repacked
from PIL import Image
from watched import FAULT, MEMORY, SECONDS, Outcome, install, outcome

from gan_cli.commands import report as report_command
from gan_cli.commands import runs as runs_command
from gan_cli.commands import sample as sample_command
from gan_cli.commands import train
from gan_cli.commands import tune as tune_command
from gan_cli.config import settings as config_settings
from gan_cli.config.groups import CONF
from gan_cli.config.instantiate import Trust
from gan_cli.data import cifar10, cifar10_pickle, idx, published
from gan_cli.data.folder import Folder
from gan_cli.data.given import resized
from gan_cli.data.pairs import Pairs
from gan_cli.data.text import Text
from gan_cli.evaluation.image_sets import open_images, open_real
from gan_cli.runs import checkpoint, weights
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import load_model
from gan_cli.sampling import latents
from gan_cli.sampling.samples import SampleRequest, draw
from gan_cli.sweeps.index import Index
from gan_cli.training.setup import assemble

GOLDEN = Path(__file__).parents[1] / "runs" / "golden"
RUN = (
    *("model=gan", "data=ring", "data.points=64", "network=mlp", "network.width=8"),
    *("network.depth=1", "prior.dim=2", "batch_size=8", "steps=4", "log_every=1"),
    *("sample_every=2", "checkpoint.every=2", "evaluation.every=4", "evaluation.samples=64"),
    *("evaluation.metrics=[points]", "runtime.device=cpu", "runtime.precision=fp32"),
    *("runtime.threads=1", "run.dir=run"),
)
ROOM = 6 << 30  # bytes of address space beyond what the process has at its start
LOCAL = ("ring", "grid", "gaussian_1d", "mixture_1d", "mnist", "derived", "paths", "text")
Work = Callable[[], object]
"""Work prepared in a folder: what `watched.outcome` does."""


@cache
def base_run(folder: Path) -> Path:
    """A small run with pictures, an evaluation and two checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    done = call(*RUN, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


# --- overrides --------------------------------------------------------------------------------

GROUPS = {
    name: sorted(path.stem for path in (CONF / name).glob("*.yaml"))
    for name in ("loss", "penalty", "network", "prior", "optimizer", "callbacks", "experiment")
}
APART = ("run", "resume", "weights", "sweep", "choices", "model", "data", "callbacks", "hydra")
ODD = ["0", "-1", "1", "2", "3", "7", "64", "1e3", "0.5", "-0.5", "1e-9", "1e9", "1e30", "nan"]
ODD += ["inf", "-inf", "null", "true", "false", "x", "''", "[]", "[1]", "[1,2]", "[0.5,0.999]"]
ODD += ["{}", "{a:1}", "auto", "none", "random", "mnist", "${seed}", "${x}", "???", "[[1,4],[2,8]]"]


MOST = 10  # overrides of a line


@cache
def _keys(model: str) -> list[str]:
    """The settings of a model that an override may change."""
    from gan_cli.formatting import leaves

    words = [f"model={model}", *OF_POINTS.get(model, ())]
    settings = config_settings.settings_of(*words).model_dump()
    roots = {name: value for name, value in settings.items() if name not in APART}
    roots["model"] = {k: v for k, v in settings["model"].items() if not isinstance(v, dict)}
    return [key for key, _ in leaves(roots) if not key.endswith("_target_")]


def override(some: Random, model: str) -> str:
    """One override: another option of a group, or another value of a setting."""
    if some.random() < 0.25:
        group = some.choice(list(GROUPS))
        return f"{group}={some.choice(GROUPS[group])}"
    if some.random() < 0.1:
        return f"data={some.choice(LOCAL)}"
    sign = some.choices(("", "+", "++", "~"), (20, 1, 1, 1))[0]
    key = some.choice(_keys(model))
    return f"{sign}{key}" if sign == "~" else f"{sign}{key}={some.choice(ODD)}"


def line_of(some: Random, most: int, *data: str) -> list[str]:
    """A model and one to `most` overrides."""
    model = some.choice(MODELS)
    words = [override(some, model) for _ in range(some.randint(1, most))]
    return [f"model={model}", *OF_POINTS.get(model, data), *words]


def overrides(some: Random, home: Path) -> Work:
    """Some overrides of a model, composed, checked and, if accepted, built."""
    words = line_of(some, MOST)

    def work() -> object:
        settings = config_settings.settings_of(*words)
        assemble(settings, Trust())
        return None

    return work


def lines(some: Random, home: Path) -> Work:
    """The same, given to gan-train, which trains two steps of what it accepts."""
    words = line_of(some, 2, "data.split=test")
    kept = ("steps", "epochs", "images", "max_time", "evaluation", "runtime", "batch_size")
    words = [w for w in words if w.lstrip("+~").split("=")[0].split(".")[0] not in kept]
    words += ["steps=2", "batch_size=8", "runtime.device=cpu", "runtime.threads=1", "run.dir=new"]
    words += ["evaluation.samples=64", "sample_every=0", "runtime.precision=fp32"]
    return lambda: _command(words, home)


def _command(words: list[str], home: Path, main: Callable[[], object] = train.main) -> int:
    done = call(*words, cwd=home, main=main)
    sys.stderr.write(done.stderr)
    return done.returncode


# --- checkpoints ------------------------------------------------------------------------------


def checkpoints(some: Random, home: Path, run: Path) -> Work:
    """A run's checkpoint, damaged or made by a stranger: read, drawn from, resumed, copied from."""
    shutil.copytree(run, home / "run")
    path = home / "run" / "checkpoints" / "last.pt"
    for other in path.parent.glob("step_*.pt"):
        other.unlink()
    path.write_bytes(_checkpoint(some, path.read_bytes(), home))
    folder = RunFolder(home / "run")
    match some.randrange(6):
        case 0:
            words = ["resume=run", "steps=5"]
            return lambda: _command(words, home)
        case 1:
            words = [w for w in RUN if not w.startswith(("run.dir", "steps"))]
            words += ["steps=1", "run.dir=new", "weights=run/checkpoints/last.pt"]
            return lambda: _command(words, home)
        case 2:
            return lambda: checkpoint.newest_whole(folder)
        case _:
            return lambda: _drawn(folder)


def _drawn(folder: RunFolder) -> None:
    model = load_model(folder, device="cpu").model
    next(iter(draw(model, 2, SampleRequest(seed=1))))


def _checkpoint(some: Random, content: bytes, home: Path) -> bytes:
    what = some.randrange(9)
    if what < 3:
        return damaged(some, content)
    if what == 3:
        return repacked(some, content)
    if what == 4:
        return bomb()
    if what == 5:  # of another model
        return (some.choice(sorted(GOLDEN.glob("*/checkpoints/last.pt")))).read_bytes()
    state = torch.load(io.BytesIO(content), weights_only=True)
    if what == 6:
        state[some.choice(("config", "model", "window", "more"))] = attack(some, home / "proof")
    elif what == 7:
        state["config"] = _config(some, state["config"])
    else:
        state = _state(some, state)
    made = io.BytesIO()
    try:
        torch.save(state, made, _use_new_zipfile_serialization=some.random() < 0.9)
    except Exception:  # what torch itself does not write
        return damaged(some, content)
    return made.getvalue()


def _state(some: Random, state: dict[str, Any]) -> dict[str, Any]:
    """Other plain values, or tensors that do not fit, anywhere in a checkpoint."""
    for _ in range(some.choice((1, 1, 2, 4))):
        node: Any = state
        while True:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            if not len(keys):
                break
            key = some.choice(list(keys))
            inner = node[key]
            if isinstance(inner, dict | list) and len(inner) and some.random() < 0.85:
                node = inner
                continue
            match some.randrange(4):
                case 0 if isinstance(node, dict):
                    del node[key]
                case 1:
                    node[key] = odd_tensor(some)
                case 2 if isinstance(inner, torch.Tensor):
                    node[key] = inner.detach().flatten()[:1] * float("nan")
                case _:
                    value = some.choice(PLAIN)
                    node[key] = value.encode(errors="replace") if value == "\ud800" else value
            break
    return state


@cache
def bomb() -> bytes:
    """A checkpoint of one megabyte with a tensor of one gigabyte of zeros."""
    made, file = io.BytesIO(), io.BytesIO()
    torch.save({"format": 1, "step": 1, "config": "", "model": {"a": torch.zeros(2)}}, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            if not name.endswith("data/0"):
                new.writestr(name, old.read(name))
                continue
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            with new.open(info, "w", force_zip64=True) as member:
                for _ in range(1 << 6):
                    member.write(bytes(1 << 24))
    return made.getvalue()


def _config(some: Random, text: str) -> str:
    """A run's configuration with other values, as YAML that may be damaged."""
    match some.randrange(6):
        case 0:
            return damaged(some, text.encode()).decode(errors="replace")
        case 1:
            return deep(some)
        case _:
            return yaml.dump(changed(some, yaml.safe_load(text)), allow_unicode=True)


# --- data -------------------------------------------------------------------------------------


def idx_file(some: Random, home: Path) -> Work:
    """An idx file whose header lies, raw or gzip, alone or against its labels."""
    count = some.choice((0, 1, 3))
    shape = some.choice(((28, 28), (28, 27), (2**31, 2**31), (0, 5), (1,) * 250, ()))
    sizes = (some.choice((count, count, count + 1, 2**32 - 1)), *shape)
    kind = some.choice((8, 8, 8, 9, 255))
    content = struct.pack(">HBB", some.choice((0, 0, 1)), kind, len(sizes) % 256)
    content += struct.pack(f">{len(sizes)}I", *sizes) + some.randbytes(count * 784)
    labels = struct.pack(">HBBI", 0, 8, 1, count) + some.randbytes(count)
    if some.random() < 0.5:
        content = gzip.compress(content)
    if some.random() < 0.3:
        content = damaged(some, content)
    if some.random() < 0.1:
        content = gzip_bomb(some.choice((0, 10, 2**32 - 1)))
    (home / "images").write_bytes(content)
    (home / "labels").write_bytes(labels)

    def work() -> object:
        paths = [home / "images", home / "labels"]
        images, classes = (published.read_content(path) for path in paths)
        return idx.paired(paths[0], images, paths[1], classes)

    return work


@cache
def gzip_bomb(length: int) -> bytes:
    """A gigabyte of zeros that says to be `length` bytes long."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    found = [packer.compress(bytes(1 << 24)) for _ in range(64)]
    return b"".join([*found, packer.flush()])[:-4] + struct.pack("<I", length)


def cifar(some: Random, home: Path) -> Work:
    """CIFAR-10's batches, binary or for Python, and archives of them."""
    count = some.choice((0, 1, 3))
    records = b"".join(
        bytes([some.choice((0, 9, 10))]) + some.randbytes(3072) for _ in range(count)
    )
    match some.randrange(3):
        case 0:
            content = bytearray(damaged(some, records) if some.random() < 0.5 else records)
            return lambda: cifar10.parse(content, home / "x.bin")
        case 1:
            made = damaged(some, batch(records))
            return lambda: cifar10_pickle.binary_form(made, home / "data_batch_1")
        case _:
            (home / "x.tar.gz").write_bytes(_tar(some, records))
            return lambda: published.read_archive(home / "x.tar.gz", {"a.bin", "b.bin"})


def _tar(some: Random, content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name in ("a.bin", "../../b.bin", "/b.bin", "c"):
            entry = tarfile.TarInfo(name)
            entry.type = some.choice((tarfile.REGTYPE,) * 4 + (tarfile.SYMTYPE, tarfile.LNKTYPE))
            entry.linkname = some.choice(("/etc/passwd", "a.bin", "c", "b.bin"))
            entry.size = len(content) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(content))
    packed = made.getvalue()
    match some.randrange(4):
        case 0:
            return damaged(some, packed)
        case 1:
            return gzip.compress(damaged(some, gzip.decompress(packed)))
        case 2:
            return gzip_bomb(0)
        case _:
            return packed


FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif"}
FORMATS |= {"TIFF": ".tif"}


@cache
def picture(kind: str, mode: str) -> bytes:
    """A small image file."""
    made = io.BytesIO()
    values = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(values).convert(mode)
    image.save(made, kind)
    return made.getvalue()


@cache
def image_bomb(kind: str, side: int) -> bytes:
    """A small file of `side` x `side` pixels, all black."""
    made = io.BytesIO()
    Image.new("1" if kind == "PNG" else "L", (side, side)).save(made, kind)
    return made.getvalue()


NAMES = ["a", "b/c", "b/d", "e\nf", "g\tg", "\x1b[31mh", "i\udcff", "é" * 60, " ", "-rf", "$(x)"]


def images(some: Random, home: Path) -> Work:
    """A folder of images: broken ones, bombs, odd names, links out of it; or nothing."""
    root = home / "images"
    root.mkdir()
    for name in some.sample(NAMES, some.choice((0, 1, 2, 3, 6))):
        kind = some.choice(list(FORMATS))
        path = root / f"{name}{some.choice((FORMATS[kind], '.png', '.dat', '.heic', ''))}"
        path.parent.mkdir(exist_ok=True)
        content = picture(kind, some.choice(("L", "RGB")))
        match some.randrange(9):
            case 0 | 1 | 2:
                content = damaged(some, content)
            case 3:
                content = image_bomb(some.choice(("PNG", "TIFF")), some.choice((5_000, 14_000)))
            case 4:
                path.symlink_to(some.choice(("/etc/passwd", "/dev/zero", "/", ".", "x", path.name)))
                continue
            case 5:
                os.mkfifo(path)
                continue
            case 6:
                content = b""
            case _:
                pass
        path.write_bytes(content)
    more: dict[str, Any] = {}
    if some.random() < 0.3:
        name = some.choice(("labels.csv", "dataset.json"))
        (root / name).write_bytes(_labels(some, name))
        more["labels"] = name
    if some.random() < 0.1:
        (root / some.choice(("status.json", "study.json"))).write_bytes(json_of(some, {"step": 1}))
    settings = {"skip_broken": some.random() < 0.5, "size": some.choice((8, [8, 4]))}
    if some.random() < 0.15:
        return lambda: open_images(str(root))
    if some.random() < 0.15:
        return lambda: resized([str(root)], (3, 8, 8))
    if some.random() < 0.15:
        pairs = {"root": str(root), "size": 8}
        return lambda: Pairs(**pairs)
    return lambda: Folder(str(root), **settings, **more)


def _labels(some: Random, name: str) -> bytes:
    if name.endswith(".json"):
        return json_of(some, {"labels": [["a.png", 0], ["b/c.png", 1], ["b/d.jpg", 2]]})
    text = "path,class\na.png,0\nb/c.png,x\nb/d.jpg,y\n"
    return damaged(some, text.encode()) if some.random() < 0.7 else text.encode()


def texts(some: Random, home: Path) -> Work:
    """A text as data; a pipe in its place."""
    path = home / "text.txt"
    content = b"the cat sat on the mat\nand more\n" * some.choice((0, 1, 2, 40))
    if some.random() < 0.2:
        os.mkfifo(path)
    else:
        path.write_bytes(damaged(some, content) if some.random() < 0.7 else content)
    level, form = some.choice(("characters", "words")), some.choice(("lines", "stream"))
    return lambda: Text(str(path), level=level, form=form)


def arrays(some: Random, home: Path, run: Path) -> Work:
    """Latents, arrays of images, statistics and weights in files of NumPy and safetensors."""
    kind = some.randrange(3)
    if kind == 0:
        made = io.BytesIO()
        shape = some.choice(((3, 2), (2,), (2, 3, 2), (0, 2), ()))
        values: Any = np.zeros(shape, some.choice(("f4", "f8", "i8", "c8", "O", "U3")))
        np.save(made, values, allow_pickle=True)
        content = _npy_lie(some, made.getvalue())
        path = home / "z.npy"
        path.write_bytes(content)
        prior = load_model(RunFolder(run), device="cpu").model.prior
        assert prior is not None
        return lambda: latents.read(path, prior)
    if kind == 1:
        path = home / "x.npz"
        tables = {"arr_0": np.zeros((3, 8, 8, 3), "u1"), "arr_1": np.arange(3)}
        if some.random() < 0.5:
            about = json.dumps({"data": "x", "shape": [1, 8, 8], "size": 3})
            tables = {"mu": np.zeros(4), "sigma": np.eye(4), "about": np.array(about)}
        made = io.BytesIO()
        (np.savez if some.random() < 0.6 else np.savez_compressed)(made, **tables)  # type: ignore
        content = made.getvalue()
        if some.random() < 0.5:
            content = _inner_lie(some, content)
        elif some.random() < 0.7:
            content = damaged(some, content)
        path.write_bytes(content)
        return lambda: open_real(str(path))
    from safetensors.torch import save

    path = home / "x.safetensors"
    said = {"config": "seed: 0", "data": json.dumps({"name": "x", "shape": [2], "size": 4})}
    if some.random() < 0.3:
        odd = changed(some, said)
        odd = odd if isinstance(odd, dict) else {"data": odd}
        said = {_encodable(str(key)): _encodable(str(value)) for key, value in odd.items()}
    content = save({"a": torch.zeros(2)}, said)
    path.write_bytes(damaged(some, content) if some.random() < 0.7 else content)
    return lambda: weights.model_of(path)


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _npy_lie(some: Random, content: bytes) -> bytes:
    match some.randrange(3):
        case 0:
            return damaged(some, content)
        case 1:
            start = content.find(b"'shape': (")
            end = content.find(b")", start)
            lie = some.choice((b"9" * 18, b"-1", b"3, 2, 2, 2, 2", b"1" * 12 + b", 2"))
            room = content[10 : content.find(b"\n") + 1]
            wanted = (room[: start - 10] + b"'shape': (" + lie + room[end - 10 :]).rstrip()
            return content[:10] + wanted.ljust(len(room) - 1)[: len(room) - 1] + b"\n" + bytes(48)
        case _:
            return content


def _inner_lie(some: Random, content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            kind = some.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            new.writestr(zipfile.ZipInfo(name), _npy_lie(some, old.read(name)), kind)
    return made.getvalue()


def data(some: Random, home: Path, run: Path) -> Work:
    """A data file or folder of any kind."""
    kinds: list[Callable[[], Work]] = [
        lambda: idx_file(some, home),
        lambda: cifar(some, home),
        *[lambda: images(some, home)] * 4,
        lambda: texts(some, home),
        *[lambda: arrays(some, home, run)] * 2,
    ]
    return some.choice(kinds)()


# --- folders ----------------------------------------------------------------------------------

EVENTS = "events.out.tfevents."


def folders(some: Random, home: Path, run: Path) -> Work:
    """Folders of runs with files of a stranger, also in a sweep: listed, compared, resumed."""
    for name in ("a", "b"):
        shutil.copytree(run, home / "runs" / name)
    chosen = home / "runs" / "a"
    for _ in range(some.choice((1, 1, 2, 3))):
        _spoil(some, some.choice(sorted(path for path in chosen.rglob("*") if path.is_file())))
    if some.random() < 0.3:
        _event_file(some, chosen)
    if some.random() < 0.3:
        (home / "runs" / "sweep.json").write_bytes(json_of(some, _sweep()))
    page = str(home / "page.html")
    commands: list[Work] = [
        lambda: _other(runs_command.main, ["runs", "--where", "seed>=0"]),
        lambda: _other(runs_command.main, ["compare", "runs/a", "runs/b"]),
        lambda: _other(report_command.main, ["runs", "--out", page]),
        lambda: _other(sample_command.main, ["runs/a", "-n", "2", "--device", "cpu"]),
        lambda: _command(["resume=runs/a", "steps=5"], home),
        lambda: Index(home / "runs") and None,
    ]
    return some.choice(commands)


def _other(main: Callable[[list[str]], None], words: list[str]) -> object:
    try:
        main(words)
    except SystemExit as end:
        return end.code
    return 0


def _spoil(some: Random, path: Path) -> None:
    """Damage a file, or put a link, a folder or a pipe into its place."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > 1 << 24:
        return  # as an earlier call left it
    content = path.read_bytes()
    match some.randrange(12):
        case 0:
            path.unlink()
        case 1:
            path.unlink()
            path.symlink_to(some.choice(("/etc/passwd", "/dev/zero", "..", path.name, "/tmp/x")))
        case 2:
            path.unlink()
            path.mkdir()
        case 3:
            path.unlink()
            os.mkfifo(path)
        case 4:
            with path.open("r+b") as file:
                file.truncate(some.choice((0, 1 << 40)))
        case _:
            path.write_bytes(_changed_content(some, path.suffix, content))


def _changed_content(some: Random, suffix: str, content: bytes) -> bytes:
    """Other values in a file of ours, or other bytes where it has none any more."""
    try:
        if suffix == ".json":
            return json_of(some, json.loads(content))
        if suffix == ".yaml":
            return _config(some, content.decode()).encode(errors="surrogatepass")
        if suffix == ".jsonl":
            found = [json.loads(line) for line in content.splitlines()]
            return b"\n".join(json_of(some, point) for point in found) + b"\n"
    except (ValueError, RecursionError, yaml.YAMLError):  # as an earlier call left it
        pass
    return damaged(some, content)


def _event_file(some: Random, folder: Path) -> None:
    name = some.choice(("9" * 10, "9" * 30, "x", "\udcff", "", "a\nb", "1.1"))
    (folder / f"{EVENTS}{name}").write_bytes(some.randbytes(some.choice((0, 5, 400))))


def _sweep() -> dict[str, Any]:
    job = {"name": "a", "run": "a", "state": "done", "overrides": ["seed=1"], "started": None}
    job |= {"ended": None, "exit_status": 0, "error": None}
    return {"version": 1, "started": "2026-01-01T00:00:00+00:00", "jobs": [job]}


# --- sweeps and studies -----------------------------------------------------------------------

EVIL = "import pathlib\npathlib.Path({proof!r}).touch()\nclass Model: ...\n"
AGAIN = 0.8  # share of cases in which the same command is given again


def sweeps(some: Random, home: Path, base: Path) -> Work:
    """A sweep with files of a stranger, given again, listed, or reported."""
    made = _copied(searches.base_sweep(base / "sweep"), home)
    if some.random() < 0.5:
        _spoil(some, made / "sweep.json")
    _spoil_some(some, home, made)
    if some.random() < AGAIN:
        words = [*searches.SWEEP, "sweep.retry_failed=true", *some.choice(((), ("dry_run=true",)))]
        return lambda: _command(words, home)
    return _read(some, home, "sweep")


def studies(some: Random, home: Path, base: Path) -> Work:
    """A study with files of a stranger, given again, listed, or reported."""
    more = some.choices(((), (searches.DATABASE,)), (4, 1))[0]
    made = _copied(searches.base_study(base / f"study{len(more)}", *more), home)
    if more:
        searches.database(some, made / "study.db")
    elif some.random() < 0.6:
        journal = made / "study.journal"
        journal.write_bytes(searches.journal(some, journal.read_bytes()))
    if some.random() < 0.3:
        _spoil(some, made / "study.json")
    _spoil_some(some, home, made)
    if some.random() < AGAIN:
        words = [*searches.STUDY, f"tune.trials={some.choice((3, 3, 5))}", *more]
        return lambda: _command(words, home, tune_command.main)
    return _read(some, home, "study")


def _copied(base: Path, home: Path) -> Path:
    """A copy of a sweep or study, whose further jobs are copies of one of its runs."""
    searches.use(searches.Copied(min(path.parent for path in base.glob("*/status.json"))))
    shutil.copytree(base, home / base.name)
    return home / base.name


def _spoil_some(some: Random, home: Path, folder: Path) -> None:
    """Damage files of a sweep or study, or let its runs name code that lies beside them."""
    for _ in range(some.choice((0, 1, 2, 4))):
        files = [path for path in folder.rglob("*") if path.is_file()]
        plain = [path for path in files if path.suffix in (".json", ".yaml", ".jsonl", ".log")]
        _spoil(some, some.choice(sorted(plain if some.random() < 0.6 else files)))
    if some.random() < 0.2:
        for place in (home, folder):
            (place / "evil.py").write_text(EVIL.format(proof=str(home / "proof")))
        for path in folder.glob("*/config.yaml"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 24:
                text = path.read_text(errors="replace")
                text = text.replace("_target_: gan_cli.models", "_target_: evil.models")
                trust = some.choice(("--trust: evil", "--config-dir: study", "-m: x"))
                path.write_text(text.replace("choices:\n", f"choices:\n  {trust}\n"))


def _read(some: Random, home: Path, name: str) -> Work:
    page = str(home / "page.html")
    commands: list[Work] = [
        lambda: _other(runs_command.main, [name, "--where", "seed>=0"]),
        lambda: _other(report_command.main, [name, "--out", page]),
    ]
    return some.choice(commands)


# --- all of them ------------------------------------------------------------------------------

KINDS: dict[str, tuple[float, int]] = {  # seconds and bytes that a case of each may take
    "overrides": (60.0, 2 << 30),
    "lines": (120.0, 2 << 30),
    "checkpoints": (SECONDS, MEMORY // 2),
    "data": (SECONDS, MEMORY),
    "folders": (SECONDS, MEMORY // 2),
    "studies": (SECONDS, MEMORY // 2),
    "sweeps": (SECONDS, MEMORY // 2),
}


def prepared(kind: str, some: Random, home: Path, run: Path) -> Work:
    """The work of one case; its files lie in `home`."""
    of_run = {"checkpoints": checkpoints, "data": data, "folders": folders}
    if kind in of_run:
        return of_run[kind](some, home, run)
    if kind in ("studies", "sweeps"):
        return {"studies": studies, "sweeps": sweeps}[kind](some, home, run.parent)
    return {"overrides": overrides, "lines": lines}[kind](some, home)


def judged(kind: str, some: Random, home: Path, run: Path) -> Outcome:
    """One case, done in the new folder `home`, which is removed unless it is at fault."""
    home.mkdir(parents=True)
    os.environ["GAN_CLI_CACHE"] = str(home / "cache")
    tempfile.tempdir = str(home)
    seconds, memory = KINDS[kind]
    found = outcome(prepared(kind, some, home, run), home, seconds, memory)
    if (home / "proof").exists():
        found = Outcome(FAULT, "code of a file was run", found.seconds, found.memory)
    if found.kind != FAULT:
        shutil.rmtree(home)
    return found


def of_seed(kind: str, seed: int, number: int) -> Random:
    """The random numbers of a case."""
    return Random(f"{kind} {seed} {number}")


def count(kind: str, wanted: int, seed: int, folder: Path, only: int | None) -> dict[str, Any]:
    """Do the cases of one kind; their counts."""
    run = base_run(folder / "base")
    numbers: Iterator[int] = iter([only] if only is not None else range(10**9))
    totals: Counter[str] = Counter()
    cases = given_words = 0
    slowest = largest = 0.0
    faults: list[dict[str, Any]] = []
    for number in numbers:
        if only is None and (given_words if kind == "overrides" else cases) >= wanted:
            break
        home = folder / f"{kind}-{number}"
        shutil.rmtree(home, ignore_errors=True)
        some = of_seed(kind, seed, number)
        found = judged(kind, some, home, run)
        cases += 1
        if kind == "overrides":
            typed = line_of(of_seed(kind, seed, number), MOST)
            given_words += len(typed) - 1 - len(OF_POINTS.get(typed[0].removeprefix("model="), ()))
        totals[found.kind] += 1
        slowest, largest = max(slowest, found.seconds), max(largest, found.memory)
        if found.kind == FAULT:
            faults.append({"case": number, "what": found.text})
            if kind in ("overrides", "lines"):
                most = MOST if kind == "overrides" else 2
                print(*line_of(of_seed(kind, seed, number), most), file=sys.stderr)
            print(f"{kind}:{number} {found.text[:400]}", file=sys.stderr, flush=True)
        elif only is not None:
            print(found, file=sys.stderr)
    counted = {"cases": cases, **totals, "slowest_s": round(slowest, 2)}
    counted |= {"largest_MiB": int(largest) >> 20, "faults": faults}
    return ({"overrides": given_words} if kind == "overrides" else {}) | counted


def main() -> int:
    """Do what the command line asks for; 1 where a case is at fault."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("folder", type=Path)
    for kind in KINDS:
        options.add_argument(f"--{kind}", type=int, default=0, metavar="N")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", metavar="KIND:NUMBER")
    options.add_argument("--out", type=Path)
    chosen = options.parse_args()
    install()
    with open("/proc/self/statm") as file:  # noqa: PTH123
        room = int(file.read().split()[0]) * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    folder = chosen.folder.absolute()
    found: dict[str, Any] = {"seed": chosen.seed}
    if chosen.only:
        kind, _, number = chosen.only.partition(":")
        found[kind] = count(kind, 1, chosen.seed, folder, int(number))
    for kind in KINDS:
        if wanted := getattr(chosen, kind):
            found[kind] = count(kind, wanted, chosen.seed, folder, None)
            if chosen.out:
                chosen.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return int(any(isinstance(one, dict) and one.get(FAULT) for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
