"""Sentences as sequences of symbols: a text file, a grammar, and an oracle of known density."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from gan_cli.data.dataset import Dataset
from gan_cli.data.published import check_split
from gan_cli.data.scan import read_file
from gan_cli.errors import ConfigError, DataError
from gan_cli.formatting import user_path

log = logging.getLogger(__name__)
SEED = 0x7E87
END = ""  # the padding symbol, printed as nothing
UNKNOWN = "<unk>"
HELD_OUT = 10  # every tenth sentence is for testing
LARGEST = 256 << 20  # bytes of a text file
SENTENCES = 20000  # of the grammar

# The grammar's rules. Each name in capitals stands for one of its lines, all equally likely.
GRAMMAR: Mapping[str, Sequence[str]] = {
    "SENTENCE": ("NOUNS VERB .", "NOUNS VERB PLACE .", "NOUNS SEES NOUNS .", "PLACE NOUNS VERB ."),
    "NOUNS": ("the NOUN", "a NOUN", "the ADJECTIVE NOUN", "a ADJECTIVE NOUN"),
    "NOUN": ("cat", "dog", "bird", "fish", "king", "girl", "boy", "fox", "bear", "horse"),
    "ADJECTIVE": ("red", "big", "small", "wild", "young", "grey", "quick", "lazy"),
    "VERB": ("sleeps", "runs", "sings", "waits", "falls", "dreams"),
    "SEES": ("sees", "finds", "likes", "hears"),
    "PLACE": ("in the PLACES", "near a PLACES", "by the PLACES"),
    "PLACES": ("house", "wood", "river", "garden", "town"),
}


class Text(Dataset):
    """Sentences of equal length: the lines of a text file, or the sentences of a small grammar.

    The grammar (`GRAMMAR`) was written for this program: it is free of rights and works offline,
    and `grammatical` recognises its sentences. They are drawn independently, so about half of those
    for testing are in the part for training too.

    Args:
        root: a UTF-8 text file; None for the grammar.
        level: the symbols: "characters" or "words".
        length: symbols of a sentence; shorter ones are padded, longer ones cut.
        form: "lines", a sentence each, or "stream", pieces of the whole text one after the other.
        most: size of the vocabulary, the most frequent symbols; others become <unk>.
        split: train, test (every tenth sentence) or all.
    """

    def __init__(
        self,
        root: str | None = None,
        level: str = "characters",
        length: int = 32,
        form: str = "lines",
        most: int = 5000,
        split: str = "train",
    ) -> None:
        check_split(split)
        for key, value, least in (("length", length, 2), ("most", most, 2)):
            if value < least:
                raise ConfigError(f"data.{key} = {value}: must be at least {least}")
        if level not in ("characters", "words"):
            raise ConfigError(f"data.level = {level}: must be characters or words")
        if form not in ("lines", "stream"):
            raise ConfigError(f"data.form = {form}: must be lines or stream")
        lines = grammar(SENTENCES) if root is None else read_lines(user_path(root))
        cut = list if level == "characters" else str.split
        sentences = [cut(line) for line in lines]
        if form == "stream":
            glue = [" "] if level == "characters" else []
            whole = [symbol for sentence in sentences for symbol in [*sentence, *glue]]
            sentences = [whole[i : i + length] for i in range(0, len(whole) - length + 1, length)]
            if not sentences:
                count = len(whole) - len(glue)
                raise DataError(
                    f"data.root = {root}: holds {count:,} {level}, fewer than one sentence of "
                    f"data.length = {length}"
                )
        elif root is not None and (longer := sum(len(one) > length for one in sentences)):
            log.info(
                f"{root}: {longer:,} of {len(sentences):,} lines are longer than "
                f"data.length = {length} and are cut"
            )
        counts = Counter(symbol for sentence in sentences for symbol in sentence[:length])
        kept = sorted(symbol for symbol, _ in counts.most_common(most) if symbol != UNKNOWN)
        unknown = [UNKNOWN] if len(counts) > len(kept) else []
        vocabulary = (END, *unknown, *kept)
        number = {symbol: index for index, symbol in enumerate(vocabulary)}
        other = number.get(UNKNOWN, 0)
        table = torch.zeros(len(sentences), length, dtype=torch.int64)
        for row, sentence in zip(table, sentences, strict=True):
            some = [number.get(symbol, other) for symbol in sentence[:length]]
            row[: len(some)] = torch.tensor(some)
        held = torch.arange(len(table)) % HELD_OUT == HELD_OUT - 1
        if split != "all":
            table = table[held if split == "test" else ~held]
        if not len(table):
            raise DataError(f"data.root = {root}: {len(lines)} lines leave no sentence for {split}")
        super().__init__("grammar" if root is None else Path(root).stem, table)
        self.spec = replace(
            self.spec, vocabulary=vocabulary, separator="" if level == "characters" else " "
        )


def read_lines(path: Path) -> list[str]:
    """Read the non-empty lines of a UTF-8 file.

    Raises:
        DataError: the file is missing, is not text, or is empty.
    """
    content = b""
    try:
        content = read_file(path, LARGEST + 1)
        if len(content) > LARGEST:
            raise DataError(
                f"data.root = {path}: more than {LARGEST >> 20} MiB; give a part of the text"
            )
        text = content.decode("utf-8-sig")  # without the mark that some editors put first
    except UnicodeDecodeError as cause:
        coding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        raise DataError(
            f"data.root = {path}: is not UTF-8 text (byte {cause.start:,} is unknown); convert it, "
            f"as by iconv -f {coding} -t utf8"
        ) from cause
    except OSError as cause:
        raise DataError(f"data.root = {path}: cannot be read: {cause.strerror or cause}") from cause
    lines = [line for line in (" ".join(line.split()) for line in text.splitlines()) if line]
    if not lines:
        raise DataError(f"data.root = {path}: holds no text")
    return lines


def grammar(count: int) -> list[str]:
    """Sentences of `GRAMMAR`, drawn with a fixed seed."""
    generator = torch.Generator().manual_seed(SEED)

    def expand(word: str) -> list[str]:
        rules = GRAMMAR.get(word)
        if rules is None:
            return [word]
        rule = rules[int(torch.randint(len(rules), (), generator=generator))]
        return [each for part in rule.split() for each in expand(part)]

    return [" ".join(expand("SENTENCE")) for _ in range(count)]


def grammatical(sentence: str) -> bool:
    """Whether `GRAMMAR` generates a sentence."""
    return re.fullmatch(_pattern("SENTENCE"), sentence) is not None


def _pattern(word: str) -> str:
    rules = GRAMMAR.get(word)
    if rules is None:
        return re.escape(word)
    return f"(?:{'|'.join(' '.join(map(_pattern, rule.split())) for rule in rules)})"


class OracleLSTM(Dataset):
    """Sequences drawn from an LSTM with random weights, of known density (Yu et al. 2017, 5.1).

    All its weights are standard normal, and it starts with symbol 0 and a state of zeros. As in the
    paper there are 10,000 sequences of 20 of 5,000 symbols; embedding and state have 32 dimensions.
    The weights come from a fixed seed of ours and are not the authors', and torch's cell has two
    biases where theirs has one.

    Args:
        symbols: size of the vocabulary.
        length: of a sequence.
        sequences: number for training, and as many for testing.
        split: train or test.
    """

    def __init__(
        self,
        symbols: int = 5000,
        length: int = 20,
        sequences: int = 10000,
        split: str = "train",
    ) -> None:
        for key, value in (("symbols", symbols), ("length", length), ("sequences", sequences)):
            if value < 2:
                raise ConfigError(f"data.{key} = {value}: must be at least 2")
        if split not in ("train", "test"):
            raise ConfigError(f"data.split = {split}: must be train or test")
        generator = torch.Generator().manual_seed(SEED)
        self.oracle = Oracle(symbols, 32, generator)
        generator.manual_seed(SEED + (1 if split == "train" else 2))
        super().__init__("oracle_lstm", self.oracle.sample(sequences, length, generator))
        names = tuple(map(str, range(symbols)))
        self.spec = replace(self.spec, vocabulary=names, separator=" ")

    def log_density(self, x: Tensor) -> Tensor:
        """The exact log p of sequences [n, length], in nats, [n]."""
        return self.oracle.to(x.device).log_prob(x)


class Oracle(nn.Module):
    """The LSTM itself.

    Args:
        symbols: size of the vocabulary.
        width: of embedding and state.
        generator: of its weights.
    """

    def __init__(self, symbols: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.cell = nn.LSTMCell(width, width)
        self.head = nn.Linear(width, symbols)
        self.requires_grad_(False)
        for parameter in self.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def _run(self, n: int, length: int, choose: Callable[[Tensor, int], Tensor]) -> Tensor:
        """log p [n] of the symbols that `choose` picks at each position, given their log p."""
        device = self.head.weight.device
        symbol = torch.zeros(n, dtype=torch.int64, device=device)
        state = None
        total = torch.zeros(n, device=device)
        for position in range(length):
            state = self.cell(self.embedding(symbol), state)
            log = log_softmax(self.head(state[0]), 1)
            symbol = choose(log, position)
            total += log.gather(1, symbol[:, None])[:, 0]
        return total

    @torch.no_grad()
    def sample(self, n: int, length: int, generator: torch.Generator) -> Tensor:
        """Sequences [n, length]."""
        symbols: list[Tensor] = []

        def draw(log: Tensor, _: int) -> Tensor:
            uniform = torch.rand(log.shape, generator=generator).clamp_min(1e-20)
            symbols.append((log - (-uniform.log()).log()).argmax(1))  # Gumbel's maximum
            return symbols[-1]

        pieces = []
        for start in range(0, n, 1000):
            symbols.clear()
            self._run(min(1000, n - start), length, draw)
            pieces.append(torch.stack(symbols, dim=1))
        return torch.cat(pieces)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """log p [n] of sequences [n, length], in nats."""
        return self._run(len(x), x.shape[1], lambda _, position: x[:, position])
