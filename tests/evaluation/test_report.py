"""Figures in files and on the screen; the best of them."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from painting import subject

from gan_cli.console import clean_console
from gan_cli.errors import CheckpointError, ConfigError, DataError
from gan_cli.evaluation.evaluate import Best, evaluate, missed, selection_metric
from gan_cli.evaluation.metric import (
    HIGHER,
    LOWER,
    Metric,
    MetricResult,
    MetricValue,
    Plot,
    Subject,
)
from gan_cli.evaluation.registry import DEAR, Choice
from gan_cli.evaluation.report import Report, show, told, write
from gan_cli.formatting import number
from gan_cli.runs.folder import RunFolder

FID = MetricValue("fid_random", 12.345, 0.5, 0.1, {"samples": 10}, "few [samples]", LOWER)


class Drawing(Metric):
    """One random number, as the measure's own stream gives it."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.error = name, error

    def unfit(self, subject: Subject) -> str:
        return ""

    def measure(self, subject: Subject) -> MetricResult:
        if self.error:
            raise self.error
        return MetricResult([MetricValue(self.name, torch.rand(()).item())])


def test_a_measure_finds_the_same_random_numbers_whoever_came_first() -> None:
    given = subject()
    torch.manual_seed(5)
    alone = evaluate(given, Choice([Drawing("b")], [], {}))
    after = torch.rand(())
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(())), "the program's own stream is as it was"
    both = evaluate(given, Choice([Drawing("a"), Drawing("b")], [], {}))
    assert both.values[1] == alone.values[0]
    other = evaluate(subject(seed=1), Choice([Drawing("b")], [], {}))
    assert other.values != alone.values


def test_one_that_fails_does_not_stop_the_others() -> None:
    some = [Drawing("a", DataError("no weights")), Drawing("b", ValueError("odd")), Drawing("c")]
    choice = Choice(some, ["b", "c"], {"d": "is points"})
    report = evaluate(subject(), choice)
    assert [figure.name for figure in report.values] == ["c"]
    assert report.failed == {"a": "no weights", "b": "ValueError: odd"}
    assert missed(report, choice) == ["b"]
    assert report.unfit == {"d": "is points"}


def test_a_user_who_interrupts_is_no_failure() -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(subject(), Choice([Drawing("a", KeyboardInterrupt())], [], {}))  # type: ignore[arg-type]


def stored(run: RunFolder, name: str) -> dict:
    return json.loads((run.evaluations / name).read_text())


