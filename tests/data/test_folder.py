import hashlib
import json
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock
from pictures import RED, encoded, noise, save
from PIL import Image

from gan_cli.data import decode, folder, folder_cache
from gan_cli.data.folder import Folder
from gan_cli.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    home = tmp_path / "cache"
    monkeypatch.setenv("GAN_CLI_CACHE", str(home))
    return home


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three colour images each."""
    for number in range(6):
        name = "cat" if number < 3 else "dog"
        save(tmp_path / "my pets" / name / f"{number}.png", noise(9, 7, 3, seed=number))
    return tmp_path / "my pets"


@pytest.fixture
def decoded(monkeypatch) -> list[Path]:
    """The files that are decoded."""
    paths: list[Path] = []
    really = decode.decode

    def recording(path, *choice):
        paths.append(path)
        return really(path, *choice)

    monkeypatch.setattr(folder_cache, "decode", recording)
    return paths


def leftovers(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.name.endswith(".tmp")]


def test_images_labels_and_names(root: Path) -> None:
    data = Folder(str(root), size=[9, 7])
    expected = np.stack([noise(9, 7, 3, seed=n).transpose(2, 0, 1) for n in range(6)])
    assert torch.equal(data.values, torch.from_numpy(expected))
    assert data.targets is not None
    assert data.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.spec.class_names == ("cat", "dog")
    assert data.spec.name == "my_pets"
    assert data.spec.shape == (3, 9, 7)
    real = data.real(torch.tensor([5, 0]))
    torch.testing.assert_close(real, torch.from_numpy(expected[[5, 0]] / 127.5 - 1).float())


def test_classes_can_be_left_out(root: Path) -> None:
    data = Folder(str(root), size=8, classes="none")
    assert data.targets is None
    assert data.spec.classes == 0


def test_the_table_is_mapped_and_the_cache_safe_from_writes(root: Path) -> None:
    data = Folder(str(root), size=8)
    before = data.values.clone()
    data.values.zero_()
    assert torch.equal(Folder(str(root), size=8).values, before)


def test_auto_channels_are_1_only_where_all_files_are_grey(tmp_path: Path) -> None:
    grey = tmp_path / "grey"
    save(grey / "a.png", noise(5, 5, 1))
    save(grey / "b.png", (noise(5, 5, 1) > 99))
    assert Folder(str(grey), size=5).spec.shape == (1, 5, 5)
    assert Folder(str(grey), size=5, channels=3).spec.shape == (3, 5, 5)
    save(grey / "c.png", noise(5, 5, 3))
    assert Folder(str(grey), size=5).spec.shape == (3, 5, 5)
    assert Folder(str(grey), size=5, channels=1).spec.shape == (1, 5, 5)


def test_the_second_time_nothing_is_read(root: Path, decoded: list[Path], monkeypatch) -> None:
    first = Folder(str(root), size=8)
    assert len(decoded) == 6
    monkeypatch.setattr(folder_cache, "inspect", None)
    second = Folder(str(root), size=8)
    assert len(decoded) == 6
    assert torch.equal(first.values, second.values)
    assert first.fingerprint == second.fingerprint


def test_touched_and_copied_folders_find_their_cache(
    root: Path, tmp_path: Path, decoded: list[Path]
) -> None:
    first = Folder(str(root), size=8)
    os.utime(root / "cat" / "0.png", (1, 1))
    assert Folder(str(root), size=8).key == first.key
    copy = shutil.copytree(root, tmp_path / "copy")
    assert Folder(str(copy), size=8).key == first.key
    assert len(decoded) == 6


def test_changed_content_and_settings_make_another_cache(root: Path) -> None:
    keys = {Folder(str(root), size=8).key, Folder(str(root), size=9).key}
    keys.add(Folder(str(root), size=8, channels=1).key)
    stat = (root / "cat" / "0.png").stat()
    save(root / "cat" / "0.png", noise(9, 7, 3, seed=100))
    os.utime(root / "cat" / "0.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    changed = Folder(str(root), size=8)
    keys.add(changed.key)
    (root / "cat" / "0.png").rename(root / "cat" / "9.png")
    keys.add(Folder(str(root), size=8).key)
    assert len(keys) == 5


@pytest.mark.parametrize("damage", ["short pixels", "no index", "half an index", "wrong index"])
def test_a_damaged_cache_is_built_anew(root: Path, cache: Path, damage: str) -> None:
    first = Folder(str(root), size=8)
    before, entry = first.values.clone(), cache / "folders" / first.key
    match damage:
        case "short pixels":
            (entry / "pixels").write_bytes(b"short")
        case "no index":
            (entry / "index.json").unlink()
        case "half an index":
            (entry / "index.json").write_text((entry / "index.json").read_text()[:20])
        case "wrong index":
            (entry / "index.json").write_text(json.dumps({"shape": [1]}))
    assert torch.equal(Folder(str(root), size=8).values, before)
    assert (entry / "pixels").stat().st_size == before.numel()


def test_broken_files_are_all_listed_and_nothing_goes_on(root: Path) -> None:
    (root / "cat" / "broken.png").write_bytes(b"nothing")
    (root / "dog" / "a.avif").write_bytes(b"x")
    (root / "dog" / "gone.jpg").symlink_to(root / "nowhere")
    with pytest.raises(DataError) as caught:
        Folder(str(root), size=8)
    assert str(caught.value).splitlines() == [
        f"data.root = {root}: 3 of 9 images cannot be read; repair or delete them, or skip them "
        "with data.skip_broken=true:",
        "  cat/broken.png: not a PNG, JPEG, WebP, BMP, GIF or TIFF image",
        "  dog/a.avif: AVIF is not supported; convert it to PNG or JPEG",
        "  dog/gone.jpg: cannot be read: No such file or directory",
    ]


def test_skip_broken_continues_and_warns(root: Path, caplog, decoded: list[Path]) -> None:
    (root / "cat" / "1.png").write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(DataError, match="1 of 6 images"):
            Folder(str(root), size=8)
    data = Folder(str(root), size=8, skip_broken=True)
    assert data.targets is not None
    assert data.targets.tolist() == [0, 0, 1, 1, 1]
    assert "continuing without broken images (1 of 6)" in caplog.text
    assert "cat/1.png: not a PNG" in caplog.text
    assert len(decoded) == 5  # once, although it was requested three times


def test_a_class_without_readable_images_is_none(root: Path) -> None:
    for path in (root / "dog").iterdir():
        path.write_bytes(b"nothing")
    save(root / "fox" / "a.png", noise(4, 4, 3))
    assert Folder(str(root), size=8, skip_broken=True).spec.class_names == ("cat", "fox")


def test_broken_files_are_countedby_reason(tmp_path: Path, caplog) -> None:
    root = tmp_path / "bad"
    caplog.set_level("INFO")
    root.mkdir()
    for number in range(650):
        (root / f"{number:03}.heic").write_bytes(b"")
    (root / "empty.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        Folder(str(root), size=8, skip_broken=True, workers=1)
    assert str(caught.value).splitlines() == [
        f"data.root = {root}: 651 of 651 images cannot be read; no other image is left:",
        "  650 files: HEIC is not supported; convert it to PNG or JPEG (000.heic, 001.heic, "
        "002.heic, 003.heic, 004.heic and 645 more)",
        "  empty.png: empty file",
    ]
    assert "decoding" not in caplog.text  # there was nothing to decode


def test_many_reasons_are_capped() -> None:
    broken = [(f"{number:02}.png", f"reason {number}") for number in range(25)]
    lines = folder.by_reason(broken)
    assert len(lines) == 21
    assert lines[-2:] == ["  19.png: reason 19", "  ... and 5 more"]


def test_names_that_are_no_text_can_be_listed(tmp_path: Path) -> None:
    root = tmp_path / "names"
    root.mkdir()
    (root / os.fsdecode(b"bad\xff.png")).write_bytes(b"")
    save(root / os.fsdecode(b"good\xfe.png"), noise(4, 4, 1))
    with pytest.raises(DataError) as caught:
        Folder(str(root), size=8)
    str(caught.value).encode()  # can be printed
    assert r"bad\xff.png: empty file" in str(caught.value)
    assert len(Folder(str(root), size=8, skip_broken=True)) == 1


def test_a_file_that_became_readable_is_used(root: Path) -> None:
    link = root / "cat" / "late.png"
    link.symlink_to(root.parent / "late")
    assert len(Folder(str(root), size=8, skip_broken=True)) == 6
    save(root.parent / "x.png", noise(4, 4, 3)).rename(root.parent / "late")
    assert len(Folder(str(root), size=8)) == 7


def test_a_file_that_changes_while_it_is_read_is_an_error(
    root: Path, cache: Path, monkeypatch
) -> None:
    really = decode.inspect

    def inspect(path):
        look = really(path)
        if path.name == "5.png":
            (root / "dog" / "4.png").write_bytes(b"other")
        return look

    monkeypatch.setattr(folder_cache, "inspect", inspect)
    with pytest.raises(DataError, match=r"dog/4.png: changed while it was read; start again"):
        Folder(str(root), size=8, workers=1)
    assert not leftovers(cache)


def test_threads_give_what_one_thread_gives(root: Path, cache: Path) -> None:
    alone = Folder(str(root), size=8, workers=1).values.clone()
    shutil.rmtree(cache)
    assert torch.equal(Folder(str(root), size=8, workers=3).values, alone)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_and_few_wait(threads: int) -> None:
    started: list[int] = []

    def numbers():
        for number in range(50):
            started.append(number)
            yield number

    def square(number: int) -> int:
        time.sleep(0.003 if number % 3 == 0 else 0)
        return number**2

    results = folder_cache.on_threads(square, numbers(), threads)
    for number in range(50):
        assert next(results) == number**2
        assert len(started) <= number + folder_cache.WAITING * threads
    assert list(results) == []


def test_a_fault_of_the_program_is_not_hidden() -> None:
    results = folder_cache.on_threads(lambda number: 1 // number, [1, 0, 1], 2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_hostile_files_do_not_disturb_the_others(root: Path) -> None:
    """A decompression bomb, damaged streams and a text among sound images, on threads."""
    bomb = encoded(Image.new("1", (20000, 20000)), "PNG")
    (root / "cat" / "bomb.png").write_bytes(bomb)
    sound = encoded(Image.fromarray(noise(40, 40, 3)), "PNG")
    (root / "cat" / "cut.png").write_bytes(sound[: len(sound) // 2])
    (root / "dog" / "garbled.png").write_bytes(sound[:60] + b"XX" + sound[62:])
    (root / "dog" / "text.jpg").write_bytes(b"<html>")
    data = Folder(str(root), size=[9, 7], skip_broken=True, workers=3)
    expected = np.stack([noise(9, 7, 3, seed=n).transpose(2, 0, 1) for n in range(6)])
    assert np.array_equal(data.values.numpy(), expected)


def test_a_full_disk_is_named_and_leaves_nothing(root: Path, cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # no file may become larger
    try:
        with pytest.raises(DataError, match=r"pixels: cannot be written: File too large"):
            Folder(str(root), size=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not leftovers(cache)
    assert len(Folder(str(root), size=64)) == 6


def test_a_cache_that_cannot_be_written_is_named(root: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be written: .*GAN_CLI_CACHE"):
        Folder(str(root), size=8)


def test_a_cache_for_reading_alone_serves_a_copy(root: Path, tmp_path: Path, monkeypatch) -> None:
    first = Folder(str(root), size=8)
    shutil.copytree(root, tmp_path / "copy")

    def refused(path: Path, *_: object) -> None:
        raise DataError(f"{path}: cannot be written")

    monkeypatch.setattr(folder_cache, "write", refused)
    monkeypatch.setattr(folder_cache, "locked", refused)
    assert torch.equal(Folder(str(tmp_path / "copy"), size=8).values, first.values)


def test_small_images_are_counted(tmp_path: Path, caplog) -> None:
    for name, side in (("a", 8), ("b", 16), ("c", 4)):
        save(tmp_path / "some" / f"{name}.png", noise(side, side, 1))
    caplog.set_level(logging.INFO)
    Folder(str(tmp_path / "some"), size=16)
    words = "2 of 3 images are smaller than 16x16 and are enlarged, up to 4 times"
    assert any(message.endswith(words) for message in caplog.messages)


def test_folders_in_one_folder_are_told(tmp_path: Path, caplog) -> None:
    for name in ("cat", "dog"):
        save(tmp_path / "some" / "pets" / name / "1.png", noise(8, 8, 1))
    caplog.set_level(logging.INFO)
    assert Folder(str(tmp_path / "some"), size=8).targets is None
    words = f"so its sub-folders are not classes; data.root={tmp_path / 'some' / 'pets'} makes"
    assert any(words in message for message in caplog.messages)
    caplog.clear()
    Folder(str(tmp_path / "some" / "pets"), size=8)
    assert not any("classes" in message for message in caplog.messages)


SCRIPT = """
import logging, sys
from gan_cli.data.folder import Folder
if __name__ == "__main__":
    logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
    data = Folder(sys.argv[1], size=8, workers=int(sys.argv[2]))
    print(data.values.long().sum().item(), data.fingerprint)
