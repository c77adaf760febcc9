"""Attention transfer: the student looks where the teacher looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.paired import PairedLoss, precise


def energy(features: Tensor, power: float) -> Tensor:
    """Return the mean of ``|x| ** power`` over the channels, up to one factor a sample.

    The factor, the largest magnitude of the sample, keeps powers of large and of small features
    finite; whoever normalises the energies does not see it, nor does the gradient.

    Args:
        features: (N, C, *positions).
        power: at least 1.

    Returns:
        (N, *positions), in float32 at least.
    """
    exact = precise(features)
    axes = tuple(range(1, exact.ndim))
    largest = exact.detach().abs().amax(axes, keepdim=True)
    scale = largest.clamp(min=torch.finfo(exact.dtype).tiny)
    return (exact / scale).abs().pow(power).mean(1)


def attention_transfer_loss(student: Tensor, teacher: Tensor, *, power: float = 2.0) -> Tensor:
    r"""Return the squared distance between normalised spatial attention maps.

    .. math:: \frac{1}{N} \sum_n \left\lVert \frac{q^s_n}{\lVert q^s_n \rVert_2}
        - \frac{q^t_n}{\lVert q^t_n \rVert_2} \right\rVert_2^2,
        \quad q_n = \mathrm{vec} \sum_c |a_{nc}|^p

    Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017,
    https://arxiv.org/abs/1612.03928, equation 2. The distance is squared, as in the authors'
    code, which also divides by the number of positions; here it is summed over them, so that it
    is :math:`2 - 2\cos` and lies between 0 and 2 for a map of any size.

    Where the two maps differ in size, each axis of the larger is averaged down to the smaller.

    Args:
        student: (N, C, H, W), with gradients.
        teacher: (N, C', H', W'); no gradient flows into it.
        power: :math:`p \ge 1`; larger ones weigh the strongest positions more.

    Returns:
        A scalar, computed in float32 at least, also under mixed precision.

    Example (maps (1, 0) and (1, 1) / sqrt 2: 2 - 2 / sqrt 2 = 0.585786):
        >>> import torch
        >>> student, teacher = torch.tensor([[[[3.0, 0.0]]]]), torch.tensor([[[[5.0, 5.0]]]])
        >>> round(attention_transfer_loss(student, teacher).item(), 6)
        0.585786
    """
    ours, theirs = energy(student, power), energy(teacher.detach(), power)
    size = min(ours.shape[1], theirs.shape[1]), min(ours.shape[2], theirs.shape[2])
    ours, theirs = (_unit(functional.adaptive_avg_pool2d(m, size)) for m in (ours, theirs))
    return (ours - theirs).square().sum(1).mean()


def _unit(maps: Tensor) -> Tensor:
    return functional.normalize(maps.flatten(1), dim=1)


def check_power(power: float) -> float:
    """Return the power of an energy.

    Raises:
        EdgekdError: it is below 1, where the gradient at 0 is infinite.
    """
    if not power >= 1.0:
        raise EdgekdError(f"power must be at least 1, not {power}")
    return power


class AttentionTransfer(PairedLoss):
    """Distance between spatial attention maps, summed over the pairs.

    See `attention_transfer_loss`. It learns nothing of its own: channels are summed away, so any
    widths go together.

    Args:
        layers: pairs of module names, ``[[student, teacher], ...]``.
        power: of the features in their sum over channels, at least 1.

    Shapes: features (N, C, H, W) and (N, C', H', W'), gives a scalar.
    """

    title: ClassVar[str] = "attention-transfer"

    def __init__(self, *, layers: Sequence[tuple[str, str]], power: float = 2.0) -> None:
        """Check and store the options."""
        super().__init__(layers)
        self.power = check_power(power)

    def build(self, facts: Facts) -> None:
        """Check that all layers give images of several positions; see `Loss.build`."""
        for ours, theirs in self.pairs:
            shapes = facts.student[ours], facts.teacher[theirs]
            if any(len(shape) != 3 for shape in shapes):
                why = (
                    "both must be (C, H, W); for sequences (L, D) there is the loss "
                    "'temporal-attention'"
                )
                raise self.misfit((ours, theirs), shapes, why)
            if any(shape[1] * shape[2] == 1 for shape in shapes):
                raise self.misfit((ours, theirs), shapes, "a map of one position is always 1")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        terms = [
            attention_transfer_loss(ours, theirs, power=self.power)
            for ours, theirs in self.both(student, teacher)
        ]
        return torch.stack(terms).sum()
