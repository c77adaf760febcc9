"""Temporal attention: the student of a sequence weighs its moments as the teacher does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.attention_transfer import check_power, energy
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.kd import check_temperature, kd_loss
from edgekd.losses.paired import PairedLoss, token_mask
from edgekd.schedule import Schedule

Normalise = Literal["l2", "softmax"]
Axis = Literal["height", "width"]


def temporal_attention_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    power: float = 2.0,
    normalise: Normalise = "l2",
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the distance between the energies of two sequences over time.

    .. math:: e_{nl} = \sum_d |h_{nld}|^p

    With ``l2`` the squared distance of attention transfer (Zagoruyko and Komodakis 2017,
    https://arxiv.org/abs/1612.03928, equation 2), with time in the place of space:

    .. math:: \frac{1}{N} \sum_n \left\lVert \frac{e^s_n}{\lVert e^s_n \rVert_2}
        - \frac{e^t_n}{\lVert e^t_n \rVert_2} \right\rVert_2^2

    With ``softmax``, `kd_loss` over time: the moments of a sequence stand in the place of the
    classes, and :math:`e_{nl} / \bar e_n`, the energy relative to the sequence's mean, in the
    place of the logits. It sees the strongest moments most.

    Where the lengths differ, the longer sequence of energies is averaged down to the shorter.

    Args:
        student: (N, L, D), with gradients.
        teacher: (N, L', D'); no gradient flows into it.
        power: :math:`p \ge 1`.
        normalise: ``l2`` or ``softmax``.
        temperature: of the softmax, above 0; ``l2`` has none.
        mask: (N, L), False at padding, where both lengths are L.

    Returns:
        A scalar, computed in float32 at least, also under mixed precision: the mean over the
        samples that are not all padding.

    Raises:
        RecipeError: there is a mask, and the lengths are not both its own.

    Example (energies (9, 16) of norm sqrt 337 and (1, 0): 2 - 2 * 9 / 18.35756 = 1.01948):
        >>> import torch
        >>> student, teacher = torch.tensor([[[3.0], [4.0]]]), torch.tensor([[[1.0], [0.0]]])
        >>> round(temporal_attention_loss(student, teacher).item(), 5)
        1.01948
    """
    for features in (student, teacher):
        mask = token_mask(mask, features, "temporal-attention")
    profiles = [energy(x.transpose(1, 2), power) for x in (student, teacher.detach())]
    if mask is None:
        length = min(profile.shape[1] for profile in profiles)
        ours, theirs = (functional.adaptive_avg_pool1d(p, length) for p in profiles)
    else:
        some = mask.any(1)
        ours, theirs = (p.masked_fill(~mask, 0.0)[some] for p in profiles)
        mask = mask[some]
    if not len(ours):  # a batch of nothing but padding
        return ours.sum()
    if normalise == "l2":
        ours, theirs = functional.normalize(ours, dim=1), functional.normalize(theirs, dim=1)
        return (ours - theirs).square().sum(1).mean()
    return kd_loss(_relative(ours, mask), _relative(theirs, mask), temperature=temperature)


def _relative(energies: Tensor, mask: Tensor | None) -> Tensor:
    """Return energies over their mean, far below all others at padding."""
    count = energies.shape[1] if mask is None else mask.sum(1, keepdim=True)
    mean = energies.sum(1, keepdim=True) / count
    relative = energies / mean.clamp(min=torch.finfo(energies.dtype).tiny)
    return relative if mask is None else relative.masked_fill(~mask, -1e9)


class TemporalAttention(PairedLoss):
    """Distance between energies over time, summed over the pairs.

    See `temporal_attention_loss`. It learns nothing of its own: features are summed away, so any
    widths go together, of recurrent networks, transformers and convolutions over time.

    Args:
        layers: pairs of module names, ``[[student, teacher], ...]``.
        power: of the features in their sum, at least 1.
        normalise: ``l2``: distance of unit vectors; ``softmax``: KL divergence.
        temperature: of the softmax, above 0, or a schedule.
        axis: along which time runs in maps (N, C, H, W), e.g. ``width`` in those of spectrograms;
            everything else of a moment is summed away. Sequences go together with maps then.
            None: there are no maps.

    Shapes: features (N, L, D) and (N, L', D'), or maps with ``axis``; gives a scalar.
    """

    title: ClassVar[str] = "temporal-attention"

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]],
        power: float = 2.0,
        normalise: Normalise = "l2",
        temperature: float | Schedule = 1.0,
        axis: Axis | None = None,
    ) -> None:
        """Check and store the options."""
        super().__init__(layers)
        if normalise not in ("l2", "softmax"):
            raise EdgekdError(f"normalise must be 'l2' or 'softmax', not {normalise!r}")
        if axis not in (None, "height", "width"):
            raise EdgekdError(f"axis must be 'height' or 'width', not {axis!r}")
        self.axis: Axis | None = axis
        self.power = check_power(power)
        self.normalise: Normalise = normalise
        self.temperature = check_temperature(temperature)

    def build(self, facts: Facts) -> None:
        """Check that all layers give sequences of several moments; see `Loss.build`."""
        for ours, theirs in self.pairs:
            shapes = facts.student[ours], facts.teacher[theirs]
            moments = [self._moments(shape) for shape in shapes]
            if None in moments:
                why = (
                    "both must be (L, D); in maps (C, H, W) axis says where time runs, and for "
                    "images there is the loss 'attention-transfer'"
                )
                raise self.misfit((ours, theirs), shapes, why)
            if 1 in moments:
                raise self.misfit((ours, theirs), shapes, "one moment has nothing to be weighed by")

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        terms = [
            temporal_attention_loss(
                self._over_time(ours),
                self._over_time(theirs),
                power=self.power,
                normalise=self.normalise,
                temperature=self.now(self.temperature),
                mask=student.mask,
            )
            for ours, theirs in self.both(student, teacher)
        ]
        return torch.stack(terms).sum()

    def _moments(self, shape: tuple[int, ...]) -> int | None:
        """Return how many moments features of a sample have; None: nothing says where they are."""
        if len(shape) == 2:
            return shape[0]
        if len(shape) == 3 and self.axis is not None:
            return shape[1 if self.axis == "height" else 2]
        return None

    def _over_time(self, features: Tensor) -> Tensor:
        """Return sequences as they are, and maps as sequences (N, L, D)."""
        if features.ndim == 3:
            return features
        return features.transpose(1, 2 if self.axis == "height" else 3).flatten(2)
