"""CRD against NumPy in float64; its memories, its constants, its negatives, a real training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.errors import EdgekdError, RecipeError
from edgekd.losses.base import Facts, Outputs
from edgekd.losses.crd import CRD, Contrast, draw_negatives, nce_loss
from tests.losses.fitting import differing, interrupted_and_resumed, make_job, trained

Array = np.ndarray
SAMPLES, K, T = 20, 6, 0.2


def facts(samples: int = SAMPLES) -> Facts:
    return Facts({"a": (4,)}, {"b": (3, 2, 2)}, (5,), (7,), samples)


def built(seed: int = 0, **options: object) -> CRD:
    torch.manual_seed(seed)
    loss = CRD(layers=[("a", "b")], dim=8, negatives=K, temperature=T, **options)  # type: ignore[arg-type]
    loss.build(facts())
    return loss


def contrast_of(loss: CRD) -> Contrast:
    (contrast,) = loss.contrasts
    assert isinstance(contrast, Contrast)
    return contrast


def outputs(indices: list[int]) -> tuple[Outputs, Outputs, Array, Array]:
    rng = np.random.default_rng(sum(indices))
    s, t = rng.normal(size=(len(indices), 4)), rng.normal(size=(len(indices), 3, 2, 2))
    logits = torch.zeros(len(indices), 5)
    ours = Outputs(logits, {"a": torch.tensor(s, dtype=torch.float32)}, None, torch.tensor(indices))
    theirs = Outputs(logits, {"b": torch.tensor(t, dtype=torch.float32)})
    return ours, theirs, s, t.mean((2, 3))


def embed(loss: CRD, rows: Array, which: str) -> Array:
    layer = getattr(contrast_of(loss), which)
    found = rows @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def nce(rows: Array, memory: Array, chosen: Array, z: float | None) -> tuple[float, float]:
    """Equations 9 to 11 of the paper, sample by sample, as the authors' code does it."""
    scores = np.exp(np.einsum("nd,nkd->nk", rows, memory[chosen]) / T)
    z = scores.mean() * SAMPLES if z is None else z
    noise = K / SAMPLES
    total = 0.0
    for p in scores / z:
        total += math.log(p[0] / (p[0] + noise)) + sum(math.log(noise / (q + noise)) for q in p[1:])
    return -total / len(rows), z


