"""Checkpoints: whole or refused, whatever happens to the writer, the disk or the bytes."""

import errno
import io
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_cli.errors import CheckpointError
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder


def state(step: int = 0, size: int = 300) -> dict:
    weights = OrderedDict(weight=torch.full((size,), float(step)), bias=torch.arange(3))
    return {
        "config": "seed: 0\n",
        "model": weights,
        "averages": {"0.weight": torch.ones(2, dtype=torch.bfloat16)},
        "optimizers": {
            "generator": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []}
        },
        "window": {"a\nb": {"sum": torch.zeros(2), "count": 3}},
        "data": {"name": "toy", "shape": (1, 2, 3), "class_names": ("a", "b")},
    }


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def save(run: RunFolder, step: int, keep_step: bool = False, keep: int | None = 3, **more) -> Path:
    return checkpoint.save(run.checkpoints, {**state(step), **more}, step, keep_step, keep)


def names(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir())


def test_everything_comes_back(run):
    saved = checkpoint.load(save(run, 7))
    assert (saved["format"], saved["step"], saved["config"]) == (1, 7, "seed: 0\n")
    assert saved["data"] == state()["data"]
    assert saved["versions"].keys() == {"gan_cli", "torch", "python"}
    assert torch.equal(saved["model"]["weight"], torch.full((300,), 7.0))
    assert saved["averages"]["0.weight"].dtype == torch.bfloat16
    assert saved["optimizers"]["generator"]["state"][0]["step"] == 1
    assert saved["window"]["a\nb"]["count"] == 3


def test_every_plain_kind_comes_back(run):
    plain = [None, True, 3, 0.5, 1j, "x", b"y", torch.Size([2]), torch.float16, (1, [2]), {1: {}}]
    assert {type(value) for value in plain} >= set(checkpoint.PLAIN)
    loaded = checkpoint.load(save(run, 1, more=plain))["more"]
    assert loaded == plain
    assert [type(value) for value in loaded] == [type(value) for value in plain]


