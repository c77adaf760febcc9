"""Adversarial distillation: a discriminator that the student's outputs should fool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Loss, Outputs, require_teacher, valid
from edgekd.losses.discriminator import (
    Discriminator,
    fooling_loss,
    gradient_penalty,
    telling_loss,
    told_apart,
)
from edgekd.losses.embedding import (
    Projection,
    embeddings,
    full_precision,
    names_of,
    read_pairs,
    widths,
)
from edgekd.losses.logit_rows import token_mask

#: The student's term counts as saturated above this: its outputs pass with less than 1%.
SATURATED = -math.log(0.01)

#: The weight of the term is damped no further than to this.
LEAST = 1.0 / 1024.0


class Guard(nn.Module):
    """Keeps a game that one side wins from doing harm. All it knows is in its buffers.

    Attributes:
        accuracy: running mean of how well the discriminators tell the two apart; 0.5 is chance.
        damping: what the student's term is multiplied with, from 1/1024 to 1.
        streak: steps in a row that the term was saturated; negative: that it was not.
        faults: steps in which something was not finite.
        rests: steps in which the discriminators did not learn.
    """

    accuracy: Tensor
    damping: Tensor
    streak: Tensor
    faults: Tensor
    rests: Tensor

    def __init__(self, *, rest_above: float, patience: int) -> None:
        """Begin with nothing known."""
        super().__init__()
        self.rest_above = rest_above
        self.patience = patience
        self.register_buffer("accuracy", torch.tensor(0.5))
        self.register_buffer("damping", torch.tensor(1.0))
        for name in ("streak", "faults", "rests"):
            self.register_buffer(name, torch.tensor(0))

    def damped(self, term: Tensor, rows: Sequence[Tensor]) -> Tensor:
        """Return the student's term to use: damped, or 0 where it is not finite.

        Args:
            term: a scalar.
            rows: the student's outputs that it was computed from.
        """
        finite = bool(torch.isfinite(term))
        self.faults += int(not finite)
        self._count(not finite or term.item() > SATURATED)
        if finite:
            return term * self.damping.to(term.dtype)
        # Not a product with the term: no gradient may come from what is not finite.
        return torch.stack([(0.0 * part).sum() for part in rows]).sum()

    def _count(self, lost: bool) -> None:
        streak = int(self.streak)
        streak = max(streak, 0) + 1 if lost else min(streak, 0) - 1
        if abs(streak) >= self.patience:
            factor = 0.5 if lost else 2.0
            self.damping.mul_(factor).clamp_(LEAST, 1.0)
            streak = 0
        self.streak.fill_(streak)

    def lets_learn(self, loss: Tensor, accuracy: Tensor) -> bool:
        """Say whether the discriminators learn in this step.

        Args:
            loss: what they would minimise.
            accuracy: how well they told this batch apart.
        """
        finite = bool(torch.isfinite(loss))
        self.faults += int(not finite)
        if finite:
            self.accuracy.lerp_(accuracy.to(self.accuracy.dtype), 0.1)
        learns = finite and float(self.accuracy) <= self.rest_above
        self.rests += int(not learns)
        return learns


class Adversarial(Loss):
    r"""The student's outputs should pass for the teacher's before a discriminator.

    .. math:: L_s = -\frac{1}{N} \sum_n \log \sigma(d(s_n)), \qquad
        L_d = -\frac{1}{2N} \sum_n \big( \log \sigma(d(t_n)) + \log (1 - \sigma(d(s_n))) \big)
        + \frac{\gamma}{2N} \sum_n \lVert \nabla d(t_n) \rVert_2^2

    On logits: Xu et al., "Training Shallow and Thin Networks for Acceleration via Knowledge
    Distillation with Conditional Adversarial Networks", 2017, https://arxiv.org/abs/1709.00513
    (here without their classifier on the discriminator); on features: Chung et al., "Feature-map-
    level Online Adversarial Knowledge Distillation", 2020, https://arxiv.org/abs/2002.01775.

    The discriminator has an optimizer of its own and learns after every step of the student. It
    rests while it tells the two apart too well. Where the student's term stays saturated, its
    weight is halved, and doubled again when it no longer is; a step that is not finite moves
    neither side through this term. See `Guard`.

    Args:
        layers: pairs of a student's and a teacher's layer, with a discriminator each; the mean
            over the pairs is taken. Without it, the logits are judged.
        hidden: widths of the discriminator's hidden layers.
        regularisation: ``gradient-penalty``, R1 of Mescheder et al.; ``spectral-norm``, Miyato
            et al.
        penalty: :math:`\gamma` of the gradient penalty.
        rest_above: the accuracy of the discriminators, over about ten steps, above which they
            rest; 1 never lets them.
        patience: steps that the student's term is saturated before its weight is halved.

    Shapes: logits (N, C) or (N, L, C) of both; layers: see `embedding`. Gives a scalar. Where a
    layer of the student has another length, a linear layer of the loss adapts it.

    Example (a discriminator that scores x with x: -log(sigmoid(1)) = 0.313262):
        >>> import torch
        >>> loss = Adversarial(hidden=[])
        >>> loss.build(Facts({}, {}, (1,), (1,), 2))
        >>> for parameter, value in zip(loss.discriminators.parameters(), (1.0, 0.0), strict=True):
        ...     _ = torch.nn.init.constant_(parameter, value)
        >>> ours, theirs = Outputs(torch.tensor([[1.0]])), Outputs(torch.tensor([[3.0]]))
        >>> round(loss(ours, theirs, torch.tensor([0])).item(), 6)
        0.313262
    """

    def __init__(
        self,
        *,
        layers: Sequence[tuple[str, str]] | None = None,
        hidden: Sequence[int] = (64,),
        regularisation: Literal["gradient-penalty", "spectral-norm"] = "gradient-penalty",
        penalty: float = 1.0,
        rest_above: float = 0.8,
        patience: int = 50,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        if regularisation not in ("gradient-penalty", "spectral-norm"):
            raise EdgekdError(
                f"regularisation is {regularisation!r}",
                hint='It is "gradient-penalty" or "spectral-norm".',
            )
        if any(width < 1 for width in hidden):
            raise EdgekdError(f"hidden must hold widths above 0, not {list(hidden)}")
        if penalty < 0.0 or patience < 1 or not 0.5 <= rest_above <= 1.0:
            raise EdgekdError(
                "penalty must be at least 0, patience at least 1 and rest_above in [0.5, 1], not "
                f"{penalty}, {patience} and {rest_above}"
            )
        self.pairs = read_pairs(layers)
        self.hidden = tuple(hidden)
        self.spectral = regularisation == "spectral-norm"
        self.penalty = 0.0 if self.spectral else penalty
        self.guard = Guard(rest_above=rest_above, patience=patience)
        self.adapters = nn.ModuleList()
        self.discriminators = nn.ModuleList()

    def layers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the layers of the pairs; see `Loss.layers`."""
        return names_of(self.pairs)

    def build(self, facts: Facts) -> None:
        """Make discriminators and adapters; see `Loss.build`."""
        if not self.pairs and facts.student_logits != facts.teacher_logits:
            raise RecipeError(
                "loss",
                [
                    f"'adversarial' compares logits of shape {facts.student_logits} of the "
                    f"student with {facts.teacher_logits} of the teacher"
                ],
                hint="Name layers instead, which are adapted: layers = [[student, teacher]].",
            )
        found = widths(facts, self.pairs)
        self.adapters = nn.ModuleList(
            Projection(ours, theirs) if ours != theirs else nn.Identity() for ours, theirs in found
        )
        self.discriminators = nn.ModuleList(
            Discriminator(theirs, self.hidden, spectral=self.spectral) for _, theirs in found
        )

    def opponents(self) -> nn.Module | None:
        """Return the discriminators; see `Loss.opponents`."""
        return self.discriminators

    def opponent_loss(self, student: Outputs, teacher: Outputs) -> Tensor | None:
        """Return the discriminators' loss, or None while they rest; see `Loss.opponent_loss`."""
        losses, accuracies = [], []
        with full_precision(student.logits):
            with torch.no_grad():
                pairs = self._rows(student, teacher)
            for discriminator, (ours, theirs) in zip(self.discriminators, pairs, strict=True):
                theirs = theirs.detach().requires_grad_(self.penalty > 0.0)
                # Both in one pass: spectral norms move a little with every pass.
                scores = discriminator(torch.cat([theirs, ours]))
                real, fake = scores.split([len(theirs), len(ours)])
                loss = telling_loss(real, fake)
                if self.penalty:
                    loss = loss + self.penalty * gradient_penalty(real, theirs)
                losses.append(loss)
                accuracies.append(told_apart(real.detach(), fake.detach()))
        total = torch.stack(losses).mean()
        learns = self.guard.lets_learn(total.detach(), torch.stack(accuracies).mean())
        return total if learns else None

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the student's term; see `Loss.forward`."""
        known = require_teacher(teacher, "adversarial")
        with full_precision(student.logits):
            rows = [ours for ours, _ in self._rows(student, known)]
            terms = [
                fooling_loss(discriminator(part))
                for discriminator, part in zip(self.discriminators, rows, strict=True)
            ]
            return self.guard.damped(torch.stack(terms).mean(), rows)

    def _rows(self, student: Outputs, teacher: Outputs) -> list[tuple[Tensor, Tensor]]:
        """Return (M, D) of the adapted student and of the teacher for every discriminator."""
        if self.pairs:
            found = embeddings(student, teacher, self.pairs)
        else:
            mask = token_mask(student)
            found = [(valid(student.logits, mask), valid(teacher.logits.detach(), mask))]
        return [
            (adapter(ours), theirs)
            for adapter, (ours, theirs) in zip(self.adapters, found, strict=True)
        ]
