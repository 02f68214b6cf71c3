"""Small stand-ins: an extractor without training, a generator of two layers, a subject of both."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.metric import Extractor, Options
from gan_cli.evaluation.trained_model import Extractors, Real, TrainedModel
from gan_cli.model import DataSpec, Model, Phase
from gan_cli.priors import Gaussian


def flipped(content: bytes, table: Tensor) -> bytes:
    """A file with one bit of `table`, which it holds, the other way round."""
    place = content.index(table.contiguous().numpy().tobytes())
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes, Tensor], bytes]] = {
    "empty": lambda content, table: b"",
    "foreign": lambda content, table: b"nonsense",
    "cut": lambda content, table: content[:-50],
    "flipped": flipped,
}
MNIST = {"_target_": "gan_cli.data.mnist.MNIST"}  # whose parts these stand in for
SPEC = DataSpec("pictures", (1, 4, 4), 300, 3, ("a", "b", "c"))


class Pictures(Dataset):
    """300 images of noise, in order of their brightness, which is their class as well."""

    def __init__(self, split: str = "train") -> None:
        generator = torch.Generator().manual_seed(len(split))
        labels = torch.arange(300) // 100
        noise = torch.randint(0, 80, (300, 1, 4, 4), generator=generator)
        images = (noise + 80 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
        super().__init__("pictures", images, labels, ("a", "b", "c"))


class Painter(Model):
    """Images from latents and classes."""

    def __init__(self, conditional: bool = True) -> None:
        super().__init__()
        self.data, self.prior, self.conditional = SPEC, Gaussian(3), conditional
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh())

    def phases(self) -> list[Phase]:
        return []

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        images = self.net(z).view(-1, 1, 4, 4)
        return images if y is None else images + (y.view(-1, 1, 1, 1) - 1) / 2

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n), y)


class Random(Extractor):
    """A random projection, and the brightness as a class; counts its calls."""

    name, width, classes = "random", 5, 3
    identity, resize = "ab" * 32, "none"

    def __init__(self) -> None:
        self.seen = 0
        self.table = torch.randn(16, 5, generator=torch.Generator().manual_seed(1))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert images.dtype == torch.uint8
        self.seen += len(images)
        x = images.float() / 255
        bright = x.mean((1, 2, 3)) * 3
        logits = -(bright[:, None] - torch.tensor([0.5, 1.5, 2.5])).square()
        return x.flatten(1) @ self.table, logits


def subject(
    extractor: Extractor | None = None,
    model: Model | None = None,
    node: dict | None = None,
    known: Dataset | None = None,
    **options,
) -> TrainedModel:
    """A `Subject` of the package's own kind, of fakes."""
    chosen = Options(**{"samples": 200, **options})
    random = extractor or Random()
    real = Real(node or MNIST, chosen.split, known=known or Pictures())
    if node is None and known is None:
        real._sets["test"] = Pictures("test")  # the parts of one set are alike
    extractors = Extractors(lambda: random, lambda: random)
    return TrainedModel((model or Painter()).eval(), 7, "ema", chosen, real, extractors)