def test_real_optimizers_come_back(run):
    layer = torch.nn.Linear(3, 2)
    for kind in (torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD, torch.optim.AdamW):
        optimizer = kind(layer.parameters(), lr=0.1)
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        path = save(run, 1, optimizers={"a": optimizer.state_dict()}, model=layer.state_dict())
        optimizer.load_state_dict(checkpoint.load(path)["optimizers"]["a"])


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (np.float64(1), r"checkpoint\.more: a numpy\.float64 cannot be loaded safely"),
        ([{"a": Path("x")}], r"checkpoint\.more\.0\.a: a pathlib\.PosixPath cannot"),
        ({np.int64(1): 2}, r"checkpoint\.more \(a key\): a numpy\.int64 cannot"),
        (torch.nn.Linear(1, 1), r"checkpoint\.more: a torch\.nn\.modules\.linear\.Linear cannot"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(run, bad, text):
    save(run, 1)
    with pytest.raises(CheckpointError, match=text):
        save(run, 2, more=bad)
    assert checkpoint.load(run.checkpoints / "last.pt")["step"] == 1


def test_last_always_there_and_the_newest_kept_ones_survive(run):
    for step in (10, 20, 30, 35, 40, 100_000_000):
        save(run, step, keep_step=step % 10 == 0, keep=2)
    assert names(run) == ["last.pt", "step_00000040.pt", "step_100000000.pt"]
    assert checkpoint.load(checkpoint.find(run, 40))["step"] == 40
    assert checkpoint.load(checkpoint.find(run, "100000000"))["step"] == 100_000_000
    assert checkpoint.load(checkpoint.find(run))["step"] == 100_000_000


def test_all_states_can_be_kept(run):
    for step in range(10, 70, 10):
        save(run, step, keep_step=True, keep=None)
    assert names(run) == ["last.pt", *(f"step_000000{step}.pt" for step in range(10, 70, 10))]


def test_keeping_none_and_saving_a_step_twice(run):
    save(run, 10, keep_step=True)
    save(run, 10, keep_step=True)
    assert names(run) == ["last.pt", "step_00000010.pt"]
    save(run, 20, keep_step=True, keep=0)
    assert names(run) == ["last.pt"]


def test_later_steps_are_not_counted_after_going_back(run):
    for step in (10, 20, 30):
        save(run, step, keep_step=True)
    save(run, 15, keep_step=True, keep=2)
    assert names(run) == [
        "last.pt",
        *(f"step_000000{step}.pt" for step in (10, 15, 20, 30)),
    ]


def test_kept_step_shares_the_bytes_of_last(run):
    last = save(run, 10, keep_step=True)
    assert last.samefile(checkpoint.find(run, 10))
    save(run, 11)
    assert checkpoint.load(checkpoint.find(run, 10))["step"] == 10


def test_file_system_without_links_gets_copies(run, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    last = save(run, 10, keep_step=True)
    assert not last.samefile(checkpoint.find(run, 10))
    assert checkpoint.load(checkpoint.find(run, 10))["step"] == 10
    assert names(run) == ["last.pt", "step_00000010.pt"]


def test_leftovers_of_killed_writers_are_removed(run):
    save(run, 1)
    (run.checkpoints / ".last.pt.0123abcd.tmp").write_bytes(b"half")
    save(run, 2)
    assert names(run) == ["last.pt"]


WRITER = """
import sys, torch
from pathlib import Path
from gan_cli.runs import checkpoint
folder, step = Path(sys.argv[1]), int(sys.argv[2])
while True:
    step += 1
    weights = {str(i): torch.full((20_000,), float(step)) for i in range(5)}
    checkpoint.save(folder, {"config": "", "model": weights}, step, step % 2 == 0, 2)
    print(step, flush=True)
"""


@pytest.mark.slow
def test_last_loads_after_every_kill_9_during_saving(run):
    step, rng = 0, random.Random(0)
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(run.checkpoints), str(step)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout
        seen = int(writer.stdout.readline())  # up and saving
        time.sleep(rng.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        seen = int((writer.communicate()[0].split() or [seen])[-1])
        for path in run.checkpoints.glob("*.pt"):
            loaded = checkpoint.load(path)
            assert all((w == loaded["step"]).all() for w in loaded["model"].values())
        step = checkpoint.load(run.checkpoints / "last.pt")["step"]
        assert step >= seen  # what was reported as saved is there
    assert len(list(run.checkpoints.glob("step_*.pt"))) in (2, 3)  # 3: killed before pruning


def test_truncated_at_any_length_is_one_line(run):
    path = save(run, 5)
    whole = path.read_bytes()
    for length in {0, 1, 2, 3, 10, 100, *range(0, len(whole), 97), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(
            CheckpointError, match=r"^\S+last\.pt: damaged, or not a checkpoint"
        ) as e:
            checkpoint.load(path)
        assert "\n" not in str(e.value)


def test_a_flipped_bit_in_the_weights_is_noticed(run):
    path = save(run, 5)
    bytes_ = bytearray(path.read_bytes())
    place = bytes_.find(torch.full((300,), 5.0).numpy().tobytes())
    assert place > 0
    bytes_[place + 100] ^= 1
    path.write_bytes(bytes_)
    assert torch.load(path)["step"] == 5  # torch alone would train on
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged"):
        checkpoint.load(path)


def test_random_damage_never_escapes_as_another_error(run):
    path, rng = save(run, 5), random.Random(0)
    whole = path.read_bytes()
    refused = 0
    for _ in range(200):
        bytes_ = bytearray(whole)
        for _ in range(rng.choice((1, 8, 64))):
            bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        path.write_bytes(bytes_)
        try:
            assert checkpoint.load(path)["step"] == 5
        except CheckpointError:
            refused += 1
    assert refused > 100


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


def test_malicious_pickles_run_nothing(run, tmp_path):
    proof, good = tmp_path / "executed", state() | {"format": 1, "step": 1}
    run.checkpoints.mkdir(parents=True)
    path = run.checkpoints / "last.pt"
    torch.save(good | {"config": Attack(proof)}, path)
    with pytest.raises(CheckpointError, match=r"refused: it would run or build \S+\.system"):
        checkpoint.load(path)
    torch.save(good | {"config": Attack(proof)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"not a checkpoint of gan-train"):
        checkpoint.load(path)
    path.write_bytes(pickle.dumps(Attack(proof)))
    with pytest.raises(CheckpointError, match=r"not a checkpoint of gan-train"):
        checkpoint.load(path)
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(CheckpointError, match=r"refused: .* torch\.nn\.modules\.linear\.Linear"):
        checkpoint.load(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)
    torch.save(Attack(proof), path)
    torch.load(path, weights_only=False)
    assert proof.exists()  # the attack is one


def test_foreign_files_are_one_line(run):
    run.checkpoints.mkdir(parents=True)
    path = run.checkpoints / "last.pt"
    torch.save(torch.nn.Linear(1, 1).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"last\.pt: not a checkpoint of gan-train$"):
        checkpoint.load(path)
    torch.save({"format": 1, "step": 3, "config": ""}, path)
    with pytest.raises(
        CheckpointError, match=r"not a checkpoint of gan-train \(model is missing\)"
    ):
        checkpoint.load(path)
    torch.save({"format": 1, "step": 10**15, "config": "", "model": {}}, path)
    with pytest.raises(CheckpointError, match=r"not a checkpoint of gan-train \(step is 10{15}\)"):
        checkpoint.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(CheckpointError, match=r"damaged, or not a checkpoint of gan-train$"):
        checkpoint.load(path)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"last\.pt: no such checkpoint$"):
        checkpoint.load(path)
    path.mkdir()
    with pytest.raises(CheckpointError, match=r"last\.pt: cannot be read \(is not a regular"):
        checkpoint.load(path)


def test_a_compressed_archive_is_not_unpacked(run):
    path = save(run, 5)
    content = path.read_bytes()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/data/9", bytes(1 << 24))
    with pytest.raises(CheckpointError, match=r"gan-train \(it is compressed\)$"):
        checkpoint.load(path)


def test_an_archive_behind_something_else_is_not_read(run):
    path = save(run, 5)
    path.write_bytes(b"\x80\x02" + path.read_bytes())  # for torch a pickle, for zipfile an archive
    with pytest.raises(CheckpointError, match=r"damaged, or not a checkpoint of gan-train$"):
        checkpoint.load(path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_a_regular_file_is_read_as_a_checkpoint(run, kind):
    save(run, 10, keep_step=True)
    last = run.checkpoints / "last.pt"
    last.unlink()
    if kind == "pipe":
        os.mkfifo(last)
        reason = r"last\.pt: cannot be read \(is not a regular file\)"
    else:
        last.symlink_to("/dev/null")
        reason = r"last\.pt: cannot be read \(is a link\)"
    with pytest.raises(CheckpointError, match=rf"{reason}; step_00000010\.pt next to it is intact"):
        checkpoint.load(last)
    loaded, warning = checkpoint.newest_whole(run)
    assert loaded["step"] == 10
    assert re.search(rf"{reason}; resuming from step_00000010\.pt", warning)


def test_error_names_the_newest_whole_one_beside_it(run):
    for step in (10, 20, 30):
        save(run, step, keep_step=True)
    save(run, 35)
    checkpoint.find(run, 30).write_bytes(b"")
    checkpoint.find(run).write_bytes(b"PK")
    with pytest.raises(
        CheckpointError, match=r"last\.pt: .*; step_00000020\.pt next to it is intact"
    ):
        checkpoint.load(checkpoint.find(run))
    loaded, warning = checkpoint.newest_whole(run)
    assert loaded["step"] == 20
    assert "last.pt: damaged" in warning
    assert warning.endswith("resuming from step_00000020.pt")


def test_newest_whole_is_last_without_a_warning(run):
    save(run, 10, keep_step=True)
    save(run, 12)
    loaded, warning = checkpoint.newest_whole(run)
    assert (loaded["step"], warning) == (12, "")
    checkpoint.find(run).unlink()
    loaded, warning = checkpoint.newest_whole(run)
    assert loaded["step"] == 10
    assert "last.pt: no such checkpoint; resuming from step_00000010.pt" in warning


def test_newest_whole_of_none(run):
    with pytest.raises(CheckpointError, match=r"no checkpoint .last. .*the run has saved none yet"):
        checkpoint.newest_whole(run)
    save(run, 10).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"damaged, .*; no other checkpoint is intact"):
        checkpoint.newest_whole(run)


def test_find_lists_what_there_is(run):
    save(run, 10, keep_step=True)
    save(run, 20, keep_step=True)
    for which in (30, "30", "best", "newest", "-1", "1e3", "²"):
        with pytest.raises(
            CheckpointError, match=rf"no checkpoint .{which}. .*available: last, 10, 20"
        ):
            checkpoint.find(run, which)
    os.link(checkpoint.find(run, 10), run.checkpoints / "best.pt")
    assert checkpoint.find(run, "best").name == "best.pt"


def test_newer_format_asks_to_update_and_is_not_skipped(run, monkeypatch):
    save(run, 10, keep_step=True)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 9)
        save(run, 20)
    for read in (
        lambda: checkpoint.load(checkpoint.find(run)),
        lambda: checkpoint.newest_whole(run),
    ):
        with pytest.raises(
            CheckpointError, match=r"format 9 is newer than this program's 1; update"
        ):
            read()


def test_old_formats_are_migrated_step_by_step(run, monkeypatch):
    path = save(run, 10)
    monkeypatch.setattr(checkpoint, "FORMAT", 3)
    with pytest.raises(CheckpointError, match=r"its format 1 is no longer supported"):
        checkpoint.load(path)
    moves = {
        1: lambda old: {**old, "trail": ["1 to 2"]},
        2: lambda old: {**old, "twice": old["trail"]},
    }
    monkeypatch.setattr(checkpoint, "MIGRATIONS", moves)
    loaded = checkpoint.load(path)
    assert (loaded["format"], loaded["twice"], loaded["step"]) == (3, ["1 to 2"], 10)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_failing_sync_leaves_the_old_one(run, monkeypatch, number):
    save(run, 1)

    def fail(_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(
            CheckpointError, match=rf"cannot be written: {os.strerror(number)}"
        ) as e:
            save(run, 2)
    assert "\n" not in str(e.value)
    assert checkpoint.load(run.checkpoints / "last.pt")["step"] == 1
    assert names(run) == ["last.pt"]


@pytest.mark.parametrize("room", [0, 100, 5_000, 200_000])
def test_disk_full_while_writing_leaves_the_old_one(run, room):
    save(run, 1)
    big = {**state(2), "model": {str(i): torch.ones(20_000) for i in range(5)}}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        with pytest.raises(CheckpointError, match=r"last\.pt: cannot be written: File too large"):
            checkpoint.save(run.checkpoints, big, 2, True, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert checkpoint.load(run.checkpoints / "last.pt")["step"] == 1
    assert names(run) == ["last.pt"]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(CheckpointError, match="checkpoints: cannot be written: Not a directory"):
        save(RunFolder(tmp_path / "run"), 1)
