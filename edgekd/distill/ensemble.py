r"""Several teachers' answers as one.

For a sample :math:`i` and teachers :math:`k` with shares :math:`w_{ik}` that sum to 1, the average
is taken of probabilities, :math:`T \log \sum_k w_{ik} \sigma(z_{ik} / T)`, or of logits,
:math:`\sum_k w_{ik} z_{ik}`. A loss that softens the former at the same temperature :math:`T`
gets back exactly the mean of the teachers' softened probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.losses.base import Outputs, labelled
from edgekd.recipe import EnsembleSpec

#: What losses that name no teacher listen to.
ALL = ""


def combine(
    answers: Mapping[str, Outputs],
    weights: Mapping[str, float],
    spec: EnsembleSpec,
    *,
    targets: Tensor | None = None,
    seed: int = 0,
) -> Outputs:
    """Return what all teachers say together; of a single one, all that it says.

    Args:
        answers: by teacher, logits (N, C) each; several share no layers, so features are left out.
        weights: the share of each teacher, before it is scaled to a sum of 1.
        spec: what is averaged, and how teachers are weighed.
        targets: (N,) labels or (N, C) probabilities, for ``correctness``; None: fixed shares.
        seed: of the ``random`` choice.
    """
    if len(answers) == 1:
        return next(iter(answers.values()))
    logits = torch.stack([outputs.logits.float() for outputs in answers.values()])
    shares = _shares(logits, [weights[name] for name in answers], spec, targets, seed)
    first = next(iter(answers.values()))
    return Outputs(average(logits, shares, spec), {}, first.mask, first.indices)


def average(logits: Tensor, shares: Tensor, spec: EnsembleSpec) -> Tensor:
    """Return the average of logits (K, N, ..., C) with shares (K, N) or (K,): (N, ..., C)."""
    shares = shares.reshape(*shares.shape, *([1] * (logits.ndim - shares.ndim)))
    if spec.average == "logits":
        return (shares * logits).sum(dim=0)
    soft = functional.log_softmax(logits / spec.temperature, dim=-1)
    return spec.temperature * torch.logsumexp(soft + shares.log(), dim=0)


def _shares(
    logits: Tensor,
    weights: Sequence[float],
    spec: EnsembleSpec,
    targets: Tensor | None,
    seed: int,
) -> Tensor:
    """Return the share of each teacher, (K,) or (K, N)."""
    fixed = torch.tensor(weights, device=logits.device)
    if spec.weigh == "random":
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.multinomial(fixed.cpu(), 1, generator=generator)
        return functional.one_hot(chosen[0], len(weights)).to(logits)
    if spec.weigh == "confidence":
        fixed = fixed[:, None] * by_confidence(logits)
    elif spec.weigh == "correctness" and targets is not None:
        fixed = fixed[:, None] * by_correctness(logits, targets)
    return fixed / fixed.sum(dim=0, keepdim=True)


def by_confidence(logits: Tensor) -> Tensor:
    r"""Return :math:`e^{-H_{ik}}`, with the entropy :math:`H` of each teacher on each sample.

    Args:
        logits: (K, N, ..., C); of several positions, the mean entropy counts.

    Returns:
        (K, N), not yet scaled to a sum of 1.
    """
    logs = functional.log_softmax(logits, dim=-1)
    entropy = -(logs.exp() * logs).sum(dim=-1)
    return (-entropy.flatten(2).mean(dim=-1) if entropy.ndim > 2 else -entropy).exp()


def by_correctness(logits: Tensor, targets: Tensor) -> Tensor:
    r"""Return CA-MKD's :math:`1 - e^{L_{ik}} / \sum_j e^{L_{ij}}` with cross-entropies :math:`L`.

    Zhang et al. 2022, https://arxiv.org/abs/2201.00007, Eq. 3; theirs divides by :math:`K - 1`,
    which drops out. Samples without a label count all teachers alike.

    Args:
        logits: (K, N, C).
        targets: (N,) class indices, -1 for none; (N, C) probabilities, NaN for none.

    Returns:
        (K, N), not yet scaled to a sum of 1.
    """
    known = labelled(targets)
    logs = functional.log_softmax(logits, dim=-1)
    if targets.ndim == 1:
        picked = targets.clamp(min=0)[None, :, None].expand(len(logits), -1, 1)
        loss = -logs.gather(-1, picked).squeeze(-1)
    else:
        loss = -(logs * targets.nan_to_num()).sum(dim=-1)
    shares = 1.0 - functional.softmax(loss, dim=0)
    return torch.where(known[None], shares, torch.ones_like(shares))
