"""Cross-entropy with the true labels."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Loss, Outputs, valid
from edgekd.losses.logit_rows import label_rows, token_mask


class CrossEntropy(Loss):
    r"""Cross-entropy with the labels, optionally smoothed.

    .. math:: -\sum_c q_c \log p_c, \quad q_c = (1 - \epsilon) [c = y] + \epsilon / C

    with :math:`p` the student's softmax (at temperature 1), averaged over the samples, or over the
    tokens that are no padding.
    Smoothing: Szegedy et al., "Rethinking the Inception Architecture", 2016,
    https://arxiv.org/abs/1512.00567

    Args:
        label_smoothing: :math:`\epsilon`, at least 0 and below 1.

    Shapes: logits (N, C) and target (N,), or with tokens (N, L, C) and (N, L); target of the
    logits' shape where samples are mixed; gives a scalar, computed in float32 at least.

    Example (-log(exp(2) / (exp(2) + 1)) = 0.126928):
        >>> import torch
        >>> loss = CrossEntropy()
        >>> value = loss(Outputs(torch.tensor([[2.0, 0.0]])), None, torch.tensor([0]))
        >>> round(value.item(), 6)
        0.126928
    """

    needs_teacher: ClassVar[bool] = False
    needs_labels = True

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        """Check and store the smoothing."""
        super().__init__()
        if not 0.0 <= label_smoothing < 1.0:
            raise EdgekdError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the mean cross-entropy; see `Loss.forward`."""
        mask = token_mask(student)
        rows = valid(student.logits, mask)
        wanted = label_rows(target, student.logits, mask, "cross-entropy")
        if wanted.is_floating_point():
            wanted = wanted.to(rows.dtype)
        return functional.cross_entropy(rows, wanted, label_smoothing=self.label_smoothing)
