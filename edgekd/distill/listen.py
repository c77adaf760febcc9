"""Asking the teacher."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import nn

from edgekd.distill.batches import Batch
from edgekd.distill.features import Capture
from edgekd.losses.base import Outputs


def listen(
    teacher: nn.Module | None, heard: Capture | None, batch: Batch, fabric: Fabric
) -> Outputs | None:
    """Return what the teacher says of exactly the view that the student sees.

    Args:
        teacher: frozen; None where there is none.
        heard: captures its layers; its hooks are on.
        batch: the student's batch.
        fabric: the precision to compute in.
    """
    if teacher is None or heard is None:
        return None
    with torch.no_grad(), fabric.autocast():
        logits = teacher(batch.inputs)
    return Outputs(logits, heard.take(), batch.mask, batch.indices)
