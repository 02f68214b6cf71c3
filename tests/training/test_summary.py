"""What `dry_run=true` shows."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from composing import session_of
from inprocess import gan_train
from rich.console import Console

from gan_cli.training.describe import count, disk, layers, measure, show, show_session, trace


def test_layers_with_computed_weights_are_layers_as_any() -> None:
    """Spectral norm hides a weight behind a parametrisation, which is no layer of its own."""
    plain = session_of("model=dcgan", "network.discriminator_norm=none", "data.split=test")
    spectral = session_of("model=dcgan", "network=dcgan_sn", "network.width=8", "data.split=test")
    shapes = [trace(s.model, s.stream.batch(0)) for s in (plain, spectral)]
    assert shapes[0] == shapes[1]
    assert shapes[1]["discriminator.first"] == (8, 8, 14, 14)
    network = spectral.model.get_submodule("discriminator")
    assert sum(count(layer) for _, layer in layers(network)) == count(network)
    assert dict(layers(network, "discriminator")).keys() <= shapes[1].keys()


def test_a_lazy_penalty_is_said_to_count_updates_of_the_player() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    more = ("penalty=r1", "penalty.every=4", "model.d_steps=5", "data=ring", "data.points=64")
    session = session_of("model=gan", *more)
    show(console, session)
    assert "every 4 updates of discriminator" in console.export_text()


def test_a_dry_run_shows_totals_parts_updates_memory_and_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ("optimizer.critic.schedule=linear", "optimizer.critic.warmup=10", "network.width=8")
    session = session_of("model=wgan_gp", "network=mlp", "data=ring", "data.points=64", *more)
    assert show_session(session, None) == 0
    said = capsys.readouterr().out
    rows = [re.sub(r"\s*[│┃]\s*", "|", line).strip("|") for line in said.splitlines()]
    total = count(session.model)
    assert rows[0] == f"wgan_gp: 20,000 steps on 64 samples of ring (2), {total:,} parameters"
    for name in ("generator", "discriminator"):
        assert f"total|||{count(session.model.get_submodule(name)):,}" in rows
    assert "phase|trains|updates|optimizer|schedule" in rows
    adam = "Adam lr 0.0001, betas [0.0,0.9]"
    assert f"critic|discriminator|5 x|{adam}|linear, warm-up 10" in rows
    assert f"generator|generator|1 x|{adam}|constant" in rows
    assert "loss|wasserstein" in rows
    assert any(row.startswith("penalty|gradient_penalty|weight 10.0") for row in rows)
    assert any(re.fullmatch(r"total, about\|[\d.]+ MB", row) for row in rows)
    assert re.search(r"^time: about .+ for 20,000 steps \(", said, re.MULTILINE)


def test_the_room_on_the_disk_is_told_at_the_start(tmp_path: Path) -> None:
    ring = ["model=gan", "data=ring", "data.points=64", "network=mlp", "network.width=64"]
    ring += ["steps=400", "log_every=20", "checkpoint.every=50", "checkpoint.keep=2"]
    ring += ["evaluation.every=null", "sample_every=null", "callbacks=tensorboard"]
    ring += ["runtime.device=cpu", "runtime.threads=1", "batch_size=8"]
    said = gan_train(*ring, "run.dir=run", cwd=tmp_path)
    log = (tmp_path / "run" / "train.log").read_text()
    found = re.search(r"disk: about ([\d.]+) MB at most: 3 checkpoints of ([\d.]+) MB, curves", log)
    assert found
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    saved = [path.stat().st_size / 1e6 for path in files if path.suffix == ".pt"]
    assert float(found[2]) == pytest.approx(saved[0], rel=0.5)
    once = {path.stat().st_ino: path.stat().st_size / 1e6 for path in files}
    assert 0.5 * float(found[1]) < sum(once.values()) < float(found[1]) + 0.1
    room, parts = disk(session_of(*ring))
    assert parts in log
    assert f"in run (about {room})" in said


def test_the_speed_is_that_of_steps_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of("model=gan", "data=ring", "data.points=64", "network.width=8")
    steps, advance = [], session.trainer.advance

    def slow(measure: bool = False) -> None:
        steps.append(measure)
        time.sleep(0.3 if len(steps) == 1 else 0.05)
        advance(measure)

    monkeypatch.setattr(session.trainer, "advance", slow)
    monkeypatch.setattr("gan_cli.training.describe.MEASURED", 0.5)
    begun = time.monotonic()
    ((end, speed),) = measure(session)
    assert end == session.total
    assert 1 / (time.monotonic() - begun) < speed <= 20
    assert speed * (time.monotonic() - begun - 0.3) == pytest.approx(len(steps) - 1, rel=0.3)


def test_updates_that_come_later_are_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """WGAN's first 25 steps have a hundred updates of the critic, and those after them five."""
    line = ("model=wgan", "data=ring", "data.points=64", "network.width=8", "model.d_burst=100")
    session = session_of(*line, "network=mlp", "steps=300", "batch_size=8")
    seen, advance = [], session.trainer.advance

    def noted(measure: bool = False) -> None:
        seen.append(session.trainer.step)
        advance(measure)

    monkeypatch.setattr(session.trainer, "advance", noted)
    monkeypatch.setattr("gan_cli.training.describe.MEASURED", 0.5)
    (early, slow), (end, fast) = measure(session)
    assert (early, end) == (25, 300)
    assert fast > 2 * slow  # 6 updates a step, and 101
    assert min(seen) == 0
    assert 25 < max(seen) <= 25 + 100
