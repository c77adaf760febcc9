"""What a loss takes, gives, and may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgekd.errors import RecipeError
from edgekd.schedule import Schedule, value_at


@dataclass
class Outputs:
    """What a network gave for one batch.

    Not frozen: Lightning Fabric rebuilds it when it casts tensors to another precision.

    Attributes:
        logits: (N, C), before softmax; (N, L, C) for one prediction a token.
        features: captured intermediate outputs by module name, each (N, ...).
        mask: (N, L) bool, False at padding; None: every token counts.
        indices: (N,) int64 positions of the samples in the training split, for losses that
            remember samples; None outside training.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor | None = None
    indices: Tensor | None = None


@dataclass(frozen=True)
class Facts:
    """What a loss may know before training, to build its own parts.

    Attributes:
        student: shapes of the student's captured features by module name, without the batch axis.
        teacher: those of the teacher.
        student_logits: the shape of the student's logits without the batch axis, e.g. ``(10,)``.
        teacher_logits: that of the teacher's.
        samples: the number of training samples.
    """

    student: Mapping[str, tuple[int, ...]]
    teacher: Mapping[str, tuple[int, ...]]
    student_logits: tuple[int, ...]
    teacher_logits: tuple[int, ...]
    samples: int


class Loss(nn.Module):
    """One term of the student's loss.

    A loss may have parameters of its own (adapters, embeddings): it registers them in `build`
    like any module, and the loop gives them to the optimizer, to the clipping and to the
    checkpoint, never to the student. Modules in ``opponents`` (discriminators) get an optimizer
    of their own, which minimises `opponent_loss`.

    Attributes:
        needs_teacher: False for terms that use labels only. The twin without a teacher is
            trained with these.
        needs_labels: True for terms that use labels. They see the labelled samples of a batch
            only.
        progress: fraction of all steps done, set by the loop before every step.
    """

    needs_teacher: ClassVar[bool] = True
    needs_labels: bool = False
    progress: float = 0.0

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the student's and of the teacher's modules to capture."""
        return (), ()

    def build(self, facts: Facts) -> None:
        """Make what depends on shapes; called once, before the optimizer is made.

        Raises:
            RecipeError: the shapes do not suit the loss; the message says what would.
        """

    def opponents(self) -> nn.Module | None:
        """Return the modules that play against the student, if any."""
        return None

    def opponent_loss(self, student: Outputs, teacher: Outputs) -> Tensor | None:
        """Return what the opponents minimise in this step, or None to let them rest.

        Args:
            student: detached.
            teacher: detached.
        """
        return None

    def now(self, value: float | Schedule) -> float:
        """Return a constant, or a schedule's value at the present progress."""
        return value_at(value, self.progress)

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            student: with gradients.
            teacher: without gradients; None only where ``needs_teacher`` is False.
            target: (N,) class indices; (N, C) probabilities where samples are mixed.

        Returns:
            A scalar: the mean over the samples (or the tokens that are no padding) of the batch.
        """
        raise TypeError(f"{type(self).__name__} does not say how to compute its loss")


def require_teacher(teacher: Outputs | None, name: str) -> Outputs:
    """Return the teacher's outputs, or say that a loss cannot do without.

    Raises:
        RecipeError: there is no teacher.
    """
    if teacher is None:
        raise RecipeError("loss", [f"{name!r} needs a teacher"])
    return teacher


def labelled(target: Tensor) -> Tensor:
    """Return which samples have a label: (N,) bool.

    Args:
        target: (N, ...): class indices, -1 for none; probabilities or values, NaN for none.
    """
    first = target.flatten(1)[:, 0] if target.ndim > 1 else target
    return ~first.isnan() if target.is_floating_point() else first >= 0


def only(outputs: Outputs, rows: Tensor) -> Outputs:
    """Return the outputs of some samples of a batch.

    Args:
        outputs: of N samples.
        rows: (N,) bool.
    """
    return Outputs(
        outputs.logits[rows],
        {name: value[rows] for name, value in outputs.features.items()},
        None if outputs.mask is None else outputs.mask[rows],
        None if outputs.indices is None else outputs.indices[rows],
    )


def valid(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Return (M, C): a row for each sample, or for each token that is no padding.

    Args:
        logits: (N, C) or (N, L, C).
        mask: (N, L), or None.

    Returns:
        The rows, in float32 at least, also under mixed precision.
    """
    rows = logits.flatten(0, -2) if mask is None else logits[mask.bool()]
    return rows.float() if rows.dtype.itemsize < torch.float32.itemsize else rows
