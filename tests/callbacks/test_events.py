"""Records, checksums, names, and what happens when the disk refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

from gan_cli import event_file
from gan_cli.errors import UserError
from gan_cli.event_file import EventFile, histogram, scalar
from gan_cli.files import AppendedFile


def test_tensorboard_reads_every_record(tmp_path: Path) -> None:
    file = EventFile(tmp_path, first_step=7)
    file.add(8, scalar("loss", 0.5))
    file.add(9, scalar("loss", 0.25), scalar("other", 1))
    file.close()
    (path,) = tmp_path.iterdir()
    # The loader refuses a record whose checksum is wrong.
    read = [Event.FromString(record) for record in RawEventFileLoader(str(path)).Load()]
    assert read[0].file_version == "brain.Event:2"
    assert (read[1].step, read[1].session_log.status) == (7, 1)
    assert [(e.step, [v.tag for v in e.summary.value]) for e in read[2:]] == [
        (8, ["loss"]),
        (9, ["loss", "other"]),
    ]


@pytest.mark.parametrize("name", ["x", "9" * 10, "9" * 30, "9999999999.1", "a\nb"])
def test_a_name_that_nothing_sorts_behind_is_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / f"events.out.tfevents.{name}").touch()
    EventFile(tmp_path, first_step=0).close()
    assert len(list(tmp_path.glob(f"events.out.tfevents.*.{os.getpid()}"))) == 1


def test_later_files_sort_behind_earlier_ones_of_the_same_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_file.time, "time", lambda: 1_700_000_000.5)
    made = []
    for process in (10, 9, 8):  # a smaller number sorts first
        monkeypatch.setattr(event_file.os, "getpid", lambda number=process: number)
        EventFile(tmp_path, 0).close()
        made += [path.name for path in tmp_path.iterdir() if path.name not in made]
    assert made == sorted(made)
    assert len(made) == 3


def test_records_are_on_disk_without_flush_or_close(tmp_path: Path) -> None:
    file = AppendedFile(tmp_path / "x")
    file.append(b"one\n")
    assert (tmp_path / "x").read_bytes() == b"one\n"
    file.close()


@pytest.mark.parametrize("values", [[1e20, 1e20], [1e17], [1.0, np.nextafter(1.0, 2)]])
def test_values_too_close_together_for_buckets_share_one(values: list[float]) -> None:
    found = histogram("x", np.array(values))
    assert found is not None
    assert list(found.histo.bucket) == [len(values)]
    assert found.histo.min <= found.histo.max < found.histo.bucket_limit[0]


def test_appends_to_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old\n")
    file = AppendedFile(tmp_path / "x")
    file.append(b"new\n")
    file.close()
    file.close()
    assert (tmp_path / "x").read_bytes() == b"old\nnew\n"


def test_a_folder_that_is_missing_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no/x: cannot be written: No such file"):
        AppendedFile(tmp_path / "no" / "x")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")  # noqa: PTH110
def test_a_full_disk_shows_at_once(tmp_path: Path) -> None:
    file = AppendedFile(Path("/dev/full"))
    with pytest.raises(UserError, match="/dev/full: cannot be written: No space left"):
        file.append(b"x")
    file.close()


@pytest.mark.skipif(os.name != "posix", reason="no limit on the size of files elsewhere")
def test_what_a_full_disk_took_of_a_record_is_cut_off(tmp_path: Path) -> None:
    import resource

    file = AppendedFile(tmp_path / "x")
    file.append(b"one\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, limits[1]))  # room for two bytes more
    try:
        with pytest.raises(UserError, match="x: cannot be written: File too large"):
            file.append(b"two\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.append(b"three\n")
    file.close()
    assert (tmp_path / "x").read_bytes() == b"one\nthree\n"


@pytest.mark.skipif(os.name != "posix", reason="deleting an open file is refused elsewhere")
def test_a_deleted_file_shows_at_once(tmp_path: Path) -> None:
    file = AppendedFile(tmp_path / "x")
    (tmp_path / "x").unlink()
    with pytest.raises(UserError, match="deleted while the run was writing to it"):
        file.append(b"x")
    file.close()


FILL = f"import sys; sys.path.append({str(Path(__file__).parent)!r})"
FILL += """
import resource, sys
from pathlib import Path
from contexts import context
from gan_cli.callbacks.tensorboard import TensorBoard
from gan_cli.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
board = TensorBoard(context(Path(sys.argv[1])))
board.start(0)
try:
    for step in range(1, 1000):
        board.logged(step, {"loss/generator": 0.5}, {})
except UserError as error:
    print(step, error)
finally:
    board.end(step, "failed")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up_ends_the_run_and_leaves_what_is_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "cannot be written: File too large" in done.stdout
    assert done.stderr == ""
    step = int(done.stdout.split()[0])
    (path,) = tmp_path.iterdir()
    read = [Event.FromString(record) for record in RawEventFileLoader(str(path)).Load()]
    assert max(e.step for e in read) == step - 1


def test_histograms_leave_out_what_is_not_finite() -> None:
    value = histogram("h", np.array([np.nan, 1, 2, np.inf, -np.inf], dtype=np.float32))
    assert value is not None
    assert (value.histo.num, value.histo.min, value.histo.max) == (2, 1, 2)
    assert sum(value.histo.bucket) == 2
    assert histogram("h", np.array([np.nan])) is None
    assert histogram("h", np.zeros(0)) is None


def test_histograms_of_close_and_of_huge_values() -> None:
    for values in ([1.0, np.nextafter(np.float32(1), np.float32(2))], [-3e38, 3e38], [0.0, 1e-45]):
        value = histogram("h", np.array(values, dtype=np.float32))
        assert value is not None
        assert sum(value.histo.bucket) == 2
