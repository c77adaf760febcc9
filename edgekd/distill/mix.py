"""Mixing two samples into one: mixup and CutMix, the same for the same view of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgekd.recipe import MixSpec
from edgekd.seeds import derive_seed


@dataclass(frozen=True)
class Mixing:
    """How every training sample is mixed in one view.

    Attributes:
        partner: (samples,) whom each sample is mixed with.
        own: (samples,) how much of itself it keeps, from 0 to 1.
        centre: (samples, 2) where the partner's rectangle lies, from 0 to 1; used by CutMix.
    """

    partner: np.ndarray
    own: np.ndarray
    centre: np.ndarray


def draw(spec: MixSpec, samples: int, seed: int, view: int) -> Mixing:
    """Draw the mixing of a view for the whole training split.

    Args:
        spec: its ``alpha`` is that of the Beta distribution of ``own``.
        samples: the number of training samples.
        seed: of all views.
        view: the number of the view.
    """
    random = np.random.default_rng(derive_seed(seed, "mix", view))
    return Mixing(
        partner=random.permutation(samples),
        own=random.beta(spec.alpha, spec.alpha, size=samples).astype(np.float32),
        centre=random.random((samples, 2)).astype(np.float32),
    )


def mixup(inputs: Tensor, partners: Tensor, own: Tensor) -> Tensor:
    r"""Return :math:`\lambda x + (1 - \lambda) x'` (Zhang et al., https://arxiv.org/abs/1710.09412).

    Args:
        inputs: (N, ...).
        partners: (N, ...), row by row.
        own: (N,), the :math:`\lambda` of each sample.
    """
    share = own.reshape(-1, *([1] * (inputs.ndim - 1)))
    return share * inputs + (1.0 - share) * partners


def cutmix(inputs: Tensor, partners: Tensor, own: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Put a rectangle of the partner into each image (Yun et al., https://arxiv.org/abs/1905.04899).

    Args:
        inputs: (N, C, H, W).
        partners: (N, C, H, W), row by row.
        own: (N,) the fraction of the image to keep.
        centre: (N, 2) the centre of the rectangle, as fractions of height and width.

    Returns:
        The images, and (N,) the fraction that was really kept: at the border the rectangle is cut.
    """
    height, width = inputs.shape[-2:]
    side = (1.0 - own).clamp(min=0.0).sqrt()
    inside = []
    for axis, size in ((0, height), (1, width)):
        middle, half = centre[:, axis] * size, side * size / 2
        place = torch.arange(size, device=inputs.device) + 0.5
        inside.append((place[None] - middle[:, None]).abs() < half[:, None])
    mask = inside[0][:, :, None] & inside[1][:, None, :]
    kept = 1.0 - mask.float().mean(dim=(1, 2))
    return torch.where(mask[:, None], partners, inputs), kept


def soft_targets(targets: Tensor, partners: Tensor, own: Tensor, classes: int) -> Tensor:
    """Return (N, classes) probabilities: ``own`` of the label, the rest of the partner's.

    Where one of the two samples has no label (-1), neither has the mixture: a row of NaN.

    >>> soft_targets(torch.tensor([0]), torch.tensor([2]), torch.tensor([0.75]), 3).tolist()
    [[0.75, 0.0, 0.25]]
    """
    ours = functional.one_hot(targets.clamp(min=0), classes).float()
    theirs = functional.one_hot(partners.clamp(min=0), classes).float()
    mixed = own[:, None] * ours + (1.0 - own)[:, None] * theirs
    mixed[(targets < 0) | (partners < 0)] = torch.nan
    return mixed
