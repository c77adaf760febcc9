"""What a loss on logits compares: rows of the student, of the teacher, and of the targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import DataError, ModelError, RecipeError
from edgekd.losses.base import Facts, Outputs, require_teacher, valid
from edgekd.losses.standardise import standardised


def token_mask(outputs: Outputs) -> Tensor | None:
    """Return the padding mask where it belongs to the logits, else None.

    A network that reads a padded sequence and gives one prediction for all of it has a mask
    (N, L) beside logits (N, C): that mask says nothing about the rows of the logits.
    """
    return outputs.mask if outputs.logits.dim() > 2 else None


def pair(
    student: Outputs, teacher: Outputs | None, name: str, *, standardise: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the logits of student and teacher as rows (M, C), in float32 at least.

    Padding is left out first, so that nothing that stands there is ever computed with.

    Args:
        student: with gradients; its mask says which tokens count.
        teacher: detached here.
        name: of the loss, for messages.
        standardise: see `standardised`.

    Raises:
        RecipeError: there is no teacher.
        ModelError: the shapes of the logits differ.
    """
    known = require_teacher(teacher, name)
    ours, theirs = student.logits, known.logits.detach()
    if ours.shape != theirs.shape:
        raise ModelError(
            f"{name}: the student's logits {tuple(ours.shape)} and the teacher's "
            f"{tuple(theirs.shape)} do not fit",
            hint="Both must predict the same classes, in the same order, for the same tokens.",
        )
    mask = token_mask(student)
    ours, theirs = valid(ours, mask), valid(theirs, mask)
    return (standardised(ours), standardised(theirs)) if standardise else (ours, theirs)


def check_logits(facts: Facts, name: str, *, classes: int = 1) -> None:
    """Refuse a student and a teacher whose logits cannot be compared, before training.

    Args:
        facts: the shapes.
        name: of the loss, for messages.
        classes: how many it needs at least.

    Raises:
        RecipeError: the shapes differ, or there are too few classes.
    """
    ours, theirs = facts.student_logits, facts.teacher_logits
    if ours != theirs:
        raise RecipeError(
            "loss",
            [f"{name!r}: the student's logits are {ours} and the teacher's {theirs} for a sample"],
            hint="Both must predict the same classes, in the same order, for the same tokens.",
        )
    if ours[-1] < classes:
        raise RecipeError(
            "loss",
            [f"{name!r}: needs at least {classes} classes; the logits are {ours} for a sample"],
            hint="For one output, use binary-kd or regression-kd.",
        )


def class_rows(target: Tensor, logits: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """Return class indices (M,), in step with the rows that `valid` gives of the logits.

    Args:
        target: (N,) for logits (N, C); (N, L) for logits (N, L, C). Any number at padding.
        logits: for their shape.
        mask: (N, L), or None.
        name: of the loss, for messages.

    Raises:
        DataError: the shapes do not fit.
    """
    if target.shape != logits.shape[:-1]:
        raise _misfit(name, target, logits, "one class index a sample, or a token")
    return target.flatten() if mask is None else target[mask.bool()]


def label_rows(target: Tensor, logits: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """Return class indices (M,), or probabilities (M, C) where samples are mixed.

    Args:
        target: as for `class_rows`, or probabilities of the logits' shape.
        logits: for their shape.
        mask: (N, L), or None.
        name: of the loss, for messages.

    Raises:
        DataError: the shapes do not fit.
    """
    if target.shape == logits.shape and target.is_floating_point():
        return valid(target, mask)
    return class_rows(target, logits, mask, name)


def value_rows(target: Tensor, logits: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """Return target values (M, C), in step with the rows that `valid` gives of the logits.

    Args:
        target: values of the logits' own shape, or without the last axis where it has length 1;
            or class indices without the last axis, which become one-hot vectors.
        logits: for their shape.
        mask: (N, L), or None.
        name: of the loss, for messages.

    Raises:
        DataError: the shapes do not fit.
    """
    precision = torch.promote_types(logits.dtype, torch.float32)
    if target.shape == logits.shape:
        return valid(target, mask).to(precision)
    outputs = logits.shape[-1]
    if target.shape != logits.shape[:-1] or (outputs > 1 and target.is_floating_point()):
        raise _misfit(name, target, logits, "one value an output, or one class index a sample")
    rows = class_rows(target, logits, mask, name)
    values = rows.unsqueeze(-1) if outputs == 1 else functional.one_hot(rows.long(), outputs)
    return values.to(precision)


def _misfit(name: str, target: Tensor, logits: Tensor, wanted: str) -> DataError:
    return DataError(
        f"{name}: targets {tuple(target.shape)} ({target.dtype}) and logits "
        f"{tuple(logits.shape)} do not fit",
        hint=f"Give {wanted}.",
    )
