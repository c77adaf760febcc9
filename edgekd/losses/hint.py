"""Hints: the student regresses intermediate features of the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from edgekd.losses.adapters import make_adapter
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.paired import PairedLoss, squared_errors, token_mask, weighted_mean


def hint_loss(student: Tensor, teacher: Tensor, *, mask: Tensor | None = None) -> Tensor:
    r"""Return the mean squared difference of two features.

    .. math:: \frac{1}{N E} \sum_n \lVert r(f^s_n) - f^t_n \rVert^2

    with :math:`r` an adapter, applied before, and :math:`E` elements a sample. Romero et al.,
    "FitNets: Hints for Thin Deep Nets", ICLR 2015, https://arxiv.org/abs/1412.6550, equation 3,
    which has :math:`1/2` in place of :math:`1/E`: with the mean over elements the loss does not
    grow with the size of the layer.

    Args:
        student: (N, ...) features, with gradients.
        teacher: features of the same shape; no gradient flows into them.
        mask: (N, L) for features (N, L, D), False at padding; the mean is then over the tokens
            that count.

    Returns:
        A scalar, computed in float32 at least, also under mixed precision.

    Example ((1 - 3)^2 and (2 - 1)^2 have the mean 2.5):
        >>> import torch
        >>> value = hint_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]]))
        >>> round(value.item(), 6)
        2.5
    """
    return weighted_mean(*squared_errors(student, teacher.detach(), mask))


class Hint(PairedLoss):
    """Mean squared error between adapted features and the teacher's, summed over the pairs.

    See `hint_loss`; the adapters are those of `edgekd.losses.adapters`. They train with the
    student, stand in its checkpoint, and are no part of it.

    Args:
        layers: pairs of module names, ``[[student, teacher], ...]``.
        adapter: ``auto``: learn a mapping where the number of channels differs; ``always``: also
            where it is the same, as the paper does, so that the student need not use the
            teacher's channels in the teacher's order.

    Shapes: features (N, C, H, W), (N, L, D) or (N, D) of both, gives a scalar.
    """

    title: ClassVar[str] = "hint"

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]],
        adapter: Literal["auto", "always"] = "auto",
    ) -> None:
        """Store the options; the adapters are made in `build`."""
        super().__init__(layers)
        self.always = adapter == "always"
        self.adapters = nn.ModuleList()

    def build(self, facts: Facts) -> None:
        """Make an adapter for every pair; see `Loss.build`."""
        self.adapters = nn.ModuleList(
            make_adapter(
                facts.student[ours],
                facts.teacher[theirs],
                where=f"{self.title}: student {ours!r}, teacher {theirs!r}",
                always=self.always,
            )
            for ours, theirs in self.pairs
        )

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        terms = []
        for adapter, (ours, theirs) in zip(self.adapters, self.both(student, teacher), strict=True):
            adapted = adapter(ours, token_mask(student.mask, ours, self.title))
            mask = token_mask(student.mask, theirs, self.title)
            terms.append(hint_loss(adapted, theirs, mask=mask))
        return torch.stack(terms).sum()
