"""Hints and their adapters against NumPy in float64, by kind of layer, with masks and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.adapters import make_adapter, token_grid
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.hint import Hint, hint_loss
from edgekd.losses.paired import PairedLoss

FEATURES = arrays(np.float32, (3, 4, 2), elements=st.floats(-50, 50, width=32))


def facts(student: dict[str, Any], teacher: dict[str, Any]) -> Facts:
    return Facts(student, teacher, (5,), (5,), 100)


def outputs(features: dict[str, torch.Tensor], mask: torch.Tensor | None = None) -> Outputs:
    count = len(next(iter(features.values())))
    return Outputs(torch.zeros(count, 5), features, mask)


def reference(student: np.ndarray, teacher: np.ndarray, mask: np.ndarray | None) -> float:
    """Mean over tokens that count of the mean squared difference of their features."""
    found = []
    for n in range(len(student)):
        for position in range(student.shape[1]):
            if mask is None or mask[n, position]:
                a, b = student[n, position].astype(float), teacher[n, position].astype(float)
                found.append(((a - b) ** 2).mean())
    return float(np.mean(found)) if found else 0.0


@given(FEATURES, FEATURES, arrays(np.bool_, (3, 4)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_equals_numpy_with_and_without_a_mask(
    student: np.ndarray, teacher: np.ndarray, mask: np.ndarray, masked: bool
) -> None:
    found = hint_loss(
        torch.tensor(student), torch.tensor(teacher), mask=torch.tensor(mask) if masked else None
    )
    expected = reference(student, teacher, mask if masked else None)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_what_stands_at_padding_does_not_matter_not_even_nan() -> None:
    student = torch.randn(2, 3, 4)
    student[0, 2] = float("nan")
    student.requires_grad_(True)
    teacher = torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    value = hint_loss(student, teacher, mask=mask)
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert not student.grad[0, 2].any()


def test_a_short_batch_is_the_mean_of_its_own_samples() -> None:
    student, teacher = torch.randn(5, 4, 2, 2), torch.randn(5, 4, 2, 2)
    alone = [hint_loss(student[n : n + 1], teacher[n : n + 1]) for n in range(5)]
    assert torch.allclose(hint_loss(student, teacher), torch.stack(alone).mean())


#: student, teacher, parameters: a 1x1 convolution or linear layer is (inputs + 1) * outputs.
FITTING = [
    ((6, 8, 8), (6, 8, 8), 0),
    ((6, 8, 8), (16, 8, 8), 7 * 16),
    ((6, 8, 8), (16, 4, 4), 7 * 16),
    ((6, 4, 4), (16, 8, 8), 7 * 16),
    ((6, 8, 4), (16, 4, 8), 7 * 16),
    ((6, 4, 4), (6, 8, 8), 0),
    ((12, 8), (12, 20), 9 * 20),
    ((12, 8), (5, 20), 9 * 20),
    ((5, 8), (12, 8), 0),
    ((8,), (20,), 9 * 20),
    ((8,), (8,), 0),
    ((6, 8, 8), (20,), 7 * 20),
    ((12, 8), (20,), 9 * 20),
    ((6, 8, 8), (16, 20), 7 * 20),
    ((6, 4, 4), (64, 20), 7 * 20),
    ((16, 8), (20, 8, 8), 9 * 20),
    ((8, 8), (20, 4, 8), 9 * 20),
    ((2, 3, 4, 4), (2, 3, 4, 4), 0),
]


@pytest.mark.parametrize(("student", "teacher", "parameters"), FITTING)
def test_adapters_reach_the_teachers_shape(
    student: tuple[int, ...], teacher: tuple[int, ...], parameters: int
) -> None:
    adapter = make_adapter(student, teacher, where="x")
    assert sum(p.numel() for p in adapter.parameters()) == parameters
    for count in (1, 3):
        assert adapter(torch.randn(count, *student)).shape == (count, *teacher)
    # Samples stay apart.
    x = torch.randn(3, *student)
    torch.testing.assert_close(adapter(x)[1:2], adapter(x[1:2]), rtol=1e-5, atol=1e-5)


def test_adapters_compute_what_they_say() -> None:
    conv = make_adapter((2, 4, 4), (3, 2, 2), where="x")
    x = torch.randn(2, 2, 4, 4)
    weight, bias = (p.detach().numpy().astype(float) for p in conv.parameters())
    pooled = x.numpy().astype(float).reshape(2, 2, 2, 2, 2, 2).mean((3, 5))
    expected = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], pooled) + bias[:, None, None]
    np.testing.assert_allclose(conv(x).detach().numpy(), expected, atol=1e-5)
    tokens = make_adapter((2, 4, 4), (16, 2), where="x")  # row by row, as transformers read
    np.testing.assert_array_equal(tokens(x).numpy(), x.numpy().reshape(2, 2, 16).swapaxes(1, 2))
    back = make_adapter((16, 2), (2, 4, 4), where="x")
    np.testing.assert_array_equal(back(tokens(x)).numpy(), x.numpy())


def test_a_mean_over_tokens_leaves_padding_out() -> None:
    adapter = make_adapter((3, 2), (2,), where="x")
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    assert adapter(x, mask).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize(
    ("student", "teacher", "why"),
    [
        ((8,), (6, 8, 8), "no positions left"),
        ((8,), (12, 8), "no positions left"),
        ((6, 8, 8), (17, 20), "17 tokens are no grid.*class token"),
        ((8, 8), (20, 4, 4), "8 tokens are no grid"),
        ((2, 3, 4, 4), (2, 3, 4, 5), "over 3 axes"),
        ((), (8,), "single number"),
    ],
)
def test_what_cannot_be_adapted_is_explained(
    student: tuple[int, ...], teacher: tuple[int, ...], why: str
) -> None:
    loss = Hint(layers=[("ours", "theirs")])
    with pytest.raises(RecipeError, match=why) as caught:
        loss.build(facts({"ours": student}, {"theirs": teacher}))
    for part in ("'ours'", "'theirs'", str(student), str(teacher)):
        assert part in caught.value.message
    assert "edgekd layers" in (caught.value.hint or "")


def test_grids_have_the_ratio_of_the_image() -> None:
    assert token_grid(49, (14, 14)) == (7, 7)
    assert token_grid(32, (8, 16)) == (4, 8)
    assert token_grid(4, (4, 1)) == (4, 1)
    assert token_grid(3, (1, 300)) is None
    assert token_grid(50, (14, 14)) is None


def built(**options: Any) -> Hint:
    torch.manual_seed(0)
    loss = Hint(layers=[("a", "x"), ("b", "y")], **options)
    loss.build(facts({"a": (3, 4, 4), "b": (6,)}, {"x": (5, 2, 2), "y": (6,)}))
    return loss


def test_pairs_are_summed_and_only_the_student_and_the_adapters_learn() -> None:
    loss = built()
    a, b = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 6, requires_grad=True)
    x, y = torch.randn(2, 5, 2, 2, requires_grad=True), torch.randn(2, 6, requires_grad=True)
    value = loss(outputs({"a": a, "b": b}), outputs({"x": x, "y": y}), torch.zeros(2))
    expected = hint_loss(loss.adapters[0](a), x) + hint_loss(b, y)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert a.grad is not None and b.grad is not None and x.grad is None and y.grad is None
    assert all(p.grad is not None and p.grad.any() for p in loss.adapters.parameters())


def test_always_learns_a_mapping_of_equal_widths_too() -> None:
    assert len(list(built().parameters())) == 2
    assert [tuple(p.shape) for p in built(adapter="always").parameters()][2:] == [(6, 6), (6,)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_are_compared_in_float32(dtype: torch.dtype) -> None:
    # 300^2 = 90,000 is more than float16 holds.
    student, teacher = torch.full((1, 2), 300.0, dtype=dtype), torch.zeros(1, 2, dtype=dtype)
    value = hint_loss(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(90_000.0, rel=1e-2)
    loss = built()
    features = {"a": torch.randn(2, 3, 4, 4, dtype=dtype), "b": torch.randn(2, 6, dtype=dtype)}
    aims = {"x": torch.randn(2, 5, 2, 2, dtype=dtype), "y": torch.randn(2, 6, dtype=dtype)}
    assert loss(outputs(features), outputs(aims), torch.zeros(2)).dtype == torch.float32


def test_errors() -> None:
    with pytest.raises(RecipeError, match="there is no pair"):
        Hint(layers=[])
    for wrong in ("layer1", ("layer1",), ("a", "b", "c"), ("a", 1)):
        with pytest.raises(RecipeError, match="is no pair"):
            Hint(layers=[wrong])  # type: ignore[list-item]
    with pytest.raises(EdgekdError, match="'hint' needs a teacher"):
        loss = Hint(layers=[("a", "x")])
        loss.build(facts({"a": (6,)}, {"x": (6,)}))
        loss(outputs({"a": torch.zeros(2, 6)}), None, torch.zeros(2))
    masked = Hint(layers=[("a", "x")])
    masked.build(facts({"a": (4, 6)}, {"x": (4, 6)}))
    features = torch.zeros(2, 4, 6)
    with pytest.raises(RecipeError, match="features of 4 tokens, but a mask of 7"):
        masked(
            outputs({"a": features}, torch.ones(2, 7, dtype=torch.bool)),
            outputs({"x": features}),
            torch.zeros(2),
        )


def test_a_layer_in_several_pairs_is_captured_once() -> None:
    loss: PairedLoss = Hint(layers=[("a", "x"), ("a", "y")])
    assert loss.layers() == (("a",), ("x", "y"))
