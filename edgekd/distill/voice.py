"""Where a teacher's answers come from: the teacher itself, or what it said before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.distill.batches import Batch, TrainingBatches
from edgekd.distill.features import Capture
from edgekd.distill.folding import folded
from edgekd.distill.tutor import Reads, Tutor
from edgekd.errors import RecipeError
from edgekd.losses.base import Outputs


class Voice(Protocol):
    """Answers for batches."""

    def answer(self, batch: Batch) -> Outputs:
        """Return what the teacher says of exactly the view that the student sees."""
        ...


class LiveVoice:
    """The teacher, asked for every batch.

    Args:
        teacher: frozen.
        reads: what it sees of a batch.
        capture: the layers to capture; its hooks are on.
        fabric: the precision to compute in.
    """

    def __init__(
        self, teacher: nn.Module, reads: Callable[[Batch], Tensor], capture: Capture, fabric: Fabric
    ) -> None:
        """Store what is needed to ask."""
        self.teacher = teacher
        self.reads = reads
        self.capture = capture
        self.fabric = fabric

    def answer(self, batch: Batch) -> Outputs:
        """Run the teacher on the batch."""
        with torch.no_grad(), self.fabric.autocast():
            logits = self.teacher(self.reads(batch))
        return Outputs(logits, self.capture.take(), batch.mask, batch.indices)


@contextmanager
def live(
    tutor: Tutor, layers: list[str], batches: TrainingBatches, fabric: Fabric, example: Tensor
) -> Iterator[LiveVoice]:
    """Give the live voice of a teacher; its hooks come off at the end.

    Args:
        tutor: the teacher.
        layers: those to capture.
        batches: the student's batches.
        fabric: device and precision.
        example: two samples as the teacher takes them.

    Raises:
        RecipeError: the teacher is to be folded, but a loss captures its layers.
        ModelError: it cannot be folded.
    """
    teacher = tutor.model
    if tutor.fold and layers:
        raise RecipeError(
            "teacher.fold",
            [
                f"a loss captures the layer {layers[0]!r} of {tutor.name!r}, and folding takes "
                "layers away"
            ],
        )
    if tutor.fold:
        teacher = folded(teacher)
    capture = Capture(teacher, layers, "teacher")
    capture.rehearse(example.to(fabric.device))
    with capture.hooked():
        yield LiveVoice(teacher, Reads(tutor, batches), capture, fabric)
