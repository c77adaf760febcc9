"""Hidden states, attention scores and relations of transformers, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr, softmax

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.minilm import MiniLM, relation_loss
from edgekd.losses.projections import scaled_products
from edgekd.losses.transformer_attention import (
    TransformerAttention,
    transformer_attention_loss,
)
from edgekd.losses.transformer_hidden import TransformerHidden

NAMES = ("query", "key", "value")
ATTENTION = [("s", "t")]


def facts(student: dict[str, Any], teacher: dict[str, Any]) -> Facts:
    return Facts(student, teacher, (5,), (5,), 100)


def outputs(features: dict[str, torch.Tensor], mask: torch.Tensor | None = None) -> Outputs:
    return Outputs(torch.zeros(len(next(iter(features.values()))), 5), features, mask)


def projected(layer: str, count: int, length: int, width: int, grad: bool = False) -> Any:
    return {
        f"{layer}.{name}": torch.randn(count, length, width).requires_grad_(grad) for name in NAMES
    }


def shapes(layer: str, length: int, width: int) -> dict[str, Any]:
    return {f"{layer}.{name}": (length, width) for name in NAMES}


def heads_of(x: np.ndarray, heads: int) -> list[np.ndarray]:
    """Cut the features of one sample (L, D) into heads, side by side."""
    return np.split(x.astype(float), heads, axis=1)


# Hidden states


def hidden(**options: Any) -> TransformerHidden:
    torch.manual_seed(0)
    pairs = [("a0", "b0"), ("a1", "b1"), ("a2", "b2")]
    loss = TransformerHidden(layers=pairs, **options)
    ours = {"a0": (4, 6), "a1": (4, 6), "a2": (4, 8)}
    loss.build(facts(ours, {"b0": (4, 8), "b1": (4, 8), "b2": (4, 8)}))
    return loss


def test_pairs_of_one_width_share_a_projection_unless_told() -> None:
    assert [tuple(p.shape) for p in hidden().parameters()] == [(8, 6), (8,)]
    assert [tuple(p.shape) for p in hidden(shared=False).parameters()] == [(8, 6), (8,)] * 2


def test_hidden_states_equal_numpy_under_a_mask() -> None:
    loss = hidden()
    ours = {name: torch.randn(3, 4, 8 if name == "a2" else 6) for name in ("a0", "a1", "a2")}
    theirs = {name: torch.randn(3, 4, 8) for name in ("b0", "b1", "b2")}
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    weight, bias = (p.detach().numpy().astype(float) for p in loss.parameters())
    expected = 0.0
    for number in range(3):
        x, y = ours[f"a{number}"].numpy().astype(float), theirs[f"b{number}"].numpy().astype(float)
        x = x if number == 2 else x @ weight.T + bias
        expected += ((x - y)[mask.numpy()] ** 2).mean(-1).mean()
    found = loss(outputs(ours, mask), outputs(theirs), torch.zeros(3))
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 6), (5, 6)), ((6,), (4, 6)), ((6, 4, 4), (6, 4, 4))]
)
def test_hidden_states_need_the_same_tokens(student: Any, teacher: Any) -> None:
    with pytest.raises(RecipeError, match="same L; the loss 'hint'") as caught:
        TransformerHidden(layers=[("a", "b")]).build(facts({"a": student}, {"b": teacher}))
    assert str(student) in caught.value.message and str(teacher) in caught.value.message


# Attention scores


def test_scores_are_scaled_products_of_heads() -> None:
    q, k = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    found = scaled_products(q, k, 4)
    assert found.shape == (2, 4, 3, 3)
    for n in range(2):
        for h in range(4):
            a, b = (heads_of(x[n].numpy(), 4)[h] for x in (q, k))
            np.testing.assert_allclose(found[n, h].numpy(), a @ b.T / np.sqrt(2.0), atol=1e-5)
    whole = torch.nn.functional.scaled_dot_product_attention
    split = [torch.unflatten(x, -1, (4, 2)).transpose(1, 2) for x in (q, k)]
    torch.testing.assert_close(found.softmax(-1) @ split[0], whole(split[0], split[1], split[0]))


def scores_reference(student: np.ndarray, teacher: np.ndarray, mask: np.ndarray) -> float:
    """Each query's mean over keys that count; the mean over heads and queries that count."""
    found = []
    for a, b, counts in zip(student.astype(float), teacher.astype(float), mask, strict=True):
        for h in range(len(a)):
            square = (a[h] - b[h])[np.ix_(counts, counts)] ** 2
            found += list(square.mean(1)) if counts.any() else []
    return float(np.mean(found)) if found else 0.0


SCORES = arrays(np.float32, (2, 3, 4, 4), elements=st.floats(-50, 50, width=32))


