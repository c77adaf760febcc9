"""How to build every loss of the table, and batches for it, for the tests that hold for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from edgekd.losses import LOSSES
from edgekd.losses.base import Facts, Loss, Outputs

SAMPLES, CLASSES, LENGTH = 32, 5, 6

Shapes = Mapping[str, tuple[int, ...]]

TOKENS: Shapes = {"h": (LENGTH, 8)}
WIDE_TOKENS: Shapes = {"h": (LENGTH, 16)}
IMAGE: Shapes = {"h": (4, 6, 6)}
LARGE_IMAGE: Shapes = {"h": (8, 9, 9)}
PAIR = [("h", "h")]


def _projections(width: int, *names: str) -> Shapes:
    return {f"h.{name}": (LENGTH, width) for name in names}


@dataclass(frozen=True)
class Case:
    """One way to build a loss.

    Attributes:
        options: of the loss.
        student: shapes of the student's captured features, without the batch axis.
        teacher: those of the teacher.
        remembers: what it gives depends on which samples it saw before, so that a batch seen
            twice is not the same.
        masked: it takes tokens, and leaves padding out.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    student: Shapes = field(default_factory=dict)
    teacher: Shapes = field(default_factory=dict)
    remembers: bool = False
    masked: bool = True


_ON_TOKENS = Case({"layers": PAIR}, TOKENS, WIDE_TOKENS)
_ON_IMAGES = Case({"layers": PAIR}, IMAGE, LARGE_IMAGE, masked=False)
_CRD = {"dim": 8, "negatives": 16}

#: Every way of building a loss that the contracts are held against, by the name of its row.
CASES: dict[str, dict[str, Case]] = {
    "cross-entropy": {"": Case(), "smoothed": Case({"label_smoothing": 0.1})},
    "kd": {"": Case(), "standardised": Case({"standardise": True})},
    "binary-cross-entropy": {"": Case()},
    "binary-kd": {"": Case()},
    "dist": {"": Case(), "standardised": Case({"standardise": True})},
    "dkd": {"": Case(), "standardised": Case({"standardise": True})},
    "logits-mse": {"": Case(), "standardised": Case({"standardise": True})},
    "regression": {"": Case(), "huber": Case({"distance": "huber"})},
    "regression-kd": {"": Case(), "bounded": Case({"bounded": True, "margin": 0.5})},
    "soft-cross-entropy": {"": Case(), "standardised": Case({"standardise": True})},
    "consistency": {"": Case(), "sharp": Case({"temperature": 0.5})},
    "dino": {"": Case()},
    "rkd": {"": Case(), "tokens": _ON_TOKENS, "images": _ON_IMAGES},
    "similarity-preserving": {"": Case(), "tokens": _ON_TOKENS, "images": _ON_IMAGES},
    "crd": {
        "": Case(_CRD, remembers=True),
        "tokens": Case({"layers": PAIR, **_CRD}, TOKENS, WIDE_TOKENS, remembers=True),
    },
    "itrd": {"": Case(), "tokens": _ON_TOKENS, "images": _ON_IMAGES},
    "adversarial": {
        "": Case(),
        "tokens": _ON_TOKENS,
        "spectral": Case({"regularisation": "spectral-norm"}),
    },
    "hint": {"tokens": _ON_TOKENS, "images": _ON_IMAGES},
    "attention-transfer": {"images": _ON_IMAGES},
    "transformer-hidden": {"tokens": _ON_TOKENS},
    "transformer-attention": {
        "tokens": Case(
            {"layers": PAIR, "heads": (2, 4)},
            _projections(8, "query", "key"),
            _projections(16, "query", "key"),
        )
    },
    "minilm": {
        "tokens": Case(
            {"layers": PAIR, "heads": 4},
            _projections(8, "query", "key", "value"),
            _projections(16, "query", "key", "value"),
        )
    },
    "temporal-attention": {
        "tokens": _ON_TOKENS,
        "softmax": Case({"layers": PAIR, "normalise": "softmax"}, TOKENS, WIDE_TOKENS),
    },
    "cross-layer": {"tokens": _ON_TOKENS, "images": _ON_IMAGES},
}


