import errno
import os
import re
from pathlib import Path

import pytest
from pictures import encoded, halves
from PIL import Image

from gan_cli.data.scan import printable, read_file, scan, shown
from gan_cli.errors import DataError

PNG = encoded(halves(4, 4), "PNG")


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def found(root: Path) -> list[str]:
    return [entry.path for entry in scan(root).entries]


def test_images_are_found_at_any_depth_in_the_order_of_paths(tmp_path: Path) -> None:
    names = ["b/x/y/z.png", "a.PNG", "b/c.jpeg", "b.bmp", "a/ü.webp", "d.jfif"]
    assert found(tree(tmp_path, dict.fromkeys(names, b"x"))) == sorted(names)


def test_hidden_files_and_other_files_are_left_alone(tmp_path: Path) -> None:
    others = [
        ".a.png",
        ".git/b.png",
        "__MACOSX/c.png",
        "README.md",
        "labels.csv",
        "x.npy",
        "LICENSE",
    ]
    assert found(tree(tmp_path, dict.fromkeys(others, b"x") | {"a.png": b""})) == ["a.png"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_images_without_a_known_suffix_are_recognised_by_their_content(
    tmp_path: Path, kind: str
) -> None:
    image = encoded(Image.new("RGB", (8, 8)), kind)
    tree(tmp_path, {"photo": image, "photo.dat": image, "notes.txt": image, "data.bin": b"BMx"})
    assert found(tmp_path) == ["photo", "photo.dat"]


def test_formats_that_cannot_be_read_are_not_dropped(tmp_path: Path) -> None:
    assert found(tree(tmp_path, {"a.avif": b"x", "b.HEIC": b"x", "c.psd": b"x"})) == [
        "a.avif",
        "b.HEIC",
        "c.psd",
    ]


RUN = b'{"status": "running", "step": 0}'


@pytest.mark.parametrize(
    ("record", "content"),
    [
        ("status.json", RUN),
        ("sweep.json", b'{"version": 1, "jobs": []}'),
        ("study.json", b'{"place": "tune-0"}'),
    ],
)
def test_folders_that_this_program_wrote_are_passed_over(
    tmp_path: Path, record: str, content: bytes
) -> None:
    tree(tmp_path, {"a.png": PNG, "out/deep/samples/b.png": PNG, f"out/deep/{record}": content})
    listing = scan(tmp_path)
    assert [entry.path for entry in listing.entries] == ["a.png"]
    assert listing.ours == ["out/deep"]


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b'{"status": "ok"}', b"[" * 100_000, b'{"step": 1}', b"\xff"]
)
def test_other_programs_status_files_leave_their_folders_images(
    tmp_path: Path, content: bytes
) -> None:
    assert found(tree(tmp_path, {"b/c.png": PNG, "b/status.json": content})) == ["b/c.png"]


def test_outputs_are_passed_over_below_the_root_and_not_above_it(tmp_path: Path) -> None:
    tree(tmp_path, {"a.png": PNG, "runs/loose.png": PNG, "runs/x/status.json": RUN})
    outputs = [tmp_path / "runs", tmp_path / "nowhere"]
    assert scan(tmp_path, outputs).ours == ["runs"]
    assert found(tmp_path) == ["a.png", "runs/loose.png"]
    inside = scan(tmp_path / "runs", [tmp_path, tmp_path / "runs"])
    assert [entry.path for entry in inside.entries] == ["loose.png"]


def test_a_run_that_is_named_itself_is_read(tmp_path: Path) -> None:
    assert found(tree(tmp_path, {"samples/a.png": PNG, "status.json": RUN})) == ["samples/a.png"]


def test_a_folder_with_only_our_own_samples_is_an_error_that_says_so(tmp_path: Path) -> None:
    tree(tmp_path, {"r/samples/a.png": PNG, "r/status.json": RUN})
    with pytest.raises(DataError, match=r"holds no images except what this program wrote \(r\); "):
        scan(tmp_path)


def test_folders_that_systems_make_are_passed_over(tmp_path: Path) -> None:
    names = ["@eaDir/a.jpg/SYNOPHOTO.jpg", "#recycle/b.png", "x/@eaDir/c.png", "lost+found/d.png"]
    assert found(tree(tmp_path, dict.fromkeys([*names, "x/e.png"], PNG))) == ["x/e.png"]


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")  # reading one waits for a writer
    os.mkfifo(tmp_path / "photo")
    os.mkfifo(tmp_path / "status.json")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert found(tmp_path) == ["loop.png", "x.jpg"]
    with pytest.raises(OSError, match="not a regular file"):
        read_file(tmp_path / "x.jpg", 10)


def test_links_are_followed_once(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"a.png": PNG})
    tree(tmp_path / "other", {"b.png": PNG})
    (root / "other").symlink_to(tmp_path / "other")
    (root / "loop").symlink_to(root)
    (root / "gone.png").symlink_to(tmp_path / "nothing")
    assert found(root) == ["a.png", "gone.png", "other/b.png"]


@pytest.mark.parametrize("place", ["/", ".."])
def test_a_link_to_a_folder_that_holds_the_root_is_refused(tmp_path: Path, place: str) -> None:
    root = tree(tmp_path / "root", {"a.png": PNG})
    (root / "all\nof it").symlink_to(place)
    with pytest.raises(DataError) as error:
        scan(root)
    assert str(error.value) == (
        f"{root}/all\\nof it: is a link to a folder that holds the images' own; remove it"
    )


def test_names_are_shown_on_one_line() -> None:
    assert shown(["a\nb", "c\td", "é", "e"]) == "a\\nb, c\\td, é and 1 more"
    assert printable("\udcff\x1b") == "\\xff\\x1b"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no such folder; a folder of images is needed"),
        (lambda root: root.write_bytes(PNG), "a file, not a folder"),
        (
            lambda root: root.mkdir(),
            "holds no images; PNG, JPEG, WebP, BMP, GIF or TIFF files",
        ),
    ],
)
def test_a_folder_without_images_is_named(tmp_path: Path, make, message: str) -> None:
    root = tmp_path / "images"
    make(root)
    with pytest.raises(DataError, match=re.escape(f"data.root = {root}: {message}")):
        scan(root)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch) -> None:
    locked = tree(tmp_path, {"a.png": PNG, "locked/b.png": PNG}) / "locked"
    really = os.scandir

    def scandir(folder):  # root may read everything, so the refusal is played
        if Path(folder) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return really(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=f"{locked}: cannot be read: Permission denied"):
        scan(tmp_path)
