"""Recorded updates are those that Python would have made, whatever the game."""

from __future__ import annotations

import copy
import logging
import sys
from pathlib import Path

import pytest
import torch
from composing import MODELS, STEPWISE, little, session_of
from playing import same

from gan_cli.errors import ConfigError
from gan_cli.training.cuda_graphs import WARM_UPS, Graphs, hindrance, make_capturable, units_of
from gan_cli.training.optimizers import PlayerOptimizer
from gan_cli.training.setup import Session

sys.path.append(str(Path(__file__).parent))
from rerunning import Rerun

TOY = ["data=ring", "data.points=100", "network=mlp", "network.width=4", "prior.dim=3"]
# one_hot looks at values there
READ_ON_THE_CPU = {"infogan", "acgan", "cgan", "cvae", "projection_gan", "text_wgan"}


def recorded(*overrides: str, whole: bool = False, reads: bool = False) -> tuple[Session, Rerun]:
    session = session_of(*overrides)
    recorder = Rerun(session.trainer, reads)
    session.trainer.graphs = Graphs(recorder, whole)
    return session, recorder


def play(session: Session, steps: int) -> None:
    for _ in range(steps):
        trainer = session.trainer
        trainer.advance(measure=trainer.step % 2 == 1)
        if trainer.step % 7 == 0:
            trainer.clear()


def check(left: Session, right: Session) -> None:
    """Both are in the same state, with the same curves and histograms."""
    assert same(left.trainer.state_dict(), right.trainer.state_dict())
    assert left.trainer.read() == right.trainer.read()
    assert same(left.trainer.window.outputs, right.trainer.window.outputs)


def check_equals_eager(session: Session, *overrides: str, steps: int = 10) -> None:
    eager = session_of(*overrides)
    play(eager, steps)
    play(session, steps)
    check(eager, session)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_the_same_recorded(model: str) -> None:
    more = [*little(model), "network.width=4", "batch_size=4"]
    more += ["model.unroll=2"] * (model == "unrolled")
    more += ["model.components=4"] * (model == "mixture")
    session, recorder = recorded(*more, reads=model in READ_ON_THE_CPU)
    check_equals_eager(session, *more, steps=9)
    graphs = session.trainer.graphs
    assert graphs is not None
    assert set(graphs.reasons) == STEPWISE.get(model, set())
    if not graphs.reasons:
        assert recorder.captures >= 2
        assert graphs.replays >= 3


