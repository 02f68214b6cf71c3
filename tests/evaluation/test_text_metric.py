"""The metric of sentences on models whose samples are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from painting import Painter, subject
from pretending import Pretender

from gan_cli.commands import evaluate, train
from gan_cli.data.dataset import Dataset
from gan_cli.evaluation import registry
from gan_cli.evaluation.real_baseline import real, shuffled
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


class Sentences(Dataset):
    """Sentences of six random words out of twenty."""

    def __init__(self, size: int) -> None:
        random = torch.Generator().manual_seed(0)
        super().__init__("sentences", torch.randint(1, 20, (size, 6), generator=random))
        self.spec = DataSpec("sentences", (6,), size, vocabulary=("", *map(str, range(1, 20))))


def test_as_many_generated_sentences_are_compared_as_real_ones() -> None:
    """Few sentences differ more: of 400 and 20 one would say that copies of real ones are best."""
    data = Sentences(40)
    second = real(data, shuffled(data)[20:40])
    others = Sentences(600).values[40:]  # samples come in whole batches
    rows = iter(torch.cat([second, others]))
    model = Pretender(data, lambda z, _: torch.stack([next(rows) for _ in z]))
    (metric,) = registry.metrics(["text"])
    node = {"_target_": "gan_cli.data.toy.Ring"}  # which has no parts
    made = metric.measure(subject(model=model, node=node, known=data, samples=380))
    found = {one.name: one for one in made.values}
    for name in ("text_ngram_js", "text_self_bleu"):
        assert found[name].value == pytest.approx(found[name].baseline)
        assert found[name].protocol["samples"] == 20
    assert found["text_copied_share"].protocol["samples"] == 380
