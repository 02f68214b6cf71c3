"""The page in a real browser: it renders, images load, tables sort, in light and in dark."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from run_folders import sweep, write_run

from gan_cli import report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
browser = pytest.mark.skipif(BROWSER is None, reason="no chromium here (apt-get install chromium)")
# Runs behind the page's own script and writes what it saw into the page.
PROBE = """
const faults = window.faults, seen = {};
const images = [...document.images];
seen.images = images.length;
seen.loaded = images.filter(i => i.complete && i.naturalWidth > 0).length;
const table = document.querySelector("table");
const column = () => [...table.tBodies[0].rows].map(r => r.cells[3].dataset.value);
table.rows[0].cells[3].querySelector("button").click();
seen.up = column();
table.rows[0].cells[3].querySelector("button").click();
seen.down = column();
table.rows[0].cells[1].querySelector("button").click();
seen.words = [...table.tBodies[0].rows].map(r => r.cells[1].textContent);
seen.sorted = table.rows[0].cells[1].getAttribute("aria-sort");
const series = document.querySelectorAll("svg .series").length;
document.querySelector(".legend button").click();
seen.faded = document.querySelectorAll("svg .faded").length;
seen.series = series;
seen.wide = document.documentElement.scrollWidth <= window.innerWidth;
seen.drawn = [...document.querySelectorAll("main > section .chart svg")]
  .filter(s => s.getBoundingClientRect().height > 50).length;
const rgb = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
seen.bright = rgb[0] + rgb[1] + rgb[2] > 382;
seen.faults = faults;
const told = document.createElement("pre");
told.id = "seen";
told.textContent = JSON.stringify(seen);
document.body.append(told);
"""
CATCH = """window.faults = [];
addEventListener("error", e => faults.push(String(e.message || e.target.src)), true);
addEventListener("securitypolicyviolation", e => faults.push(e.violatedDirective));
console.error = console.warn = (...words) => faults.push(words.join(" "));
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    sweep(folder / "runs", seeds=2)
    sly = "<script>alert(1)</script> & \"so\" 'on'"
    write_run(folder / "runs" / "bad", "model=dcgan", status="failed", error=sly)
    path = folder / "report.html"
    with pytest.raises(SystemExit) as exit_:
        report.main([str(folder / "runs"), "--out", str(path)])
    assert exit_.value.code == 0
    return path


def test_the_page_needs_nothing_else_and_runs_nothing_from_runs(page) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"""(?:src|href)=["']?([^"'> ]*)""", text)
    assert links
    assert all(link.startswith("data:") for link in links)
    assert "@import" not in text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


class Balance(html.parser.HTMLParser):
    """Whether every element that is opened is closed in its turn."""

    EMPTY = ("meta", "link", "img", "line", "circle", "path", "polyline", "polygon")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_the_page_is_well_formed(page) -> None:
    balance = Balance()
    balance.feed(page.read_text(encoding="utf-8"))
    assert balance.open == []


@browser
@pytest.mark.parametrize(
    ("dark", "width"), [(False, 1200), (True, 400)], ids=["light", "dark phone"]
)
def test_the_page_in_a_browser(page, tmp_path, dark: bool, width: int) -> None:
    text = page.read_text(encoding="utf-8")
    text = text.replace("<style>", f"<script>{CATCH}</script><style>", 1)
    probed = tmp_path / "probed.html"
    probed.write_text(
        text.replace(
            "</body>", f"<script>addEventListener('load', () => {{{PROBE}}})</script></body>"
        )
    )
    assert BROWSER
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
    command += ["--virtual-time-budget=2000", "--enable-logging=stderr", "--log-level=0"]
    if dark:
        command.append("--blink-settings=preferredColorScheme=0")
    done = subprocess.run([*command, probed.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    seen = json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert seen["faults"] == []
    assert seen["images"] == seen["loaded"] > 0
    numbers = [float(value) for value in seen["up"] if value]
    assert numbers == sorted(numbers)
    assert len(numbers) == 4
    assert seen["up"][-1] == seen["down"][-1] == ""  # what has no value stays at the end
    assert [float(value) for value in seen["down"] if value] == numbers[::-1]
    assert seen["words"] == sorted(seen["words"])
    assert seen["sorted"] == "ascending"
    assert 0 < seen["faded"] < seen["series"]
    assert seen["drawn"] >= 4
    assert seen["wide"]
    assert seen["bright"] is not dark
