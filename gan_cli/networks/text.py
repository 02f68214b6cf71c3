"""Networks of sentences: an LSTM that draws symbol by symbol, and convolutions on one-hot rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, relu

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Options
from gan_cli.networks.translation import require_rate

State = tuple[Tensor, Tensor]  # of an LSTM: output and cell, each [n, width]


class LSTM(nn.Module):
    """P(symbol | the symbols before it), beginning with symbol 0 and a state of zeros.

    Args:
        symbols: how many there are.
        length: of a sentence.
        embedding: numbers that a symbol becomes.
        width: of the state.
        deviation: of the initial weights.
    """

    def __init__(
        self, symbols: int, length: int, embedding: int, width: int, deviation: float = 0.1
    ) -> None:
        super().__init__()
        self.length, self.width = length, width
        self.embedding = nn.Embedding(symbols, embedding)
        self.cell = nn.LSTMCell(embedding, width)
        self.head = nn.Linear(width, symbols)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, deviation)

    def begin(self, n: int) -> tuple[Tensor, State]:
        """The symbols [n] and the state before the first place."""
        weight = self.head.weight
        zeros = torch.zeros(n, self.width, device=weight.device, dtype=weight.dtype)
        return torch.zeros(n, dtype=torch.int64, device=weight.device), (zeros, zeros)

    def step(self, symbol: Tensor, state: State) -> tuple[Tensor, State]:
        """log P of the next symbol, [n, symbols] in fp32, and the state there."""
        state = self.cell(self.embedding(symbol), state)
        return log_softmax(self.head(state[0]).float(), 1), state

    def log_prob(self, x: Tensor) -> Tensor:
        """log P of each symbol of sentences `x` [n, length] given those before it, [n, length]."""
        symbol, state = self.begin(len(x))
        found = []
        for place in range(x.shape[1]):
            log, state = self.step(symbol, state)
            symbol = x[:, place]
            found.append(log.gather(1, symbol[:, None])[:, 0])
        return torch.stack(found, dim=1)

    @torch.no_grad()
    def states(self, x: Tensor) -> list[State]:
        """The state after each symbol of sentences [n, length] was put in, the last one left out.

        The t-th is what the symbol at place t + 1 is drawn from, once symbol t is given.
        """
        symbol, state = self.begin(len(x))
        found = []
        for place in range(x.shape[1] - 1):
            _, state = self.step(symbol, state)
            symbol = x[:, place]
            found.append(state)
        return found

    @torch.no_grad()
    def complete(self, begun: Tensor, symbol: Tensor, state: State) -> Tensor:
        """Sentences [n, length] that go on from `begun` [n, t].

        Args:
            begun: their first symbols.
            symbol: the last of these, [n]; symbol 0 where there is none.
            state: before it is put in.
        """
        places = [begun]
        for _ in range(self.length - begun.shape[1]):
            log, state = self.step(symbol, state)
            symbol = draw(log)
            places.append(symbol[:, None])
        return torch.cat(places, dim=1)

    def sample(self, n: int) -> Tensor:
        """Sentences [n, length]."""
        symbol, state = self.begin(n)
        return self.complete(symbol[:, None][:, :0], symbol, state)


def draw(log: Tensor) -> Tensor:
    """A symbol [n] of each distribution of log P [n, symbols].

    On a CPU by the inverse of its sum, which with 5,000 symbols is nine times faster than
    `torch.multinomial`, which draws a random number for each symbol. Elsewhere by `race`, as sums
    have no fixed order there.
    """
    if log.device.type != "cpu":
        return race(log)
    sums = log.exp().cumsum(1)
    chosen = torch.rand(len(log), 1, device=log.device) * sums[:, -1:]
    places = torch.searchsorted(sums, chosen, right=True)[:, 0]
    return places.clamp_max(log.shape[1] - 1)


def race(log: Tensor) -> Tensor:
    """A symbol [n] of each distribution of log P [n, symbols]: whose exponential time is first."""
    return (log.exp() / torch.empty_like(log).exponential_()).argmax(1)


class TextCNN(Discriminator):
    """Convolutions of several lengths over a sentence, the largest output of each, a highway layer.

    Kim 2014, as in SeqGAN (Yu et al. 2017, section 3.4 and appendix), with the initial weights of
    its authors' code, but for the highway's biases, 0 here. Their two outputs are one, the
    difference.

    Args:
        symbols: how many there are.
        length: of a sentence.
        embedding: numbers that a symbol becomes.
        filters: length and number of each kind of convolution; longer than a sentence: left out.
        rate: of the dropout.
    """

    def __init__(
        self,
        symbols: int,
        length: int,
        embedding: int,
        filters: Sequence[tuple[int, int]],
        rate: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding)
        nn.init.uniform_(self.embedding.weight, -1.0, 1.0)
        self.filters = nn.ModuleList(
            nn.Conv1d(embedding, number, size) for size, number in filters if size <= length
        )
        total = sum(number for size, number in filters if size <= length)
        self.highway, self.gate = nn.Linear(total, total), nn.Linear(total, total)
        self.dropout = nn.Dropout(rate)
        self.build_head(total, 0)
        for parameter in self.filters.parameters():
            if parameter.dim() == 1:
                nn.init.constant_(parameter, 0.1)
            else:
                nn.init.trunc_normal_(parameter, 0.0, 0.1, -0.2, 0.2)
        for layer in (self.highway, self.gate):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        first, second = (torch.empty_like(self.head.weight) for _ in range(2))
        for output in (first, second):
            nn.init.trunc_normal_(output, 0.0, 0.1, -0.2, 0.2)
        self.head.weight.data.copy_(second - first)
        nn.init.zeros_(self.head.bias)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Of sentences [n, length], int64."""
        embedded = self.embedding(x).transpose(1, 2)
        pooled = torch.cat([relu(layer(embedded)).amax(2) for layer in self.filters], dim=1)
        open_ = self.gate(pooled).sigmoid()
        return self.dropout(open_ * relu(self.highway(pooled)) + (1 - open_) * pooled)


