"""The page in a real browser: it renders, tables sort, and no run can put code into it."""

from __future__ import annotations

import html.parser
import json
import os
import re
from pathlib import Path

import pytest
from browsing import browser, visit
from PIL import Image
from run_folders import sweep, write_run

from gan_cli.commands import report
from gan_cli.runs.folder import RunFolder

PROBE = """
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
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    sweep(folder / "runs", seeds=2)
    sly = "<script>alert(1)</script> & \"so\" 'on'"
    write_run(folder / "runs" / "bad", "model=dcgan", status="failed", error=sly)
    return written(folder)


def written(folder: Path) -> Path:
    """The page of the runs in `folder`/runs."""
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
    seen = visit(page, PROBE, tmp_path, dark=dark, width=width)
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


SCRIPT = """<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">"""
BREAKOUT = f"""x" onmouseover="window.hacked = 1" style="color: red">{SCRIPT}<style>*{{}}</style>"""
LOOK_FOR_CODE = """
seen.hacked = "hacked" in window;
seen.scripts = [...document.scripts].length;
seen.styles = document.querySelectorAll("style, [style], link[rel=stylesheet]").length;
seen.handlers = [...document.querySelectorAll("*")].filter(
  e => [...e.attributes].some(a => a.name.startsWith("on"))).length;
seen.foreign = [...document.images].filter(i => !i.src.startsWith("data:image/png")).length;
seen.classes = [...document.querySelectorAll(".state")].map(e => e.className);
seen.text = document.body.textContent;
"""


def hostile(folder: Path) -> None:
    """Two runs that try to put code into the page by every text that it shows."""
    name = BREAKOUT.replace("/", "\u2215")
    one = write_run(folder / name, "model=gan", name=BREAKOUT, status="failed", error=BREAKOUT)
    other = write_run(folder / "other", "model=gan", name=BREAKOUT)
    other.write_status("finished", 40, alarms=[{"name": BREAKOUT, "step": 1, "words": BREAKOUT}])
    status = json.loads(one.status.read_text())
    status |= {"status": BREAKOUT, "hostname": BREAKOUT}
    status["best"] = {"figure": BREAKOUT, "value": 1.0, "step": 40}
    one.status.write_text(json.dumps(status))
    (one.path / "tags.json").write_text(json.dumps([BREAKOUT]))
    shown = json.dumps(BREAKOUT)
    text = (one.read_config() or "").replace("model: gan", f"model: {shown}")
    one.config.write_text(f"{text}\n{shown}: {shown}\n")
    with one.metrics.open("a") as file:
        for step in (20, 40):
            print(json.dumps({"step": step, f"loss/{BREAKOUT}": step / 7}), file=file)


@browser
def test_no_run_can_put_code_into_the_page(tmp_path) -> None:
    hostile(tmp_path / "runs")
    seen = visit(written(tmp_path), LOOK_FOR_CODE, tmp_path)
    assert not seen["hacked"]
    assert seen["faults"] == []  # the policy, a second line of defence, had nothing to refuse
    assert seen["scripts"] == 3  # the page's, and two of the test
    assert (seen["styles"], seen["handlers"], seen["foreign"]) == (1, 0, 0)
    assert sorted(seen["classes"]) == ["state finished", "state unknown"]
    assert seen["text"].count(SCRIPT) > 5  # it is all there to read


def test_the_policy_admits_the_page_s_own_script_and_style_alone(page) -> None:
    text = html.unescape(page.read_text(encoding="utf-8"))
    policy = re.search(r'Policy" content="([^"]*)"', text)
    assert policy
    assert "unsafe" not in policy[1]
    for kind in ("script", "style"):
        assert re.search(rf"{kind}-src 'sha256-[\w+/]{{43}}='(;|$)", policy[1])
    assert "default-src 'none'" in policy[1]


def test_its_title_is_a_question_and_its_answer(page) -> None:
    text = html.unescape(page.read_text(encoding="utf-8"))
    question = "Which configuration is best on ring?"
    assert f"<title>{question} No significant difference; gan uniform has the best mean " in text
    assert f"<h1>{question}</h1>" in text


LOOK_AT_SECTIONS = """
const sections = [...document.querySelectorAll("section.data")];
seen.heads = sections.map(s => s.querySelector("h2").textContent);
seen.title = document.title;
seen.pictures = sections.map(s => [...s.querySelectorAll(":scope > .scroll .gallery img")].map(
  i => i.alt));
seen.captions = [...sections[0].querySelectorAll(":scope > .scroll figcaption")].map(
  e => e.textContent.trim());
seen.rows = sections.map(s => [...s.querySelectorAll(":scope > .scroll .gallery .label")].map(
  e => Math.round(e.getBoundingClientRect().left)));
sections[0].querySelector(".legend button").click();
seen.faded = sections.map(s => s.querySelectorAll("svg .faded").length);
seen.bad = [...document.querySelectorAll(".card.bad")].map(e => e.textContent);
seen.codes = [...document.querySelectorAll(".card code")].map(e => e.textContent);
"""