def test_files(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    picture = Plot("pairs/of two", np.zeros((3, 4, 1), np.uint8))
    nan = MetricValue("odd", math.nan, protocol={"x": math.inf})
    path = write(Report("r", 20, "ema", [FID, nan], {"a": "b"}, {}, [picture]), run)
    assert path == run.evaluations / "step_00000020.json"
    assert stored(run, path.name) == {
        "run": "r",
        "step": 20,
        "weights": "ema",
        "figures": [
            {
                "name": "fid_random",
                "value": 12.345,
                "better": "lower",
                "floor": 0.5,
                "error": 0.1,
                "protocol": {"samples": 10},
                "note": "few [samples]",
            },
            {
                "name": "odd",
                "value": "nan",
                "better": "",
                "floor": None,
                "error": None,
                "protocol": {"x": "inf"},
                "note": "",
            },
        ],
        "unfit": {"a": "b"},
        "failed": {},
    }
    assert (run.evaluations / "step_00000020-pairs-of-two.png").is_file()


def test_a_figure_replaces_that_of_the_same_protocol_only(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    other = MetricValue("fid_random", 1.0, protocol={"samples": 99})
    again = MetricValue("fid_random", 2.0, protocol={"samples": 10})
    for figure in (FID, other, again):
        write(Report("r", 3, "ema", [figure]), run)
    write(Report("r", 3, "raw", [FID]), run)
    values = [figure["value"] for figure in stored(run, "step_00000003.json")["figures"]]
    assert values == [1.0, 2.0]
    assert len(stored(run, "step_00000003-raw.json")["figures"]) == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"figures": 3}'], ids=["cut", "list", "foreign"])
def test_a_damaged_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.evaluations.mkdir()
    (run.evaluations / "step_00000003.json").write_text(text)
    with pytest.raises(CheckpointError, match="remove it to continue"):
        write(Report("r", 3, "ema", [FID]), run)


def shown(report: Report, named: tuple[str, ...] = (), width: int = 100) -> str:
    console = clean_console(file=io.StringIO(), width=width)
    show(console, report, named)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_long_protocol_is_indented_on_both_its_lines() -> None:
    protocol = {"samples": 2500, "seed": 0, "data": "ring", "split": "all (the data has no parts)"}
    some = MetricValue("modes_captured", 8.0, protocol={**protocol, "real_samples": 131_072})
    lines = shown(Report("r", 3, "ema", [some, MetricValue("x", 1.0)]), width=80).splitlines()
    assert [line.rstrip() for line in lines[-2:]] == [
        "  2,500 samples of seed 0 against 131,072 real ones: ring, all (the data has no",
        "  parts) (modes_captured)",
    ]


def test_the_screen_shows_it_all() -> None:
    protocol = {"samples": 2000, "seed": 1, "data": "digits", "split": "test", "real_samples": 9000}
    protocol |= {"extractor": "random", "extractor_sha256": "abcdef0123", "resize": "to 3x3"}
    figures = [FID, MetricValue("up", 0.5, protocol=protocol, better=HIGHER), MetricValue("x", 3.0)]
    report = Report("runs/a", 1200, "ema", figures, {"c": "points", "d": "no"}, {"e": "gone"})
    text = shown(report, ("c",))
    for part in (
        "12.35 ± 0.1",
        "few [samples]",
        "lower",
        "higher",
        "runs/a at step 1,200, averaged weights",
    ):
        assert part in text
    assert "2,000 samples of seed 1 against 9,000 real ones: digits, test" in text
    assert "random abcdef01; size: to 3x3" in text
    assert "e failed: gone" in text
    assert "c was not computed: points" in text
    assert "d was not computed" not in text


def test_a_protocol_of_some_figures_names_them() -> None:
    def of(name: str, samples: int) -> MetricValue:
        protocol = {"samples": samples, "seed": 0, "data": "d", "split": "train", "real_samples": 9}
        return MetricValue(name, 1.0, protocol=protocol)

    figures = [of("a", 5), of("b", 5), of("c", 7), of("d", 5)]
    first, second = told(Report("r", 1, "raw", figures))
    assert first == "5 samples of seed 0 against 9 real ones: d, train (a to b, d)"
    assert second == "7 samples of seed 0 against 9 real ones: d, train (c)"


def test_what_auto_leaves_out_as_dear_is_named() -> None:
    text = shown(Report("r", 1, "raw", [FID], {"fid": DEAR, "kid": DEAR, "modes": "images"}))
    assert "skipped (slow; name them to compute them): fid, kid (--metrics fid)" in text
    assert "fid_classifier" not in text


def test_why_there_is_no_classifier_is_told_where_only_slow_distances_are_left() -> None:
    unfit = {"fid": DEAR, "classifier": "50 of each are the least"}
    assert "no fid_classifier: 50 of each are the least" in shown(Report("r", 1, "raw", [], unfit))


def test_without_figures_it_says_so() -> None:
    assert "no values" in shown(Report("r", 1, "raw", []))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (8.0, "8"),
        (3.14159, "3.142"),
        (123.456, "123.5"),
        (9999.9, "10,000"),
        (0.12345, "0.1235"),
        (-0.05, "-0.0500"),
        (1.5e-5, "1.5e-05"),
        (2.5e7, "2.5e+07"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_the_most_telling_figure_is_the_default() -> None:
    figures = [
        MetricValue("x", 1.0),
        MetricValue("modes", 1.0, better=HIGHER),
        MetricValue("fid_inception", 1.0, better=LOWER),
    ]
    found = selection_metric(None, figures)
    assert found is not None
    assert found.name == "fid_inception"
    assert selection_metric(None, figures[:2]) == figures[1]
    assert selection_metric(None, figures[:1]) is None
    assert selection_metric("modes", figures) == figures[1]


def test_a_figure_that_is_not_there() -> None:
    figures = [MetricValue("x", 1.0), MetricValue("modes", 1.0, better=HIGHER)]
    with pytest.raises(ConfigError, match=r"no such metric \(did you mean modes\?\)"):
        selection_metric("mode", figures)
    with pytest.raises(ConfigError, match="has no better direction; available: modes"):
        selection_metric("x", figures)


@pytest.mark.parametrize("better", [LOWER, HIGHER])
def test_the_best_value(better: str) -> None:
    sign = 1 if better == LOWER else -1
    best = Best("f", better)
    values = [math.nan, 3, 2, 2, math.inf * -sign, None, 1]
    improved = [best.take(v if v is None else sign * v, i) for i, v in enumerate(values)]
    assert improved == [False, True, True, False, False, False, True]
    assert (best.value, best.step, best.misses) == (sign * 1, 6, 0)
    assert Best(**best.state_dict()) == best