#: Exits give logits, and no loss on them says which tokens count.
_EXITS: Shapes = {"exits.0": (CLASSES,), "exits.1": (CLASSES,)}
CASES["early-exits"] = {
    "": Case({"exits": 2}, _EXITS, masked=False),
    "smoothed": Case({"exits": 2, "label_smoothing": 0.1}, _EXITS, masked=False),
    "teacher": Case({"exits": 2, "teach": "teacher"}, _EXITS, masked=False),
    "both": Case({"exits": 2, "teach": "both", "alpha": 0.3}, _EXITS, masked=False),
}


@dataclass
class Example:
    """A batch: what both networks gave, and the labels."""

    student: Outputs
    teacher: Outputs
    target: Tensor

    def leaves(self) -> list[Tensor]:
        """Return the student's tensors, which gradients may reach."""
        return [self.student.logits, *self.student.features.values()]

    def changed(self, change: Any) -> Example:
        """Return fresh leaves with every tensor of both networks changed."""
        return Example(_changed(self.student, change), _changed(self.teacher, change), self.target)

    def twice(self) -> Example:
        """Return the batch with every sample in it two times."""
        double = self.changed(lambda x: torch.cat([x, x]))
        for outputs in (double.student, double.teacher):
            outputs.mask = None if outputs.mask is None else torch.cat([outputs.mask] * 2)
            if outputs.indices is not None:
                outputs.indices = torch.cat([outputs.indices] * 2)
        double.target = torch.cat([self.target, self.target])
        return double


def _changed(outputs: Outputs, change: Any) -> Outputs:
    def leaf(x: Tensor) -> Tensor:
        new: Tensor = change(x.detach().clone())
        return new.requires_grad_()

    features = {name: leaf(value) for name, value in outputs.features.items()}
    return Outputs(leaf(outputs.logits), features, outputs.mask, outputs.indices)


def example(case: Case, n: int = 8, *, padded: bool = False, seed: int = 0) -> Example:
    """Return a random batch.

    Args:
        case: whose shapes.
        n: samples.
        padded: one prediction a token, and padding in all samples but the first.
        seed: of the batch.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (n, LENGTH) if padded else (n,)
    mask = None
    if padded:
        lengths = LENGTH - torch.arange(n) % (LENGTH - 2)
        mask = torch.arange(LENGTH)[None] < lengths[:, None]

    def outputs(shapes: Shapes) -> Outputs:
        def draw(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator).requires_grad_()

        features = {name: draw(n, *size) for name, size in shapes.items()}
        return Outputs(draw(*shape, CLASSES), features, mask, torch.arange(n) % SAMPLES)

    student, teacher = outputs(case.student), outputs(case.teacher)
    return Example(student, teacher, torch.randint(0, CLASSES, shape, generator=generator))


def make(name: str, case: Case, batch: Example) -> Loss:
    """Build a loss for the shapes of a batch; the same one every time."""
    facts = Facts(
        {name: tuple(x.shape[1:]) for name, x in batch.student.features.items()},
        {name: tuple(x.shape[1:]) for name, x in batch.teacher.features.items()},
        tuple(batch.student.logits.shape[1:]),
        tuple(batch.teacher.logits.shape[1:]),
        SAMPLES,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss: Loss = LOSSES.resolve(name)(**case.options)
        loss.build(facts)
    return loss


def value_of(name: str, case: Case, batch: Example) -> Tensor:
    """Return what a fresh loss gives for a batch; what it draws is the same every time."""
    loss = make(name, case, batch)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        value: Tensor = loss(batch.student, batch.teacher, batch.target)
    return value