@browser
def test_each_data_set_has_its_section(tmp_path) -> None:
    """Grids at the last step of all finished runs, an interrupted run's own, and real images."""
    root = tmp_path / "runs"
    for seed in (1, 2):
        write_run(root / f"a{seed}", "model=gan", seed=seed, values={20: 2.0, 30: 2.0, 40: 1.0})
        write_run(root / f"b{seed}", "model=wgan", seed=seed, values={20: 2.0, 40: 1.0})
    stopped = write_run(root / "c", "model=dcgan", values={20: 2.0}, status="interrupted")
    write_run(root / "d", "model=gan", "data=grid", values={}, status="failed", error="no room")
    Image.new("RGB", (16, 16)).save(root / "b1" / "samples" / "real-00000000.png")
    seen = visit(written(tmp_path), LOOK_AT_SECTIONS, tmp_path)
    assert seen["faults"] == []
    assert seen["heads"] == ["Which model is best on ring?", "How good is gan on grid?"]
    assert seen["title"].startswith("Which configuration is best on ring and on grid? ring: No ")
    ring, grid = seen["pictures"]
    assert (ring[0], len(ring), grid) == ("real images", 6, [])
    assert sorted(seen["captions"]) == ["seed 0, step 20", "seed 1", "seed 1", "seed 2", "seed 2"]
    assert len(set(seen["rows"][0])) == 1  # labels begin their rows
    assert seen["faded"][0] > 0 == seen["faded"][1]
    assert len(seen["bad"]) == 1
    assert "no room" in seen["bad"][0]
    assert f"gan-train resume={stopped.path}" in seen["codes"]


LOOK_AT_ALARMS = """
const rows = [...document.querySelectorAll("table tbody tr")];
seen.rows = rows.map(r => [...r.cells].map(c => c.textContent));
"""
COLLAPSE = {"name": "mode_collapse", "step": 200, "words": "all alike; model.packing=2 may help"}


@browser
def test_alarms_stand_in_a_table_and_beside_their_run(tmp_path) -> None:
    for seed in (1, 2):
        run = write_run(tmp_path / "runs" / f"a{seed}", "model=gan", seed=seed)
    run.write_status("finished", 40, alarms=[COLLAPSE, {"name": 3, "step": "no alarm"}, "nor this"])
    seen = visit(written(tmp_path), LOOK_AT_ALARMS, tmp_path)
    assert seen["faults"] == []
    said = ["mode collapse", "200", "All alike; model.packing=2 may help.", str(run.path)]
    assert said in seen["rows"]
    beside = {row[-1]: row[-4] for row in seen["rows"] if row[-1].endswith(("a1", "a2")) and row[1]}
    assert beside == {str(run.path): "mode collapse", str(run.path.parent / "a1"): ""}


def test_losses_of_other_kinds_have_charts_of_their_own(tmp_path) -> None:
    write_run(tmp_path / "runs" / "a", "model=gan")
    write_run(tmp_path / "runs" / "b", "model=wgan")
    text = written(tmp_path).read_text(encoding="utf-8")
    for name in ("loss/generator (non_saturating)", "loss/generator (wasserstein)"):
        assert f"<figcaption>{name}" in text


def pictures_of(run: RunFolder, folder: Path) -> int:
    text = written(folder).read_text(encoding="utf-8")
    return text.count("data:image")


SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize("kind", ["file", "picture", "folder", "text", "cut off", "FIFO"])
def test_only_images_that_lie_in_the_run_are_put_into_the_page(tmp_path, kind: str) -> None:
    run = write_run(tmp_path / "runs" / "a", values={40: 1.0})
    assert pictures_of(run, tmp_path) == 1
    picture = run.samples / "fixed-00000040.png"
    secret = tmp_path / "id"
    secret.write_bytes(SECRET)
    outside = tmp_path / "outside"
    outside.mkdir()
    if kind == "folder":  # all pictures are elsewhere
        picture.rename(outside / picture.name)
        run.samples.rmdir()
        run.samples.symlink_to(outside)
    whole = b"" if kind == "folder" else picture.read_bytes()
    if whole:
        picture.unlink()
    if kind == "file":
        picture.symlink_to(secret)
    elif kind == "picture":
        Image.new("RGB", (4, 4)).save(outside / "private.png")
        picture.symlink_to(outside / "private.png")
    elif kind == "text":
        picture.write_bytes(SECRET)
    elif kind == "cut off":
        picture.write_bytes(whole[:-20])
    elif kind == "FIFO":
        os.mkfifo(picture)
    assert pictures_of(run, tmp_path) == 0
