"""Binary cross-entropy with the true labels: every class is a yes or a no of its own."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Loss, Outputs, valid
from edgekd.losses.logit_rows import token_mask, value_rows


def binary_cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    *,
    positive_weight: float = 1.0,
    label_smoothing: float = 0.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the binary cross-entropy of multi-label predictions.

    .. math:: -\frac{1}{N} \sum_n \frac{1}{C} \sum_c \left(w \, q_{nc} \log \sigma(z_{nc})
        + (1 - q_{nc}) \log \sigma(-z_{nc})\right), \quad q = (1 - \epsilon) y + \epsilon / 2

    A single label of several classes may be given by its index; each class is then told from all
    the others, as in Wightman et al., "ResNet strikes back", 2021,
    https://arxiv.org/abs/2110.00476.

    Args:
        logits: (N, C) or (N, L, C), with gradients.
        target: 0 or 1 (or between) of the same shape; or class indices (N,) or (N, L).
        positive_weight: :math:`w`, of the classes that are there.
        label_smoothing: :math:`\epsilon`.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (-log sigmoid(2) = 0.126928 for the yes, -log sigmoid(-1) = 1.313262 for the no):
        >>> import torch
        >>> logits, target = torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 0.0]])
        >>> round(binary_cross_entropy_loss(logits, target).item(), 6)
        0.720095
    """
    rows = valid(logits, mask)
    wanted = value_rows(target, logits, mask, "binary-cross-entropy")
    wanted = (1.0 - label_smoothing) * wanted + 0.5 * label_smoothing
    weight = rows.new_tensor(positive_weight)
    return functional.binary_cross_entropy_with_logits(rows, wanted, pos_weight=weight)


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy with the labels; see `binary_cross_entropy_loss`.

    Args:
        positive_weight: above 0. Where labels are rare, about the number of noes for every yes.
        label_smoothing: at least 0 and below 1.

    Shapes: logits (N, C) and target (N, C) or (N,), or with tokens (N, L, C) and (N, L, C) or
    (N, L); gives a scalar.
    """

    needs_teacher: ClassVar[bool] = False
    needs_labels = True

    def __init__(self, *, positive_weight: float = 1.0, label_smoothing: float = 0.0) -> None:
        """Check and store the options."""
        super().__init__()
        if not positive_weight > 0.0:
            raise EdgekdError(f"positive_weight must be above 0, not {positive_weight}")
        if not 0.0 <= label_smoothing < 1.0:
            raise EdgekdError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
        self.positive_weight = positive_weight
        self.label_smoothing = label_smoothing

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        return binary_cross_entropy_loss(
            student.logits,
            target,
            positive_weight=self.positive_weight,
            label_smoothing=self.label_smoothing,
            mask=token_mask(student),
        )