class ResidualLine(nn.Module):
    """x + .3 f(x) with two convolutions of length 5 in f (the code of Gulrajani et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.3 * self.layers(x)


class ConvGenerator(nn.Module):
    """Latents [n, inputs] to probabilities of symbols [n, length, symbols]."""

    def __init__(self, inputs: int, symbols: int, length: int, width: int, blocks: int) -> None:
        super().__init__()
        self.length, self.width = length, width
        self.first = nn.Linear(inputs, width * length)
        self.blocks = nn.Sequential(*(ResidualLine(width) for _ in range(blocks)))
        self.last = nn.Conv1d(width, symbols, 1)
        _initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks(self.first(z).view(-1, self.width, self.length))
        return self.last(x).transpose(1, 2).float().softmax(2)


class ConvDiscriminator(Discriminator):
    """Probabilities of symbols [n, length, symbols], or one-hot rows, to outputs [n]."""

    def __init__(self, symbols: int, length: int, width: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(symbols, width, 1)
        self.blocks = nn.Sequential(*(ResidualLine(width) for _ in range(blocks)))
        self.build_head(width * length, 0)
        _initialise(self)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.blocks(self.first(x.transpose(1, 2))).flatten(1)


def _initialise(network: nn.Module) -> None:
    """The initial weights of Gulrajani et al.'s code: He's and Glorot's mean in convolutions."""
    for parameter in network.parameters():
        if parameter.dim() == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_uniform_(parameter, 2**0.5 if parameter.dim() == 3 else 1.0)


class TextFamily(Options, ABC):
    """Builds the players of sentences."""

    @abstractmethod
    def discriminator(self, data: DataSpec) -> Discriminator:
        """A discriminator of sentences."""


@dataclass(frozen=True)
class LSTMs(TextFamily):
    """SeqGAN's family: an LSTM, and convolutions with a maximum over the sentence.

    Args:
        embedding: numbers that a symbol becomes in the generator, 32 in the paper.
        width: of its state, 32 in the paper.
        discriminator_embedding: of the discriminator, 64 in the paper.
        filters: lengths and numbers of its convolutions.
        dropout: rate before its output, .25 in the paper.
    """

    embedding: int = 32
    width: int = 32
    discriminator_embedding: int = 64
    filters: Sequence[tuple[int, int]] = ((1, 100), (2, 200), (3, 200), (4, 200), (5, 200))
    dropout: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        require_rate(self.dropout)
        if not self.filters or min(map(min, self.filters)) < 1:
            raise ConfigError("network.filters: pairs of a length and a number, both at least 1")

    def generator(self, data: DataSpec) -> LSTM:
        """A generator of sentences."""
        return LSTM(len(data.vocabulary), data.shape[0], self.embedding, self.width)

    def discriminator(self, data: DataSpec) -> Discriminator:
        shape = len(data.vocabulary), data.shape[0]
        return TextCNN(*shape, self.discriminator_embedding, self.filters, self.dropout)


@dataclass(frozen=True)
class Convolutions(TextFamily):
    """The family of WGAN-GP's character model (Gulrajani et al. 2017, section 5.2).

    Args:
        width: channels, 512 in the paper.
        blocks: residual blocks of each player, 5 in the paper.
    """

    width: int = 512
    blocks: int = 5

    def generator(self, inputs: int, data: DataSpec) -> ConvGenerator:
        """A generator of probabilities of symbols."""
        shape = len(data.vocabulary), data.shape[0]
        return ConvGenerator(inputs, *shape, self.width, self.blocks)

    def discriminator(self, data: DataSpec) -> Discriminator:
        shape = len(data.vocabulary), data.shape[0]
        return ConvDiscriminator(*shape, self.width, self.blocks)


def require_text(data: DataSpec, model: str) -> None:
    """Refuse data that is not sentences."""
    if not data.is_text:
        raise ConfigError(
            f"model = {model}: writes sentences, and data = {data.name} has none; use data=text or "
            "data=oracle_lstm"
        )
