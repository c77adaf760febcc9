"""Logit standardisation, a switch of the losses on logits."""

from __future__ import annotations

from torch import Tensor


def standardised(logits: Tensor, *, epsilon: float = 1e-7) -> Tensor:
    r"""Return the logits of each sample with mean 0 and standard deviation 1.

    .. math:: (z - \bar z) / (\sigma(z) + \epsilon)

    Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024,
    https://arxiv.org/abs/2403.01427. The student then needs to match how the teacher ranks
    classes, not how large its logits are. The standard deviation is over the classes, with the
    n - 1 of the authors' code; their temperature is applied afterwards.

    Args:
        logits: (..., C).
        epsilon: keeps constant logits finite.

    Example (mean 2, deviations -1, 0, 1, standard deviation 1):
        >>> import torch
        >>> [round(value, 4) for value in standardised(torch.tensor([[1.0, 2.0, 3.0]]))[0].tolist()]
        [-1.0, 0.0, 1.0]
    """
    precise = logits.float() if logits.dtype.itemsize < 4 else logits
    centred = precise - precise.mean(-1, keepdim=True)
    return centred / (precise.std(-1, keepdim=True) + epsilon)