@given(SCORES, SCORES, arrays(np.bool_, (2, 4)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_scores_equal_numpy(
    student: np.ndarray, teacher: np.ndarray, mask: np.ndarray, masked: bool
) -> None:
    found = transformer_attention_loss(
        torch.tensor(student), torch.tensor(teacher), mask=torch.tensor(mask) if masked else None
    )
    expected = scores_reference(student, teacher, mask if masked else np.ones_like(mask))
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_different_numbers_of_heads_are_averaged_first() -> None:
    student, teacher = torch.randn(2, 2, 3, 3), torch.randn(2, 4, 3, 3)
    expected = ((student.mean(1) - teacher.mean(1)) ** 2).mean()
    torch.testing.assert_close(transformer_attention_loss(student, teacher), expected)


@pytest.mark.parametrize("hidden_by", [float("-inf"), torch.finfo(torch.float32).min, -1e4])
def test_what_the_teacher_masks_itself_does_not_count(hidden_by: float) -> None:
    future = torch.ones(3, 3).triu(1).bool()
    student = torch.randn(2, 2, 3, 3).masked_fill(future, hidden_by).requires_grad_(True)
    teacher = torch.randn(2, 2, 3, 3).masked_fill(future, hidden_by)
    value = transformer_attention_loss(student, teacher)
    value.backward()
    difference = (student - teacher).detach().numpy()
    rows = [(difference[:, :, i, : i + 1] ** 2).mean(-1) for i in range(3)]
    assert value.item() == pytest.approx(np.mean(rows), rel=1e-5)
    assert student.grad is not None and torch.isfinite(student.grad).all()
    assert not student.grad[..., future].any()


def test_attention_from_projections_fused_ones_and_scores_is_the_same() -> None:
    ours, theirs = projected("s", 2, 3, 8), projected("t", 2, 3, 16)
    loss = TransformerAttention(layers=ATTENTION, heads=(2, 4))
    assert loss.layers() == (("s.query", "s.key"), ("t.query", "t.key"))
    loss.build(facts(shapes("s", 3, 8), shapes("t", 3, 16)))
    value = loss(outputs(ours), outputs(theirs), torch.zeros(2))

    fused = TransformerAttention(layers=ATTENTION, heads=(2, 4), teacher_projections=["qkv"])
    assert fused.layers() == (("s.query", "s.key"), ("t.qkv",))
    fused.build(facts(shapes("s", 3, 8), {"t.qkv": (3, 48)}))
    together = {"t.qkv": torch.cat([theirs[f"t.{name}"] for name in NAMES], -1)}
    torch.testing.assert_close(fused(outputs(ours), outputs(together), torch.zeros(2)), value)

    bare = TransformerAttention(layers=ATTENTION, projections=[])
    assert bare.layers() == (("s",), ("t",))
    bare.build(facts({"s": (2, 3, 3)}, {"t": (4, 3, 3)}))
    scores = [
        {name: scaled_products(x[f"{name}.query"], x[f"{name}.key"], heads)}
        for name, x, heads in (("s", ours, 2), ("t", theirs, 4))
    ]
    found = bare(outputs(scores[0]), outputs(scores[1]), torch.zeros(2))
    torch.testing.assert_close(found, value)


# Relations


def relation_reference(
    student: tuple[np.ndarray, np.ndarray],
    teacher: tuple[np.ndarray, np.ndarray],
    heads: int,
    mask: np.ndarray,
) -> float:
    """KL(teacher || student) of each token's relations; the mean over heads, then tokens."""
    found = []
    for n, counts in enumerate(mask):
        each = []
        for h in range(heads):
            rows = []
            for left, right in (student, teacher):
                a, b = heads_of(left[n], heads)[h], heads_of(right[n], heads)[h]
                products = (a @ b.T / np.sqrt(a.shape[1]))[np.ix_(counts, counts)]
                rows.append(softmax(products, axis=1) if counts.any() else products)
            each.append(rel_entr(rows[1], rows[0]).sum(1))
        found += list(np.mean(each, axis=0))
    return float(np.mean(found)) if found else 0.0


WIDE = arrays(np.float32, (2, 3, 4), elements=st.floats(-3, 3, width=32))
WIDER = arrays(np.float32, (2, 3, 6), elements=st.floats(-3, 3, width=32))


@given(WIDE, WIDE, WIDER, WIDER, arrays(np.bool_, (2, 3)), st.booleans(), st.sampled_from([1, 2]))
@settings(max_examples=40, deadline=None)
def test_relations_equal_scipy(
    a: np.ndarray,
    b: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    mask: np.ndarray,
    masked: bool,
    heads: int,
) -> None:
    found = relation_loss(
        (torch.tensor(a), torch.tensor(b)),
        (torch.tensor(x), torch.tensor(y)),
        heads=heads,
        mask=torch.tensor(mask) if masked else None,
    )
    counts = mask if masked else np.ones_like(mask)
    expected = relation_reference((a, b), (x, y), heads, counts)
    assert found.item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_relations_are_zero_between_equals_and_finite_at_extremes() -> None:
    x = torch.randn(2, 3, 8)
    assert relation_loss((x, x), (x, x), heads=4).item() == pytest.approx(0.0, abs=1e-6)
    student = (torch.randn(2, 3, 8) * 1e4).requires_grad_(True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    value = relation_loss((student, student), (x * -1e4, x), heads=2, mask=mask)
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None and torch.isfinite(student.grad).all()
    assert not student.grad[0, 2].any() and not student.grad[1].any()


def test_minilm_sums_its_relations_and_gives_the_student_alone_a_gradient() -> None:
    loss = MiniLM(layers=ATTENTION, heads=2, relations=["qk", "vv"])
    loss.build(facts(shapes("s", 3, 8), shapes("t", 3, 12)))
    ours, theirs = projected("s", 2, 3, 8, True), projected("t", 2, 3, 12, True)
    value = loss(outputs(ours), outputs(theirs), torch.zeros(2))
    expected = relation_loss(
        (ours["s.query"], ours["s.key"]), (theirs["t.query"], theirs["t.key"]), heads=2
    ) + relation_loss(
        (ours["s.value"], ours["s.value"]), (theirs["t.value"], theirs["t.value"]), heads=2
    )
    torch.testing.assert_close(value, expected)
    value.backward()
    assert all(x.grad is not None for x in ours.values())
    assert all(x.grad is None for x in theirs.values())
    assert not list(loss.parameters())


def test_products_stay_in_float32_under_autocast() -> None:
    x, y = torch.randn(2, 5, 64) * 3, torch.randn(2, 5, 64) * 3
    exact = relation_loss((x.double(), x.double()), (y.double(), y.double()), heads=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = relation_loss((x, x), (y, y), heads=1)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)


# Errors


@pytest.mark.parametrize(
    ("options", "student", "teacher", "why"),
    [
        ({"heads": 3}, (3, 8), (3, 12), "3 does not divide the widths 8 .*student.* and 12"),
        ({}, (3, 8), (4, 8), "the same tokens"),
        ({}, (8,), (4, 8), "projections of 's' have shapes"),
        ({"heads": 0}, (3, 8), (3, 8), "no number of heads"),
        ({"relations": ["qx"]}, (3, 8), (3, 8), "unknown relation 'qx'"),
        ({"relations": []}, (3, 8), (3, 8), "there is none"),
        ({"projections": ["query", "key"]}, (3, 8), (3, 8), "neither 3 names nor one"),
    ],
)
def test_minilm_explains_what_does_not_suit(
    options: dict[str, Any], student: Any, teacher: Any, why: str
) -> None:
    with pytest.raises(RecipeError, match=why) as caught:
        loss = MiniLM(layers=ATTENTION, **options)
        loss.build(facts({f"s.{n}": student for n in NAMES}, {f"t.{n}": teacher for n in NAMES}))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "student", "teacher", "why"),
    [
        ({}, (3, 8), (3, 8), "heads: None is no number"),
        ({"heads": (2, 2, 2)}, (3, 8), (3, 8), "is no number of heads"),
        ({"heads": (3, 2)}, (3, 8), (3, 8), "student 's': 3 heads do not divide 8"),
        ({"heads": 2}, (3, 8), (4, 8), "'s' has 3 tokens, 't' has 4"),
        ({"heads": 2}, (3, 8), (8,), "teacher 't': its projections"),
        ({"heads": 2, "projections": ["a", "b", "c"]}, (3, 8), (3, 8), "neither 2 names"),
    ],
)
def test_attention_explains_what_does_not_suit(
    options: dict[str, Any], student: Any, teacher: Any, why: str
) -> None:
    with pytest.raises(RecipeError, match=why) as caught:
        loss = TransformerAttention(layers=ATTENTION, **options)
        loss.build(facts({f"s.{n}": student for n in NAMES}, {f"t.{n}": teacher for n in NAMES}))
    assert caught.value.hint


def test_scores_that_are_none() -> None:
    loss = TransformerAttention(layers=ATTENTION, projections=[])
    with pytest.raises(RecipeError, match=r"\(3, 8\) are no scores") as caught:
        loss.build(facts({"s": (3, 8)}, {"t": (2, 3, 3)}))
    assert "teacher 't' (2, 3, 3)" in str(caught.value)  # both shapes are named


@pytest.mark.parametrize(
    "loss",
    [
        TransformerHidden(layers=ATTENTION),
        TransformerAttention(layers=ATTENTION, heads=2),
        MiniLM(layers=ATTENTION),
    ],
)
def test_all_need_a_teacher(loss: Any) -> None:
    with pytest.raises(EdgekdError, match="needs a teacher"):
        loss(outputs({"s": torch.zeros(2, 3, 4)}), None, torch.zeros(2))
