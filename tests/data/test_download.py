import dataclasses
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirror import Mirror, serving
from rich.console import Console

from gan_cli import console
from gan_cli.data import published
from gan_cli.data.published import FetchError, cache_folder, fetch


@pytest.fixture
def mirror(monkeypatch) -> Iterator[Mirror]:
    monkeypatch.setattr(published, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


CONTENT = bytes(range(256)) * 500


def test_a_file_is_fetched_once(mirror: Mirror, tmp_path: Path) -> None:
    remote = mirror.remote("file.gz", CONTENT)
    for _ in range(2):
        assert fetch(remote, tmp_path / "new" / "folder").read_bytes() == CONTENT
    assert mirror.requests == ["/file.gz"]


def test_a_failed_answer_is_tried_again(mirror: Mirror, tmp_path: Path) -> None:
    remote = mirror.remote("file.gz", CONTENT)
    mirror.failures = 2
    assert fetch(remote, tmp_path).read_bytes() == CONTENT
    assert len(mirror.requests) == 3


def test_a_final_failure_names_the_answer_of_the_mirror(mirror: Mirror, tmp_path: Path) -> None:
    remote = mirror.promised("file.gz", CONTENT)
    with pytest.raises(FetchError, match=re.escape(f"{mirror.address}/file.gz answered 404")):
        fetch(remote, tmp_path)
    assert len(mirror.requests) == published.ROUNDS
    assert list(tmp_path.iterdir()) == []


def test_wrong_bytes_are_never_kept(mirror: Mirror, tmp_path: Path) -> None:
    remote = mirror.promised("file.gz", CONTENT)
    mirror.files["/file.gz"] = CONTENT[:-1]
    with pytest.raises(FetchError, match="another file than the official one"):
        fetch(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_copy_is_replaced(mirror: Mirror, tmp_path: Path) -> None:
    remote = mirror.remote("file.gz", CONTENT)
    (tmp_path / "file.gz").write_bytes(b"damaged")
    assert fetch(remote, tmp_path).read_bytes() == CONTENT


def test_the_second_mirror_steps_in(mirror: Mirror, tmp_path: Path) -> None:
    remote = mirror.remote("file.gz", CONTENT)
    both = dataclasses.replace(remote, urls=(f"{mirror.address}/gone", *remote.urls))
    assert fetch(both, tmp_path).read_bytes() == CONTENT
    assert mirror.requests == ["/gone", "/file.gz"]


def test_no_network_is_said_shortly(mirror: Mirror, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    closed = "127.0.0.1:9"  # the discard port: nothing listens there
    remote = dataclasses.replace(mirror.promised("a", CONTENT), urls=(f"http://{closed}/a",))
    with pytest.raises(FetchError, match=f"^{closed} cannot be reached$"):
        fetch(remote, tmp_path)
    assert [r for r in caplog.records if r.name.startswith("gan_cli")] == []


def test_a_download_is_announced_once(mirror: Mirror, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    fetch(mirror.remote("file.gz", CONTENT), tmp_path)
    said = [r.getMessage() for r in caplog.records if r.name.startswith("gan_cli")]
    assert said == [f"downloading {mirror.address}/file.gz (0.1 MB)"]


def test_a_full_disk_stays_an_error_of_the_system(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        fetch(mirror.remote("file.gz", CONTENT), tmp_path / "file")


def test_a_bar_on_terminals_alone(mirror: Mirror, tmp_path: Path, monkeypatch, capsys) -> None:
    fetch(mirror.remote("quiet.gz", CONTENT), tmp_path)
    assert capsys.readouterr() == ("", "")
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=120, height=20)
    monkeypatch.setattr(console, "on_terminal", lambda: True)
    monkeypatch.setattr(console, "console", lambda: terminal)
    fetch(mirror.remote("shown.gz", CONTENT), tmp_path)
    assert "shown.gz" in screen.getvalue()
    assert "128.0/128.0 kB" in screen.getvalue()
    assert "256.0" not in screen.getvalue()  # the bar is filled once


def test_the_user_chooses_the_cache(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("GAN_CLI_CACHE", "~/data")
    assert cache_folder() == Path.home() / "data"
    monkeypatch.setenv("GAN_CLI_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().name == "gan-cli"
