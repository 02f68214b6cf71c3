"""Cross-entropy over the samples of a batch instead of over two classes."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.losses.base import Comparing


class Softmax(Comparing):
    """D puts all the probability of a batch on its real samples, G spreads it evenly (Lin 2017).

    With p = softmax of all outputs of the batch, real and fake, D minimises the cross-entropy
    -mean(log p) over the real samples, and G over all samples. At their best these are the
    logarithms of the number of real samples and of all. The paper's mu is minus our output.
    """

    whole_batch = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return torch.cat([real, fake]).logsumexp(0) - real.mean()

    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        outputs = torch.cat([real, fake])
        return outputs.logsumexp(0) - outputs.mean()