@pytest.mark.parametrize(
    "settings",
    [
        ["model=wgan", "model.d_burst=7"],
        ["model=gan", "penalty=r1", "penalty.every=2"],
        ["model=gan", "model.share_fakes=true", "model.g_steps=2"],
        ["model=gan", "model.historical_averaging=1", "optimizer.clip_norm=1"],
        ["model=gan", "optimizer.schedule=cosine", "optimizer=sgd"],
        ["model=gan", "model.schedule=simultaneous"],
        ["model=gan", "model.schedule=simultaneous", "model.share_fakes=true"],
        ["model=consensus"],
        ["model=gan", "model.first=generator", "model.d_steps=5"],
        ["model=gan", "model.g_steps=2"],
        ["model=avb", "model.d_steps=2"],
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_schedules_and_shared_graphs_are_the_same_recorded(
    settings: list[str], whole: bool
) -> None:
    session, recorder = recorded(*TOY, *settings, whole=whole)
    check_equals_eager(session, *TOY, *settings, steps=12)
    assert recorder.captures >= 2


@pytest.mark.parametrize(
    "settings",
    [
        ["model.ada_target=.6", "model.ada_images=100", "model.lecam=.3"],
        ["model.consistency=10", "model.consistency_fake=10", "penalty=orthogonal"],
        ["model.generator_batch=2", "model.packing=2", "model.first=generator"],
    ],
)
def test_regularised_games_of_images_are_the_same_recorded(settings: list[str]) -> None:
    more = ["model=dcgan", "data.split=test", "network.width=4", "batch_size=4"]
    more += ["model.share_fakes=false", *settings]
    session, _ = recorded(*more)
    check_equals_eager(session, *more, steps=9)
    graphs = session.trainer.graphs
    assert graphs is not None
    assert graphs.replays
    assert not graphs.reasons


def test_noise_of_the_data_is_drawn_once_for_all_updates_that_see_it() -> None:
    more = ["model=dcgan", "data.split=test", "network.width=4", "batch_size=4"]
    more += ["model.share_fakes=false", "loss=relativistic"]
    session, _ = recorded(*more)
    eager = session_of(*more)
    for one in (session, eager):
        one.dataset.dequantise = True
        play(one, 9)
    check(eager, session)
    assert session.trainer.graphs is not None
    assert session.trainer.graphs.replays


def test_repeats_are_one_recording_played_with_each_batch() -> None:
    session, recorder = recorded(*TOY, "model=wgan")
    for _ in range(5):
        session.trainer.advance()
    assert recorder.captures == 2  # critic and generator
    graphs = session.trainer.graphs
    assert graphs is not None
    assert graphs.replays == (25 - WARM_UPS) + (5 - WARM_UPS)


def test_a_phase_that_shares_is_recorded_with_what_follows() -> None:
    session = session_of(*TOY, "model=gan", "model.share_fakes=true", "model.g_steps=2")
    turns = session.trainer.turns()
    assert [[t.phase.name for t in plan.turns] for plan in units_of(turns)] == [
        ["discriminator", "generator", "generator"]
    ]
    apart = session_of(*TOY, "model=wgan").trainer.turns()
    plans = units_of(apart)
    assert [plan.places for plan in plans] == [[0], [1], [2], [3], [4], [0]]
    assert len({plan.key for plan in plans}) == 2
    (whole,) = units_of(apart, whole=True)
    assert whole.places == [0, 1, 2, 3, 4]


def test_what_reads_the_step_stays_eager_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    more = [*TOY, "model=gan", "model.instance_noise=.1", "model.instance_noise_steps=20"]
    caplog.set_level(logging.INFO, "gan_cli")
    session, recorder = recorded(*more)
    check_equals_eager(session, *more)
    assert recorder.captures == 0
    said = [record.getMessage() for record in caplog.records if "CUDA graphs" in record.msg]
    reason = "whose loss reads the run's step, as model.instance_noise_steps does"
    assert said == [f"CUDA graphs: off for {n}, {reason}" for n in ("discriminator", "generator")]


def test_noise_that_never_falls_is_recorded() -> None:
    more = [*TOY, "model=gan", "model.instance_noise=.1"]
    session, recorder = recorded(*more)
    check_equals_eager(session, *more)
    assert recorder.captures > 0


def test_what_cannot_be_recorded_goes_on_eagerly(caplog: pytest.LogCaptureFixture) -> None:
    more = [*TOY, "model=gan"]
    session, recorder = recorded(*more)
    capture, refused = recorder.capture, []

    def failing(run):  # type: ignore[no-untyped-def]
        if len(refused) < 1 and recorder.captures == 1:
            refused.append(run)
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        return capture(run)

    recorder.capture = failing  # type: ignore[method-assign]
    caplog.set_level(logging.INFO, "gan_cli")
    check_equals_eager(session, *more)
    assert refused
    assert recorder.captures >= 3  # the first one again, as its random stream is stale
    graphs = session.trainer.graphs
    assert graphs is not None
    assert list(graphs.reasons) == ["generator"]
    assert "RuntimeError: operation not permitted when stream" in graphs.reasons["generator"]
    assert sum("CUDA graphs" in record.msg for record in caplog.records) == 1


def test_a_value_that_is_read_breaks_the_recording_and_nothing_else() -> None:
    more = ["model=infogan", "data.split=test"]
    session, recorder = recorded(*more)
    check_equals_eager(session, *more, steps=9)
    assert recorder.captures == 0
    assert session.trainer.graphs is not None
    assert set(session.trainer.graphs.reasons) == {"discriminator", "generator"}


def test_states_are_exchanged_with_eager_runs() -> None:
    more = [*TOY, "model=wgan"]
    straight = session_of(*more)
    play(straight, 16)
    for first_recorded in (False, True):
        first = recorded(*more)[0] if first_recorded else session_of(*more)
        play(first, 9)
        state = copy.deepcopy(first.trainer.state_dict())
        second = session_of(*more) if first_recorded else recorded(*more)[0]
        second.trainer.load_state_dict(state)
        play(second, 7)
        check(straight, second)


def test_loading_a_state_drops_recordings() -> None:
    more = [*TOY, "model=gan"]
    session, recorder = recorded(*more)
    play(session, 4)
    state = copy.deepcopy(session.trainer.state_dict())
    play(session, 8)
    done = recorder.captures
    session.trainer.load_state_dict(state)
    play(session, 8)
    assert recorder.captures > done
    eager = session_of(*more)
    play(eager, 12)
    check(eager, session)


def test_a_recorded_optimizer_is_given_its_rate_in_place() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.5, fused=True)
    player = PlayerOptimizer("p", optimizer, [weight], 0.5, schedule="linear", total=10)
    make_capturable(player)
    rate = optimizer.param_groups[0]["lr"]
    player.set_rate(0)
    assert float(rate) == 0.5
    player.set_rate(5)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.25
    player.load_state(copy.deepcopy(optimizer.state_dict()))
    assert optimizer.param_groups[0]["lr"] is rate


CUDA = torch.device("cuda")
ADAM = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
ADAGRAD = torch.optim.Adagrad([torch.nn.Parameter(torch.ones(1))])
SGD = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, ""),
        ({"device": torch.device("cpu")}, "only CUDA devices have them, and this run is on cpu"),
        ({"compiled": True}, "runtime.compile = true brings its own way"),
        ({"ranks": 2}, "gradients travel between 2 devices"),
        ({"resident": False}, "the data does not fit on the device, so batches come from the host"),
        ({"optimizers": [ADAM, ADAGRAD]}, "Adagrad computes on the host"),
        ({"optimizers": [SGD]}, "SGD computes on the host"),
    ],
)
def test_why_there_are_none(settings: dict, reason: str) -> None:
    given = {"device": CUDA, "resident": True, "compiled": False, "ranks": 1, "optimizers": [ADAM]}
    given |= settings
    assert hindrance("auto", **given) == reason
    if reason:
        with pytest.raises(ConfigError) as error:
            hindrance(True, **given)
        assert str(error.value) == f"runtime.graphs = true: {reason}; set runtime.graphs=auto"
    else:
        assert hindrance(True, **given) == ""
        assert hindrance(False, **given) == "runtime.graphs = false"
