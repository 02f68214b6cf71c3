"""The results of a study: a table, a preset that reproduces the best trial, and a page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from browsing import browser, visit
from studying import LINE, Study

from gan_cli.commands.tune import publish
from gan_cli.config.settings import settings_of, to_yaml
from gan_cli.console import clean_console
from gan_cli.jobs.processes import Supervisor
from gan_cli.plots import charts
from gan_cli.runs.folder import RunFolder
from gan_cli.tuning import page, results
from gan_cli.tuning.plan import StudyPlan
from gan_cli.tuning.results import TrialRow, ranked, rows, table
from gan_cli.tuning.search import search
from gan_cli.tuning.study import open_study
from gan_cli.tuning.trial import BROKEN, COMPLETE, PRUNED

FOUND = [
    TrialRow(
        0, COMPLETE, 2.0, None, {"optimizer.lr": 1e-3, "model.d_steps": 2}, {2: 3, 4: 2}, 5, ""
    ),
    TrialRow(
        1, PRUNED, 9.0, None, {"optimizer.lr": 1e-1, "model.d_steps": 1}, {2: 9.0}, 2, "<late>"
    ),
    TrialRow(2, COMPLETE, 1.0, 0.25, {"optimizer.lr": 1e-4, "model.d_steps": 5}, {2: 1.0}, 5, ""),
    TrialRow(
        3, BROKEN, None, None, {"optimizer.lr": 1e-2, "model.d_steps": 5}, {}, None, "diverged"
    ),
]
VOID = {"meta", "link", "line", "circle", "polyline", "rect", "br"}

LOOK = """
seen.hacked = "hacked" in window;
seen.scripts = document.scripts.length;
seen.styles = document.querySelectorAll("style, [style]").length;
seen.images = document.images.length;
seen.text = document.body.textContent;
const wide = e => e.getBoundingClientRect().width;
seen.bar = wide(document.querySelector(".bar rect")) / wide(document.querySelector(".bar"));
const rgb = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
seen.bright = rgb[0] + rgb[1] + rgb[2] > 382;
"""


class Page(HTMLParser):
    """What is open, and what is in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_best_is_the_lowest_or_the_highest(base: StudyPlan) -> None:
    assert [row.number for row in ranked(FOUND, base)] == [2, 0]
    assert [row.number for row in ranked(FOUND, replace(base, direction="maximize"))] == [0, 2]


def test_the_table_shows_the_best_first(base: StudyPlan) -> None:
    screen = clean_console(width=140)
    with screen.capture() as shown:
        screen.print(table(ranked(FOUND, base), base))
    lines = shown.get().splitlines()
    (first,) = (line for line in lines if "±" in line)
    numbers = [word for word in first.split() if word[0].isdigit()]
    assert numbers == ["2", "1.00", "0.25", "0.0001", "5", "5"]
    heads = next(line.split() for line in lines if "trial" in line)
    assert heads == ["trial", base.tune.metric.rpartition("/")[2], "lr", "d_steps", "time"]
    assert any("0.001" in line for line in lines[lines.index(first) :])


def test_the_page_needs_nothing_else_and_shows_all_trials(base: StudyPlan) -> None:
    text = page.text(base, FOUND, {"optimizer.lr": 0.75, "model.d_steps": 0.25})
    seen = Page(text)
    assert seen.open == []
    assert seen.outside == ["data:,"]
    assert "http:" not in text
    assert "https:" not in text
    assert seen.tags.count("figure") == 4  # history, curves, and one for each setting
    assert text.count('class="series pruned"') == 4  # in every chart
    assert "&lt;late&gt;" in text
    assert ">75%<" in text
    assert text.count("<tr class=") == len(FOUND)


def test_the_title_is_a_question_and_its_answer(base: StudyPlan) -> None:
    text = page.text(base, FOUND, {})
    question = f"Which lr and d_steps give the best {base.tune.metric.rpartition('/')[2]}?"
    answer = "lr=0.0001 d_steps=5, with 1.00 ± 0.25 (lower is better) in trial 2."
    assert f"<title>{question} {answer}</title>" in text
    assert f"<h1>{question}</h1>" in text
    assert "Not known yet: no trial is complete." in page.text(base, FOUND[1:2], {})


def test_its_axes_are_those_of_the_report(base: StudyPlan) -> None:
    """Logarithmic from the same span on, and named by the same words."""
    metric = base.tune.metric.rpartition("/")[2]
    far = [*FOUND[:1], replace(FOUND[2], value=2.0 * charts.LOG_FROM + 1)]
    near = [*FOUND[:1], replace(FOUND[2], value=2.0 * charts.LOG_FROM - 1)]
    for found, log in ((far, True), (near, False)):
        chart = page.history(base, found)
        points = [
            charts.Point(step, row.value, row.value, row.value)
            for step, row in enumerate(found)
            if row.value is not None
        ]
        report = charts.curves(metric, [("a", charts.Colour(0), points)])
        assert report is not None
        assert chart.y == report.y
        assert chart.y.log is log
        assert chart.name.startswith(metric)


@pytest.mark.parametrize("found", [[], FOUND[1:2], FOUND[3:], FOUND[:1]])
def test_a_page_of_little(base: StudyPlan, found: list[TrialRow]) -> None:
    assert Page(page.text(base, found, {})).open == []


@browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_trial_can_put_code_into_the_page(base: StudyPlan, tmp_path: Path, dark: bool) -> None:
    bad = '"><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'
    tune = base.tune.model_copy(update={"metric": f"metrics/{bad}"})
    lr, steps = base.dimensions
    space = replace(lr, key=bad), replace(steps, kind="choice", choices=(bad, "2"))
    fixed = (f"run.root={bad}",)
    plan = replace(base, tune=tune, fixed=fixed, dimensions=space, folder=Path(bad))
    found = [
        TrialRow(
            n, state, 1.0 + n, 0.5, {bad: 10.0**-n, steps.key: bad}, {2: 3.0, 4: 2.0}, 5.0, bad
        )
        for n, state in enumerate((COMPLETE, COMPLETE, PRUNED, BROKEN))
    ]
    file = tmp_path / "study.html"
    file.write_text(page.text(plan, found, {bad: 0.75}), encoding="utf-8")
    seen = visit(file, LOOK, tmp_path, dark=dark)
    assert not seen["hacked"]
    assert seen["faults"] == []
    assert (seen["scripts"], seen["styles"], seen["images"]) == (3, 1, 0)  # two are the test's
    assert seen["text"].count(bad) > 5
    assert seen["bar"] == pytest.approx(0.75, abs=0.01)
    assert seen["bright"] is not dark


def test_importance_says_which_setting_matters(study: Study) -> None:
    from optuna.distributions import FloatDistribution, IntDistribution
    from optuna.trial import create_trial

    opened = open_study(study())
    ranges = {"optimizer.lr": FloatDistribution(1e-6, 1), "model.d_steps": IntDistribution(1, 5)}
    for n in range(20):
        values = {"optimizer.lr": 0.01 + 0.05 * n, "model.d_steps": 1 + n % 5}
        opened.add_trial(create_trial(params=values, distributions=ranges, value=float(n)))
    shares = page.importance(opened, rows(opened))
    assert max(shares, key=lambda key: shares[key]) == "optimizer.lr"
    assert page.importance(opened, rows(opened)[:3]) == {}


def test_the_preset_gives_the_same_settings(base: StudyPlan, tmp_path: Path) -> None:
    fixed = [word for word in base.fixed if not word.startswith("steps")]
    fixed += ["steps=64", "optimizer.alpha=.9", "loss=hinge", "evaluation.samples=512"]
    plan = replace(base, fixed=tuple(fixed), folder=tmp_path / "study")
    plan.folder.mkdir()
    trial = ["optimizer.lr=0.00123", "model.d_steps=3", "seed=7", "runtime.threads=1"]
    settings = settings_of(*fixed, *trial)
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_config(to_yaml(settings))
    file = results.write(plan, run, "metrics/x 1")
    again = settings_of(f"--config-dir={plan.folder}", "experiment=best", "runtime.threads=1")
    assert again.model_dump(exclude={"choices", "run"}) == settings.model_dump(
        exclude={"choices", "run"}
    )
    head = file.read_text(encoding="utf-8").splitlines()[:5]
    assert head[0] == "# @package _global_"
    assert "# bit for bit the same with runtime.threads=1" in head
    assert results.command(plan) == f"gan-train --config-dir {plan.folder} experiment=best"


def test_the_preset_names_what_its_options_leave_open(base: StudyPlan, tmp_path: Path) -> None:
    fixed = ("data=folder", f"data.root={tmp_path}/a b", "data.size=16", "steps=64")
    plan = replace(base, fixed=fixed, folder=tmp_path / "study")
    plan.folder.mkdir()
    settings = settings_of(*fixed, "optimizer.lr=0.01")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_config(to_yaml(settings))
    results.write(plan, run, "metrics/x 1")
    again = settings_of(f"--config-dir={plan.folder}", "experiment=best")
    assert again.model_dump(exclude={"choices"}) == settings.model_dump(exclude={"choices"})


def test_the_preset_of_an_older_version_s_trial_holds_no_setting_that_it_lacked(
    base: StudyPlan, tmp_path: Path
) -> None:
    plan = replace(base, folder=tmp_path / "study")
    plan.folder.mkdir()
    saved = settings_of(*base.fixed, "penalty=r1").model_dump()
    del saved["model"]["fake_labels"], saved["penalty"]["rescale"], saved["checkpoint"]["minutes"]
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_config(yaml.safe_dump(saved))
    text = results.write(plan, run, "metrics/x 1").read_text(encoding="utf-8")
    assert "fake_labels" not in text
    assert "rescale" not in text
    again = settings_of(f"--config-dir={plan.folder}", "experiment=best")
    assert again.model["fake_labels"] == "batch"
    assert again.penalty["rescale"] is False


def test_a_preset_that_cannot_be_written_fails_the_command(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    plan = study((1e-3, 1))
    search(plan, Supervisor())
    opened = open_study(plan)
    with caplog.at_level("ERROR"):
        assert publish(opened, plan) is False  # the pretended run's config is none of ours
    assert "best.yaml was not written: " in caplog.text


def test_a_preset_among_own_groups_is_copied_there(base: StudyPlan) -> None:
    plan = replace(base, options=("--config-dir=my conf", "--trust=mine"), folder=Path("s"))
    assert results.command(plan) == (
        "mkdir -p 'my conf/experiment' && cp s/experiment/best.yaml 'my conf/experiment' && "
        "gan-train --config-dir 'my conf' experiment=best --trust=mine"
    )


def test_the_line_of_the_tests_is_a_study_of_two_settings(base: StudyPlan) -> None:
    assert [dimension.key for dimension in base.dimensions] == ["optimizer.lr", "model.d_steps"]
    assert len(base.fixed) == len([word for word in LINE if not word.startswith("tune.")]) - 2
