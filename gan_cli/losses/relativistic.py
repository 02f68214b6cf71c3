"""Losses that ask whether a real sample looks more real than a fake one."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from gan_cli.losses.base import Comparing


class Relativistic(Comparing):
    """-E[log sigmoid(C(x) - C(G(z)))] against -E[log sigmoid(C(G(z)) - C(x))], in pairs.

    The i-th real sample meets the i-th fake. Jolicoeur-Martineau 2018, section 4.1 (RSGAN);
    RpGAN in Huang et al. 2024 (R3GAN), Eq. 2.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _pairs(real, fake)

    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        return _pairs(fake, real)


class RelativisticAverage(Comparing):
    """Each sample against the mean output for the other kind.

    -E[log sigmoid(C(x) - E C(G(z)))] - E[log(1 - sigmoid(C(G(z)) - E C(x)))]; the generator's is
    the same with real and fake exchanged. Jolicoeur-Martineau 2018, section 4.3 (RaSGAN), which
    adds the two terms; the author's code halves their sum.
    """

    whole_batch = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _averages(real, fake)

    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        return _averages(fake, real)


def _pairs(above: Tensor, below: Tensor) -> Tensor:
    if above.shape != below.shape:
        raise ValueError(
            f"the Relativistic loss compares pairs, and there are {len(above)} outputs of one "
            f"kind and {len(below)} of the other"
        )
    return softplus(below - above).mean()


def _averages(above: Tensor, below: Tensor) -> Tensor:
    return softplus(below.mean() - above).mean() + softplus(below - above.mean()).mean()
