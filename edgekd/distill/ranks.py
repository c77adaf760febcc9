"""Several processes that train one network: who leads, who holds which samples.

Every process computes the loss of the *whole* batch: outputs are gathered from all of them, with
gradients, before any loss sees them. So a loss that compares samples (RKD, similarity), remembers
them (CRD) or plays against them (a discriminator) sees what it would see in a single process, and
the averaged gradient is that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgekd.losses.base import Outputs

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from edgekd.distill.batches import Batch


@dataclass(frozen=True)
class Ranks:
    """This process among the others.

    Attributes:
        rank: the number of this process, from 0.
        world: the number of processes.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def of(cls, fabric: Fabric) -> Ranks:
        """Return the place of this process."""
        return cls(fabric.global_rank, fabric.world_size)

    def share(self, total: int) -> tuple[int, int]:
        """Return start and end of this process's samples in a batch of ``total``.

        >>> [Ranks(rank, 3).share(8) for rank in range(3)]
        [(0, 3), (3, 6), (6, 8)]
        """
        small, larger = divmod(total, self.world)
        start = self.rank * small + min(self.rank, larger)
        return start, start + small + (1 if self.rank < larger else 0)


def gathered(fabric: Fabric | None, outputs: Outputs, total: int) -> Outputs:
    """Return the outputs of the whole batch, in its order; gradients flow back to their process.

    Args:
        fabric: the processes; None or a single one changes nothing.
        outputs: of this process's samples.
        total: the number of samples in the whole batch.
    """
    if fabric is None or fabric.world_size == 1:
        return outputs
    features = {name: _gather(fabric, value, total) for name, value in outputs.features.items()}
    return Outputs(
        _gather(fabric, outputs.logits, total),
        features,
        None if outputs.mask is None else _gather(fabric, outputs.mask, total),
        None if outputs.indices is None else _gather(fabric, outputs.indices, total),
    )


def gathered_targets(fabric: Fabric | None, batch: Batch) -> Tensor:
    """Return the targets of the whole batch, in its order."""
    if fabric is None or fabric.world_size == 1:
        return batch.targets
    return _gather(fabric, batch.targets, batch.total)


def _gather(fabric: Fabric, value: Tensor, total: int) -> Tensor:
    """Gather (n, ...) from every process into (total, ...); the shares may differ by a sample."""
    ends: Sequence[tuple[int, int]] = [
        Ranks(rank, fabric.world_size).share(total) for rank in range(fabric.world_size)
    ]
    most = max(end - start for start, end in ends)
    missing = most - len(value)
    if missing:  # collectives want equal shapes; what is added is cut off again
        value = torch.cat([value, value.new_zeros(missing, *value.shape[1:])])
    every = fabric.all_gather(value, sync_grads=value.requires_grad)
    parts = [every[rank][: end - start] for rank, (start, end) in enumerate(ends)]
    return torch.cat(parts)
