"""The metric of sentences on models whose samples are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from painting import Painter, subject

from gan_cli.commands import evaluate, train
from gan_cli.evaluation import registry
from gan_cli.model import DataSpec


def test_a_run_of_sentences(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    arguments = ["model=text_wgan", "network.width=4", "network.blocks=1", "model.d_steps=1"]
    arguments += ["steps=1", "sample_every=0", "batch_size=4", f"run.dir={folder}"]
    assert train.run(arguments) == 0
    with pytest.raises(SystemExit) as ended:
        evaluate.main([str(folder), "--samples", "64", "--json", str(tmp_path / "found.json")])
    assert ended.value.code == 0
    said = capfd.readouterr().out
    for name in ("ngram_nll", "ngram_js", "self_bleu", "copied_share", "grammatical_share"):
        assert f"text_{name}" in said
    assert "energy_distance" not in said


@pytest.mark.parametrize(
    "metric", ["diversity", "memorisation", "reconstruction", "classifier", "fid"]
)
def test_metrics_of_images_call_sentences_by_their_name(metric: str) -> None:
    writer = Painter(conditional=False)
    writer.data = DataSpec("words", (4,), 10, vocabulary=("", "a", "b"))
    (built,) = registry.metrics([metric])
    assert built.unfit(subject(model=writer)) == "it is for images, and this data holds sentences"
