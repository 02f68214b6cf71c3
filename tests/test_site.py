"""The documentation as a site: it builds without a warning, and every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest
from documented import PROJECT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("furo") and find_spec("myst_parser")),
        reason='needs pip install -e ".[docs]"',
    ),
]
LINK = re.compile(r"<(\w+)[^>]*?\s(href|src)=\"([^\"]*)\"")
ANCHOR = re.compile(r"\s(?:id|name)=\"([^\"]+)\"")
LOADED = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, written by the README's command; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    words = ["sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-d", str(folder / "trees")]
    made = subprocess.run(
        [sys.executable, "-m", *words, ".", str(folder / "site")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return folder / "site"


def pages(site: Path) -> dict[Path, str]:
    return {page: page.read_text("utf-8") for page in sorted(site.rglob("*.html"))}


def test_every_page_is_there(site: Path) -> None:
    written = {page.relative_to(site).with_suffix(".md") for page in pages(site)}
    sources = {*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")}
    assert {page.relative_to(PROJECT) for page in sources} <= written
    assert (site / "index.html").read_text("utf-8") == (site / "README.html").read_text("utf-8")


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    texts = pages(site)
    anchors = {page: {"", *map(unescape, ANCHOR.findall(text))} for page, text in texts.items()}
    broken: list[str] = []
    for page, text in texts.items():
        for _, _, link in LINK.findall(text):
            place, _, anchor = unescape(link).partition("#")
            if re.match(r"\w+:", place):
                continue
            target = (page.parent / unquote(place).partition("?")[0]).resolve() if place else page
            if not target.is_file() or anchor not in anchors.get(target, {anchor}):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert not broken
    assert sum(len(found) for found in anchors.values()) > 500


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page, text in pages(site).items():
        for tag, _, link in LINK.findall(text):
            assert tag == "a" or not re.match(r"(https?:)?//", link), (page, link)
    for sheet in site.rglob("*.css"):
        assert not LOADED.search(sheet.read_text("utf-8")), sheet
