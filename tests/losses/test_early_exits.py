"""Deep supervision of exits against numbers worked out with SciPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax
from torch import Tensor

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.early_exits import EarlyExits, Teach

RNG = np.random.default_rng(0)
FINAL, FIRST, SECOND, TEACHER = (RNG.normal(size=(6, 5)) for _ in range(4))
TARGET = RNG.integers(0, 5, 6)


def reference(
    teachers: list[np.ndarray], alpha: float, temperature: float, smoothing: float = 0.0
) -> float:
    """Zhang et al.'s loss from its definition, summed over the exits, means over samples."""
    wanted = (1 - smoothing) * np.eye(5)[TARGET] + smoothing / 5
    total = 0.0
    for exit in (FIRST, SECOND):
        labels = -(wanted * log_softmax(exit, axis=-1)).sum(-1).mean()
        q = softmax(exit / temperature, axis=-1)
        taught = [
            rel_entr(softmax(t / temperature, axis=-1), q).sum(-1).mean() * temperature**2
            for t in teachers
        ]
        total += (1 - alpha) * labels + alpha * float(np.mean(taught)) if teachers else labels
    return float(total)


def outputs() -> Outputs:
    features = {"exits.0": leaf(FIRST), "exits.1": leaf(SECOND)}
    return Outputs(leaf(FINAL), features)


def leaf(values: np.ndarray) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("teach", "teachers"),
    [("self", [FINAL]), ("teacher", [TEACHER]), ("both", [FINAL, TEACHER])],
)
@pytest.mark.parametrize(("alpha", "temperature"), [(0.5, 3.0), (0.1, 1.0), (1.0, 4.0)])
def test_equals_scipy(
    teach: Teach, teachers: list[np.ndarray], alpha: float, temperature: float
) -> None:
    loss = EarlyExits(alpha=alpha, temperature=temperature, teach=teach, exits=2)
    value = loss(outputs(), Outputs(leaf(TEACHER)), torch.tensor(TARGET))
    assert value.item() == pytest.approx(reference(teachers, alpha, temperature), rel=1e-12)


def test_smoothed_labels() -> None:
    loss = EarlyExits(alpha=0.2, label_smoothing=0.1, exits=2)
    value = loss(outputs(), None, torch.tensor(TARGET))
    assert value.item() == pytest.approx(reference([FINAL], 0.2, 3.0, 0.1), rel=1e-12)


def test_the_end_of_the_network_does_not_learn_from_its_exits() -> None:
    student, teacher = outputs(), Outputs(leaf(TEACHER))
    EarlyExits(teach="both", exits=2)(student, teacher, torch.tensor(TARGET)).backward()
    assert student.logits.grad is None and teacher.logits.grad is None
    assert all(exit.grad is not None for exit in student.features.values())


@pytest.mark.parametrize(("teach", "teachers"), [("teacher", []), ("both", [FINAL])])
def test_the_twin_without_a_teacher_learns_from_what_is_left(
    teach: Teach, teachers: list[np.ndarray]
) -> None:
    loss = EarlyExits(teach=teach, exits=2)
    value = loss(outputs(), None, torch.tensor(TARGET))
    assert value.item() == pytest.approx(reference(teachers, 0.5, 3.0), rel=1e-12)


def test_asks_for_exits() -> None:
    facts = Facts({}, {}, (5,), (5,), 10)
    with pytest.raises(RecipeError, match="student with exits"):
        EarlyExits().build(facts)
    with pytest.raises(RecipeError, match="one prediction a sample"):
        EarlyExits(exits=1).build(Facts({}, {}, (7, 5), (7, 5), 10))
    with pytest.raises(EdgekdError, match="alpha"):
        EarlyExits(alpha=1.5)
    with pytest.raises(EdgekdError, match="teach"):
        EarlyExits(teach="nobody")  # type: ignore[arg-type]
