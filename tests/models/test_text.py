"""Sentences: an LSTM's law, roll-outs, and rows of symbols."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from composing import session_of
from playing import advance
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_cli.commands import evaluate, sample, train
from gan_cli.errors import ConfigError
from gan_cli.losses import NonSaturating
from gan_cli.model import Batch, DataSpec
from gan_cli.models.text import SeqGAN, TextWGAN
from gan_cli.networks.text import LSTM, Convolutions, LSTMs, TextCNN, draw, race
from gan_cli.penalties import NoPenalty

SMALL = DataSpec("small", (3,), 100, vocabulary=("", "a", "b"))
EVERY = torch.tensor(list(itertools.product(range(3), repeat=3)))


def seqgan(**settings) -> SeqGAN:
    torch.manual_seed(0)
    network = LSTMs(4, 5, 4, [(1, 3), (2, 3)], dropout=0.0)
    return SeqGAN(SMALL, network, NonSaturating(), NoPenalty(), **settings)


def batch_of(x: Tensor) -> Batch:
    return Batch(torch.arange(len(x)), lambda index: x[index], lambda index: None)


class TestLSTM:
    def network(self) -> LSTM:
        torch.manual_seed(0)
        return LSTM(3, 3, 4, 5, deviation=1.0)

    def test_probabilities_of_all_sentences_sum_to_1(self) -> None:
        log = self.network().log_prob(EVERY).sum(1)
        assert log.exp().sum().item() == pytest.approx(1.0, abs=1e-5)

    def test_samples_follow_its_law(self) -> None:
        network = self.network()
        law = network.log_prob(EVERY).sum(1).exp()
        torch.manual_seed(1)
        drawn = network.sample(20000)
        counts = (drawn @ torch.tensor([9, 3, 1])).bincount(minlength=27) / 20000
        # Each share's deviation is at most (.25 / 20000)^.5 = .0035.
        torch.testing.assert_close(counts, law, atol=0.015, rtol=0)

    def test_sentences_are_completed_from_what_is_given(self) -> None:
        """P(rest | beginning) of completions from stored states is the conditional law."""
        network = self.network()
        begun = torch.tensor([[2]]).expand(20000, -1)
        state = network.states(torch.tensor([[2, 0, 0]]))[0]
        many = state[0].expand(20000, -1), state[1].expand(20000, -1)
        torch.manual_seed(1)
        whole = network.complete(begun, begun[:, 0], many)
        assert (whole[:, 0] == 2).all()
        joint = network.log_prob(EVERY).sum(1).exp()[EVERY[:, 0] == 2]
        counts = (whole[:, 1:] @ torch.tensor([3, 1])).bincount(minlength=9) / 20000
        torch.testing.assert_close(counts, joint / joint.sum(), atol=0.015, rtol=0)


class TestSeqGAN:
    def test_rewards_are_expectations_over_completions(self) -> None:
        """Yu et al. 2017, Eq. 4, against the sum over all completions."""
        model = seqgan(rollouts=4000)
        sentence = torch.tensor([[1, 2, 0]])
        torch.manual_seed(1)
        found = model.rewards(sentence)[0]
        chance = model.discriminator.eval()(EVERY).sigmoid()
        law = model.rollout.log_prob(EVERY).sum(1).exp()
        exact = []
        for place in range(3):
            alike = (EVERY[:, : place + 1] == sentence[:, : place + 1]).all(1)
            exact.append((law * chance)[alike].sum() / law[alike].sum())
        # Means of 4,000 probabilities, of deviation below .5: .008.
        torch.testing.assert_close(found, torch.stack(exact).detach(), atol=0.03, rtol=0)

    def test_the_policy_gradient_is_that_of_the_expected_reward(self) -> None:
        """Eq. 8, in the mean over sentences, against the gradient of the exact expectation."""
        model = seqgan(rollouts=1)
        chance = model.discriminator.eval()(EVERY).sigmoid().detach()
        law = model.generator.log_prob(EVERY).sum(1).exp()
        exact = torch.autograd.grad(-(law * chance).sum(), list(model.generator.parameters()))
        # Each sentence's share of the mean: all rewards replaced by its own final one, which has
        # the same expectation.
        log = model.generator.log_prob(EVERY).sum(1)
        surrogate = -(law.detach() * log * chance).sum()
        found = torch.autograd.grad(surrogate, list(model.generator.parameters()))
        for a, b in zip(found, exact, strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)

    def test_the_loss_weighs_each_symbol_by_its_reward(self, monkeypatch) -> None:
        model = seqgan()
        rewards = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
        monkeypatch.setattr(model, "rewards", lambda sentences: rewards)
        torch.manual_seed(1)
        sentences = model.generator.sample(2)
        expected = -(model.generator.log_prob(sentences) * rewards).sum(1).mean()
        torch.manual_seed(1)
        total = model.generator_loss(batch_of(sentences)).total
        torch.testing.assert_close(total, expected)

    def test_the_order_of_play(self) -> None:
        phases = seqgan(pretrain=2, d_pretrain=3, d_steps=4).phases()
        played = [
            [(phase.player, phase.repeats(step)) for phase in phases if phase.repeats(step)]
            for step in (0, 1, 2, 4, 5)
        ]
        first, then = [("likelihood", 1)], [("discriminator", 1)]
        assert played == [first, first, then, then, [("discriminator", 4), ("generator", 1)]]

    def test_the_last_layer_s_weights_cost_what_they_do_with_two_outputs(self, monkeypatch) -> None:
        """The authors' mean cross-entropy of two outputs plus .2 |W|^2 / 2, twice as large here."""
        model = seqgan(l2=0.2)
        real, fake = torch.randint(0, 3, (2, 6, 3))
        head, n = model.discriminator.head, 12
        features = model.discriminator.eval().features(torch.cat([real, fake]))
        weight = torch.cat([-head.weight / 2, head.weight / 2])
        bias = torch.cat([-head.bias / 2, head.bias / 2])
        labels = torch.tensor([1] * (n // 2) + [0] * (n // 2))
        squared = (weight.square().sum() + bias.square().sum()) / 2
        expected = cross_entropy(features @ weight.T + bias, labels) + 0.2 * squared
        monkeypatch.setattr(model, "sample", lambda n: fake)
        total = model.discriminator_loss(batch_of(real)).total
        torch.testing.assert_close(total, 2 * expected)

    def test_the_copy_follows(self) -> None:
        model = seqgan(follow=0.2)
        with torch.no_grad():
            model.generator.head.bias.fill_(1.0)
            model.rollout.head.bias.fill_(0.0)
        model.after_generator()
        assert model.rollout.head.bias.mean().item() == pytest.approx(0.2)
        model.after_likelihood()
        assert model.rollout.head.bias.mean().item() == pytest.approx(1.0)

    @pytest.mark.slow
    def test_likelihood_learns_the_corpus(self) -> None:
        session = session_of("model=seqgan", "optimizer.likelihood.lr=1e-2", "batch_size=64")
        advance(session, 60)
        means = session.trainer.window.means()
        assert means["nll"] < 3.0


@pytest.mark.parametrize("drawn_by", [draw, race])
def test_symbols_are_drawn_by_their_probabilities(drawn_by: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    p = torch.tensor([0.0, 0.5, 0.1, 0.4])
    counts = drawn_by(p.log().expand(20000, 4)).bincount(minlength=4) / 20000
    assert counts[0] == 0
    torch.testing.assert_close(counts, p, atol=0.015, rtol=0)


def test_a_text_cnn_takes_the_largest_output_over_the_sentence() -> None:
    torch.manual_seed(0)
    network = TextCNN(5, 6, 3, [(2, 4), (9, 4)], 0.0).eval()
    assert len(network.filters) == 1
    x = torch.tensor([[1, 2, 3, 0, 0, 0]])
    nn.init.constant_(network.gate.bias, -50.0)  # the highway carries what comes
    nn.init.zeros_(network.gate.weight)
    embedded = network.embedding(x).transpose(1, 2)
    expected = network.filters[0](embedded).relu().amax(2)
    torch.testing.assert_close(network.features(x), expected, atol=1e-6, rtol=0)


def test_initial_weights_are_the_authors() -> None:
    """The deviations in the code of Yu et al. 2017 and of Gulrajani et al. 2017."""
    torch.manual_seed(0)
    cut = 0.0880  # of a normal of deviation .1 within two deviations
    network = TextCNN(50, 9, 64, [(2, 300), (3, 300)], 0.0)
    for layer in network.filters:
        assert isinstance(layer, nn.Conv1d)
        assert layer.bias is not None
        assert layer.weight.std().item() == pytest.approx(cut, rel=0.02)
        assert layer.bias.eq(0.1).all()
    for layer in (network.highway, network.gate):
        assert layer.weight.std().item() == pytest.approx(600**-0.5, rel=0.02)
    assert network.head.weight.std().item() == pytest.approx(2**0.5 * cut, rel=0.1)
    convolutions = Convolutions(width=64, blocks=1)
    data = DataSpec("text", (8,), 10, vocabulary=tuple("abcdefgh"))
    for network in (convolutions.generator(100, data), convolutions.discriminator(data)):
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                out, given, *size = layer.weight.shape
                gain = 4 if isinstance(layer, nn.Conv1d) else 2
                deviation = (gain / ((out + given) * math.prod(size))) ** 0.5
                assert layer.weight.std().item() == pytest.approx(deviation, rel=0.1), name
                assert layer.bias is not None
                assert layer.bias.eq(0).all()


class TestTextWGAN:
    def test_one_hot_rows_against_probabilities(self) -> None:
        session = session_of("model=text_wgan", "network.blocks=1", "model.d_steps=1")
        model, batch = session.model, session.stream.batch(0)
        assert isinstance(model, TextWGAN)
        real, fake = model.pair(batch)
        assert torch.equal(real.argmax(2), batch.real)
        assert real.sum(2).eq(1).all()
        torch.testing.assert_close(fake.sum(2), torch.ones(8, 32))
        advance(session, 2)
        assert "penalty/gradient_penalty" in session.trainer.window.means()

    def test_samples_are_symbols(self) -> None:
        session = session_of("model=text_wgan", "network.blocks=1")
        samples = session.model.sample(5)
        assert samples.shape == (5, 32)
        assert samples.dtype == torch.int64
        assert samples.max() < len(session.dataset.spec.vocabulary)


def test_sentences_of_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As text files beside the run, as text in TensorBoard, and from gan-sample."""
    folder = tmp_path / "run"
    arguments = [
        *("model=text_wgan", "network.width=4", "network.blocks=1", "model.d_steps=1", "steps=2"),
        *("sample_every=1", "batch_size=4", f"run.dir={folder}", "runtime.threads=1"),
    ]
    assert train.run(arguments) == 0
    lines = (folder / "samples" / "text-00000002.txt").read_text().splitlines()
    assert len(lines) == 64
    assert set("".join(lines)) <= set("abcdefghijklmnopqrstuvwxyz .")
    (events,) = folder.glob("events.out.tfevents.*")
    assert lines[0].encode() in events.read_bytes()
    out = tmp_path / "text.txt"
    with pytest.raises(SystemExit) as ended:
        sample.main([str(folder), "-n", "5", "--out", str(out)])
    assert ended.value.code == 0
    assert len(out.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=seqgan", "data=ring"), "model = seqgan: writes sentences, and data = ring has"),
        (("model=seqgan", "loss=hinge"), "the reward is a probability of being real"),
        (("model=seqgan", "model.follow=0"), "model.follow = 0: must be above 0"),
        (("model=seqgan", "penalty=r1"), "penalty = r1: looks at gradients by samples"),
        (("model=text_wgan", "data=mnist"), "model = text_wgan: writes sentences"),
    ],
)
def test_what_cannot_be(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_of(*overrides)


@pytest.mark.parametrize("model", ["gan", "vae", "mixture", "dcgan"])
def test_other_models_refuse_sentences(model: str) -> None:
    with pytest.raises(ConfigError, match=f"model = {model}: works on images or points, and data"):
        session_of(f"model={model}", "data=text")


def test_the_likelihood_of_sentences_is_evaluated(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    more = ("model.pretrain=2", "network.width=4", "batch_size=4", "runtime.threads=1")
    assert train.run(["model=seqgan", "steps=2", "sample_every=0", f"run.dir={folder}", *more]) == 0
    with pytest.raises(SystemExit) as ended:
        evaluate.main([str(folder), "--metrics", "likelihood", "--samples", "50"])
    assert ended.value.code == 0
    assert "log_likelihood" in capfd.readouterr().out