def test_two_steps_equal_numpy() -> None:
    """The second step uses the constants of the first, and what the memories hold since."""
    loss = built()
    contrast = contrast_of(loss)
    memories = [contrast.ours.double().numpy().copy(), contrast.theirs.double().numpy().copy()]
    z: list[float | None] = [None, None]
    for indices in ([3, 0, 7], [7, 1]):
        ours, theirs, s, t = outputs(indices)
        torch.manual_seed(5)
        chosen = draw_negatives(torch.tensor(indices), K, SAMPLES).numpy()
        torch.manual_seed(5)
        value = loss(ours, theirs, torch.zeros(len(indices)))
        u, v = embed(loss, s, "embed_ours"), embed(loss, t, "embed_theirs")
        student, z[0] = nce(u, memories[1], chosen, z[0])
        teacher, z[1] = nce(v, memories[0], chosen, z[1])
        assert value.item() == pytest.approx(student + teacher, rel=1e-5)
        for memory, rows in zip(memories, (u, v), strict=True):
            mixed = 0.5 * memory[indices] + 0.5 * rows
            memory[indices] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        np.testing.assert_allclose(contrast.ours.numpy(), memories[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(contrast.theirs.numpy(), memories[1], rtol=1e-4, atol=1e-6)
    logs = [math.log(value or 0.0) for value in z]
    np.testing.assert_allclose(contrast.log_normaliser.numpy(), logs, rtol=1e-5)


def test_golden_number() -> None:
    # p = 3/4 and 1/4 against K / M = 1/4: h = 3/4 and 1/2
    value = nce_loss(torch.tensor([[0.75, 0.25]]).log(), samples=4).item()
    assert value == pytest.approx(-math.log(3 / 4) - math.log(1 / 2), rel=1e-6)


def test_negatives_are_drawn_evenly_from_all_others_and_repeat_with_the_seed() -> None:
    indices = torch.tensor([0, 4, 9])
    torch.manual_seed(1)
    chosen = draw_negatives(indices, 90_000, 10)
    assert torch.equal(chosen[:, 0], indices)
    for row, own in zip(chosen, indices.tolist(), strict=True):
        counts = np.bincount(row[1:].numpy(), minlength=10)
        assert counts[own] == 0
        assert (np.abs(np.delete(counts, own) - 10_000) < 500).all()  # five deviations
    torch.manual_seed(1)
    assert torch.equal(draw_negatives(indices, 90_000, 10), chosen)


def test_gradient_reaches_student_and_embeddings_alone() -> None:
    loss = built()
    ours, theirs, _, _ = outputs([0, 1, 2])
    ours.features["a"].requires_grad_()
    theirs.features["b"].requires_grad_()
    loss(ours, theirs, torch.zeros(3)).backward()
    assert ours.features["a"].grad is not None and ours.features["a"].grad.abs().sum() > 0
    assert theirs.features["b"].grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.parameters())
    assert len(list(loss.parameters())) == 4


def test_memories_move_in_training_only_and_only_where_seen() -> None:
    loss = built()
    contrast = contrast_of(loss)
    before = contrast.ours.clone()
    ours, theirs, _, _ = outputs([2, 5])
    loss.eval()
    loss(ours, theirs, torch.zeros(2))
    assert torch.equal(contrast.ours, before) and not contrast.begun
    loss.train()
    loss(ours, theirs, torch.zeros(2))
    moved = (contrast.ours != before).any(1).nonzero().flatten().tolist()
    assert moved == [2, 5] and contrast.begun
    assert torch.allclose(contrast.ours[[2, 5]].norm(dim=1), torch.ones(2))


def test_low_temperatures_do_not_overflow() -> None:
    torch.manual_seed(0)
    loss = CRD(layers=[("a", "b")], dim=8, negatives=K, temperature=0.002)
    loss.build(facts())
    ours, theirs, _, _ = outputs([0, 1])
    ours.features["a"].mul_(1e4)
    value = loss(ours, theirs, torch.zeros(2))  # exp(1 / T) is beyond float32
    assert torch.isfinite(value)


def test_half_precision_and_default_logits() -> None:
    torch.manual_seed(0)
    loss = CRD(dim=4, negatives=K)
    loss.build(facts())
    ours = Outputs(torch.randn(3, 5), indices=torch.tensor([0, 1, 2]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(ours, Outputs(torch.randn(3, 7)), torch.zeros(3))
    assert value.dtype == torch.float32
    assert contrast_of(loss).ours.dtype == torch.float32


def test_errors() -> None:
    ours, theirs, _, _ = outputs([0, 1])
    with pytest.raises(EdgekdError, match="needs a teacher"):
        built()(ours, None, torch.zeros(2))
    with pytest.raises(EdgekdError, match="does not say which ones"):
        built()(Outputs(ours.logits, ours.features), theirs, torch.zeros(2))
    with pytest.raises(RecipeError, match="there is 1 to train with"):
        CRD().build(facts(samples=1))
    for wrong in ({"dim": 0}, {"negatives": 0}, {"momentum": 1.0}, {"temperature": 0.0}):
        with pytest.raises(EdgekdError, match="must be"):
            CRD(**wrong)


def make() -> CRD:
    return CRD(layers=[("1", "1")], dim=8, negatives=16)


def test_resumed_is_bit_for_bit_the_uninterrupted(tmp_path: Path) -> None:
    whole = trained(make_job(tmp_path / "whole.pt", make()))
    for after in (1, 2):
        resumed = interrupted_and_resumed(tmp_path / f"{after}.pt", make, after=after)
        assert differing(resumed.trainable, whole.trainable) == []
        assert differing(resumed.best, whole.best) == []
    names = {name.split(".")[-1] for name in whole.trainable}
    assert {"ours", "theirs", "log_normaliser", "begun"} <= names


def test_every_sample_is_remembered_after_an_epoch(tmp_path: Path) -> None:
    """330 samples in batches of 100: the short last batch counts like the others."""
    loss = make()
    state = trained(make_job(tmp_path / "one.pt", loss, epochs=1))
    memory = state.trainable["losses.1.contrasts.0.ours"]
    assert memory.shape == (330, 8)
    assert torch.allclose(memory.norm(dim=1), torch.ones(330), atol=1e-5)
    assert not any("contrasts" in name for name in state.best)
