"""What a loss takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn


@dataclass
class Outputs:
    """What a network gave for one batch.

    Not frozen: Lightning Fabric rebuilds it when it casts tensors to another precision.

    Attributes:
        logits: (N, C), before softmax.
        features: captured intermediate outputs by module name, each (N, ...).
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


class Loss(nn.Module):
    """One term of the student's loss.

    A loss with parameters of its own (an adapter, a discriminator) registers them like any
    module: the loop gives them to the optimizer and to the checkpoint, never to the student.

    Attributes:
        needs_teacher: False for terms that use labels only. The twin without a teacher is
            trained with these.
    """

    needs_teacher: ClassVar[bool] = True

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            student: with gradients.
            teacher: without gradients; None only where ``needs_teacher`` is False.
            target: (N,) class indices.

        Returns:
            A scalar: the mean over the samples of the batch.
        """
        raise TypeError(f"{type(self).__name__} does not say how to compute its loss")
