"""The choice of metrics: by file, by name, and by what applies to a model."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
import torch
from painting import subject

from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation import measures, registry
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.evaluation.registry import choose, parse


class Named(Metric):
    """Fits unless told otherwise."""

    def __init__(self, name: str, reason: str = "", dear: bool = False) -> None:
        self.name, self.reason, self.dear = name, reason, dear

    def unfit(self, subject: Subject) -> str:
        if self.reason == "error":
            raise DataError("the data is gone")
        return self.reason

    def measure(self, subject: Subject) -> MetricResult:
        return MetricResult([])


@pytest.fixture
def four(monkeypatch) -> None:
    some = [
        Named("quick"),
        Named("slow", dear=True),
        Named("odd", "it is odd"),
        Named("e", "error"),
    ]
    monkeypatch.setattr(registry, "available", lambda folders: [metric.name for metric in some])
    monkeypatch.setattr(
        registry, "metrics", lambda names, *_: [m for m in some if not names or m.name in names]
    )


ORDER = """
classifier fid fid_infinity fid_infinity_classifier intra_fid intra_fid_classifier kid
inception_score prdc prd prd_classifier conditional gan_train infogan modes stacked_modes points
validity translation text likelihood likelihood_5000 density reconstruction encoding memorisation
diversity ms_ssim interpolation
"""


def test_the_order_of_metrics_decides_which_one_selects_the_best_step() -> None:
    assert [metric.name for metric in registry.metrics()] == ORDER.split()


LOWER_VALUES = """
classifier fid_classifier kid_classifier classes_missing classes_distance
fid fid_inception
kid kid_inception
conditional nn_error nn_error_classifier
modes modes_reverse_kl
stacked_modes stacked_reverse_kl
points wasserstein_1 forward_kl reverse_kl js energy_distance sliced_wasserstein
likelihood bits_per_dimension
density density_total_variation density_kl
reconstruction reconstruction reconstruction_pca reconstruction_test
diversity sliced_wasserstein
text text_ngram_nll text_ngram_js text_oracle_nll
"""
HIGHER_VALUES = """
classifier score_classifier precision_classifier recall_classifier density_classifier
prdc precision_inception recall_inception density_inception coverage_inception
conditional gan_test
gan_train gan_train
infogan information information_category category_accuracy category_nmi code_1_correlation
modes modes_captured high_quality_share
stacked_modes stacked_modes
translation psnr ssim
text text_grammatical_share
encoding encoding_accuracy
likelihood elbo log_likelihood
likelihood_5000 iwae_5000
interpolation score_ends score_midway_slerp
"""
NEITHER_VALUES = """
classifier classes_entropy two_sample_classifier
prdc two_sample_inception
conditional nn_error_shuffled
infogan code_1_effect
translation sharpness
text text_self_bleu text_copied_share
memorisation near_copy_share nearest_training_distance nearest_training_ratio
diversity pairwise_distance diversity_ratio class_diversity_least
interpolation norm_ends norm_midway_lerp
"""


@pytest.mark.parametrize(
    ("values", "better"), [(LOWER_VALUES, "lower"), (HIGHER_VALUES, "higher"), (NEITHER_VALUES, "")]
)
def test_the_direction_of_values(values: str, better: str) -> None:
    known = {metric.name: metric for metric in registry.metrics()}
    for metric, *names in map(str.split, values.strip().splitlines()):
        for name in names:
            found = known[metric].directed(MetricValue(name, 1.0, note="as it is"))
            assert found == MetricValue(name, 1.0, note="as it is", better=better)


def test_every_metric_has_a_file() -> None:
    written = {
        thing
        for info in pkgutil.iter_modules(measures.__path__)
        for thing in vars(importlib.import_module(f"{measures.__name__}.{info.name}")).values()
        if inspect.isclass(thing) and issubclass(thing, Metric) and not inspect.isabstract(thing)
    }
    assert {type(metric) for metric in registry.metrics()} == written
    assert all(inspect.getdoc(kind) for kind in written)


def test_names_are_those_of_the_files(tmp_path: Path) -> None:
    assert sorted(registry.available()) == sorted(ORDER.split())
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "mine.yaml").write_text("")
    assert registry.available([tmp_path])[-1] == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "mine.yaml: cannot be read ("),
        ("", "metric/mine = null: must be a mapping with _target_"),
        (
            "_target_: gan_cli.priors.Gaussian\ndim: 3",
            "metric/mine._target_ = gan_cli.priors.Gaussian: must be a Metric",
        ),
        (
            "_target_: gan_cli.evaluation.measures.modes.Modes\nmost: 3",
            "metric/mine.most: Modes has no such setting",
        ),
        ("_target_: evil.Metric", "metric/mine._target_ = evil.Metric: not part of gan_cli"),
    ],
    ids=["no YAML", "empty", "no metric", "no setting", "not trusted"],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        registry.metrics(["mine"], [tmp_path])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [("auto", "auto"), ("all", "all"), ("fid", ["fid"]), ("fid, kid", ["fid", "kid"]), (",", [])],
    ids=["auto", "all", "one", "two", "none"],
)
def test_reading(text: str, names: object) -> None:
    assert parse(text) == names


@pytest.mark.usefixtures("four")
def test_auto_takes_what_fits_and_is_quick() -> None:
    choice = choose("auto", subject())
    assert [m.name for m in choice.taken] == ["quick"]
    assert choice.unfit["odd"] == "it is odd"
    assert choice.unfit["e"] == "the data is gone"
    assert "computed only if named" in choice.unfit["slow"]
    assert choice.named == []


@pytest.mark.usefixtures("four")
def test_all_takes_what_fits() -> None:
    assert [m.name for m in choose("all", subject()).taken] == ["quick", "slow"]


@pytest.mark.usefixtures("four")
def test_names_take_what_they_say_in_the_usual_order() -> None:
    choice = choose(["slow", "odd", "quick", "slow"], subject())
    assert [m.name for m in choice.taken] == ["quick", "slow"]
    assert choice.named == ["slow", "odd", "quick"]
    assert choice.unfit == {"odd": "it is odd"}


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["quik"],
            "--metrics = quik: unknown metric (did you mean quick?); gan-eval --metrics list",
        ),
        (["quick", "all"], "--metrics = all: stands alone"),
        ([], "--metrics: must be auto, all or names that gan-eval"),
    ],
    ids=["typo", "mixed", "none"],
)
def test_wrong_names(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        choose(names, subject())
    assert message in str(error.value)


def test_what_wants_a_gpu_is_in_auto_where_there_is_one() -> None:
    measure = Named("fid")
    measure.dear_on_cpu = True
    assert measure.takes_minutes(torch.device("cpu"))
    assert not measure.takes_minutes(torch.device("cuda"))
    assert Named("slow", dear=True).takes_minutes(torch.device("cuda"))