"""


def start(tmp_path: Path, root: Path, workers: int) -> subprocess.Popen:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(root), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_make_one_cache(root: Path, tmp_path: Path, cache: Path) -> None:
    jobs = [start(tmp_path, root, workers) for workers in (1, 2)]
    outputs = [job.communicate(timeout=60) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    last = {output.splitlines()[-1] for output, _ in outputs}
    assert len(last) == 1
    data = Folder(str(root), size=8)
    assert last == {f"{data.values.long().sum().item()} {data.fingerprint}"}
    assert not leftovers(cache)


def test_who_waited_for_the_lock_takes_what_the_other_made(
    root: Path, tmp_path: Path, cache: Path
) -> None:
    made = Folder(str(root), size=8)
    shutil.move(cache, tmp_path / "aside")
    (cache / "folders").mkdir(parents=True)
    with FileLock(cache / "folders" / f"{made.key}.lock"):
        job = start(tmp_path, root, 1)
        assert job.stdout is not None
        assert (
            job.stdout.readline() == "waiting for another process, which decodes the same images\n"
        )
        shutil.copytree(tmp_path / "aside" / "folders" / made.key, cache / "folders" / made.key)
    output, errors = job.communicate(timeout=60)
    assert job.returncode == 0, errors
    assert "decoding" not in output
    assert made.fingerprint in output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": None}, "data.size = null: a number or [height,width] is needed for folders"),
        ({"size": 0}, "data.size = 0: a positive number or [height,width] is needed"),
        ({"channels": 2}, "data.channels = 2: 1, 3 or auto is needed"),
        ({"channels": True}, "data.channels = True: 1, 3 or auto is needed"),
        ({"classes": "some"}, "data.classes = some: auto or none is needed"),
        ({"background": "no"}, "data.background = no: a colour such as black or '#808080' is"),
        ({"background": "#11223344"}, "data.background = #11223344: a colour such as black"),
        ({"labels": "l.csv", "classes": "none"}, "data.classes = none: data.labels cannot"),
        ({"split": "tset"}, "data.split = tset: train, test or all is needed (did you mean test?)"),
        ({"split": "test"}, "has no folders train and test (or val), with the same sub-folders"),
        ({"workers": 0}, "data.workers = 0: at least 1, or null, is needed"),
    ],
)
def test_impossible_settings_are_named(root: Path, settings, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Folder(str(root), **settings)


def test_an_empty_root_is_not_the_working_directory() -> None:
    with pytest.raises(ConfigError, match=r"data.root = '': the folder of images is needed"):
        Folder("")


def test_fingerprints_tell_classes_apart(root: Path) -> None:
    with_classes, without = Folder(str(root), size=8), Folder(str(root), size=8, classes="none")
    assert with_classes.key == without.key
    assert with_classes.fingerprint != without.fingerprint


def test_fingerprints_are_of_pixels_and_labels_alone(root: Path) -> None:
    (root / "cat" / "broken.png").write_bytes(b"")
    before = Folder(str(root), size=8, skip_broken=True).fingerprint
    (root / "cat" / "broken.png").unlink()
    assert Folder(str(root), size=8, skip_broken=True).fingerprint == before
    moved = root.rename(root.parent / "elsewhere")
    (moved / "cat" / "0.png").rename(moved / "cat" / "00.png")  # at the same position of the order
    assert Folder(str(moved), size=8).fingerprint == before
    (moved / "cat" / "2.png").rename(moved / "dog" / "2.png")
    assert Folder(str(moved), size=8).fingerprint != before
    (moved / "dog" / "2.png").rename(moved / "cat" / "2.png")
    save(moved / "dog" / "5.png", noise(9, 7, 3, seed=100))
    assert Folder(str(moved), size=8).fingerprint != before


def test_mixed_formats_together(tmp_path: Path) -> None:
    root = tmp_path / "mixed"
    save(root / "a.jpg", noise(20, 30, 3))
    save(root / "b.webp", noise(30, 20, 3))
    save(root / "c.bmp", noise(5, 5, 1))
    save(root / "d.png", noise(5, 5, 4))
    Image.fromarray(np.full((6, 6), 65535, np.uint16)).save(root / "e.png")
    data = Folder(str(root), size=[6, 4])
    assert data.values.shape == (5, 3, 6, 4)
    assert (data.values[4] == 255).all()


def test_the_cache_s_key_is_that_of_the_whole_text() -> None:
    parts = [64, ("a/é.png", "0f", ""), None]
    text = json.dumps([folder_cache.VERSION, *parts], sort_keys=True)
    assert folder_cache.digest(parts) == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_a_disk_without_room_is_refused_before_anything_is_decoded(
    root: Path, decoded: list[Path], monkeypatch
) -> None:
    full = SimpleNamespace(free=6 * 3 * 8 * 8 - 1)
    monkeypatch.setattr(folder_cache.shutil, "disk_usage", lambda _: full)
    message = "0.0 GB are needed for the decoded images, 0.0 GB are free; free some space"
    with pytest.raises(DataError, match=message):
        Folder(str(root), size=8)
    assert decoded == []


def test_pictures_of_earlier_runs_are_passed_over_and_it_is_said(
    root: Path, tmp_path: Path, caplog
) -> None:
    caplog.set_level("INFO")
    first = Folder(str(root), size=8).fingerprint
    save(root / "runs" / "dcgan-x" / "1" / "samples" / "1.png", noise(9, 7, 3))
    save(root / "mine" / "loose.png", noise(9, 7, 3))
    (root / "runs" / "dcgan-x" / "1" / "status.json").write_text('{"status": "?", "step": 1}')
    again = Folder(str(root), size=8, outputs=[str(root / "mine"), str(root / "runs")])
    assert (again.spec.class_names, again.fingerprint) == (("cat", "dog"), first)
    assert "skipping folders that this program wrote (mine, runs)" in caplog.text


def test_folders_train_and_test_are_parts(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    root = tmp_path / "d"
    for number, (part, name) in enumerate(
        [("train", "cat"), ("train", "dog"), ("train", "dog"), ("val", "cat"), ("val", "dog")]
    ):
        save(root / part / name / f"{number}.png", noise(4, 4, 3, seed=number))
    train, test = Folder(str(root), size=4), Folder(str(root), size=4, split="test")
    assert (
        "train/ (3 images) is data.split=train, val/ (2 images) is data.split=test" in caplog.text
    )
    assert Folder.comes_in_parts({"root": str(root)})
    assert train.spec.class_names == test.spec.class_names == ("cat", "dog")
    assert train.targets is not None
    assert train.targets.tolist() == [0, 1, 1]
    assert torch.equal(test.values[0], torch.from_numpy(noise(4, 4, 3, seed=3).transpose(2, 0, 1)))
    whole = Folder(str(root), size=4, split="all")
    assert whole.targets is not None
    assert whole.targets.tolist() == [0, 1, 1, 0, 1]
    assert not Folder.comes_in_parts({"root": str(root / "train")})


def test_each_part_is_found_again_unread(tmp_path: Path, decoded: list[Path], monkeypatch) -> None:
    for part in ("train", "test"):
        save(tmp_path / "d" / part / "1.png", noise(4, 4, 3))
    for _ in range(2):
        for split in ("train", "test"):
            assert len(Folder(str(tmp_path / "d"), split=split, size=4)) == 1
        monkeypatch.setattr(folder_cache, "inspect", None)
    assert len(decoded) == 2


def test_labels_from_a_file_are_the_classes(root: Path) -> None:
    text = "".join(f"{'cat' if n < 3 else 'dog'}/{n}.png,kind {n % 2}\n" for n in range(6))
    (root / "labels.csv").write_text(text)
    data = Folder(str(root), size=4, labels="labels.csv")
    assert data.targets is not None
    assert (data.targets.tolist(), data.spec.class_names) == ([0, 1] * 3, ("kind 0", "kind 1"))


def test_stylegan_s_labels_are_not_passed_over_in_silence(root: Path, caplog) -> None:
    caplog.set_level("INFO")
    paths = [str(path.relative_to(root)) for path in sorted(root.rglob("*.png"))]
    labels = [[path, number // 2] for number, path in enumerate(paths)]
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert Folder(str(root), size=4).spec.class_names == ("cat", "dog")
    assert "dataset.json is ignored; data.labels=dataset.json uses it" in caplog.text
    data = Folder(str(root), size=4, labels="dataset.json")
    assert data.targets is not None
    assert (data.targets.tolist(), data.spec.class_names) == ([0, 0, 1, 1, 2, 2], ("0", "1", "2"))


def test_the_background_shows_through_and_makes_another_cache(tmp_path: Path) -> None:
    save(tmp_path / "d" / "a.png", np.zeros((4, 4, 4), np.uint8))
    white, red = (Folder(str(tmp_path / "d"), size=4, background=b) for b in ("white", "#ff0000"))
    assert (white.values == 255).all()
    assert red.values[0, :, 0, 0].tolist() == list(RED)
    assert white.key != red.key


def test_pipes_and_links_to_devices_are_broken_images(root: Path) -> None:
    os.mkfifo(root / "cat" / "x.jpg")
    (root / "cat" / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(DataError) as caught:
        Folder(str(root), size=8)
    assert "2 files: cannot be read: not a regular file (cat/x.jpg, cat/zero.png)" in str(
        caught.value
    )
    assert len(Folder(str(root), size=8, skip_broken=True)) == 6
