"""RKD against loops over pairs and triples in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.errors import EdgekdError
from edgekd.losses.base import Outputs
from edgekd.losses.rkd import RKD, angles, distances, rkd_loss

Array = np.ndarray


def huber(x: float) -> float:
    return 0.5 * x * x if abs(x) <= 1 else abs(x) - 0.5


def distance_table(rows: Array) -> dict[tuple[int, int], float]:
    found = {
        (i, j): float(np.linalg.norm(a - b)) for i, a in enumerate(rows) for j, b in enumerate(rows)
    }
    mean = np.mean([d for d in found.values() if d > 0] or [1.0])
    return {key: d / float(mean) for key, d in found.items()}


def cosine(rows: Array, i: int, j: int, k: int) -> float:
    a, b = rows[j] - rows[i], rows[k] - rows[i]
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths > 0 else 0.0


def reference(s: Array, t: Array, distance: float, angle: float) -> float:
    n = len(s)
    ours, theirs = distance_table(s), distance_table(t)
    pairs = sum(huber(ours[key] - theirs[key]) for key in ours) / n**2
    triples = itertools.product(range(n), repeat=3)
    corners = sum(huber(cosine(s, *abc) - cosine(t, *abc)) for abc in triples) / n**3
    return distance * pairs + angle * corners


@given(st.integers(2, 6), st.integers(0, 2**16), st.sampled_from([0.01, 1.0, 1000.0]))
@settings(max_examples=30, deadline=None)
def test_equals_the_loops(n: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    s, t = rng.normal(size=(n, 3)) * scale, rng.normal(size=(n, 5))
    for distance, angle in ((1.0, 2.0), (3.0, 0.0), (0.0, 1.0)):
        value = rkd_loss(torch.tensor(s), torch.tensor(t), distance=distance, angle=angle)
        assert value.item() == pytest.approx(reference(s, t, distance, angle), rel=1e-9, abs=1e-12)


def test_golden_numbers() -> None:
    # A 3-4-5 triangle: the mean of 3, 4, 5 is 4; the right angle stands at the first corner.
    rows = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    expected = torch.tensor([[0, 3, 4], [3, 0, 5], [4, 5, 0]], dtype=torch.float64) / 4
    assert torch.allclose(distances(rows), expected)
    corners = angles(rows)
    assert corners[0, 1, 2].item() == pytest.approx(0.0)
    assert corners[1, 0, 2].item() == pytest.approx(3 / 5)
    assert corners[2, 0, 1].item() == pytest.approx(4 / 5)
    assert corners[1, 1, 2].item() == 0.0


def test_does_not_change_with_scale_shift_and_rotation() -> None:
    generator = torch.Generator().manual_seed(0)
    t = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    assert rkd_loss(5.0 * t @ rotation + 3.0, t).item() == pytest.approx(0.0, abs=1e-12)
    assert rkd_loss(torch.randn(6, 4, generator=generator), t.float()).item() > 0.01


def test_gradient_agrees_with_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    s = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    t = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: rkd_loss(x, t), (s,))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_batches_and_collapsed_students(n: int) -> None:
    """Equal rows have no direction; neither value nor gradient may blow up."""
    s = torch.ones(n, 4, requires_grad=True)
    t = torch.randn(n, 5)
    value = rkd_loss(s, t)
    value.backward()
    assert torch.isfinite(value)
    assert s.grad is not None and s.grad.abs().max() < 1e3


def test_two_samples_have_no_relation_that_scale_leaves() -> None:
    assert rkd_loss(torch.randn(2, 4), torch.randn(2, 5)).item() == pytest.approx(0.0, abs=1e-6)


def test_module_on_layers_under_autocast() -> None:
    s, t = torch.randn(5, 6, 2, 2, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    ours = Outputs(torch.randn(5, 2), {"a": s, "b": s.mean((2, 3))})
    theirs = Outputs(torch.randn(5, 2), {"x": t})
    loss = RKD(layers=[("a", "x"), ("b", "x")], distance=1.0, angle=1.0)
    assert loss.layers() == (("a", "b"), ("x", "x"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(ours, theirs, torch.zeros(5))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(
        reference(s.mean((2, 3)).detach().numpy(), t.detach().numpy(), 1.0, 1.0), rel=1e-4
    )
    value.backward()
    assert s.grad is not None and s.grad.abs().sum() > 0
    assert t.grad is None


def test_errors() -> None:
    with pytest.raises(EdgekdError, match="not both 0"):
        RKD(distance=0.0, angle=0.0)
    with pytest.raises(EdgekdError, match="at least 0"):
        RKD(distance=-1.0)
    with pytest.raises(EdgekdError, match="'rkd' needs a teacher"):
        RKD()(Outputs(torch.ones(2, 2)), None, torch.zeros(2))
