"""The verdict itself, on outputs made up here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekd.errors import ModelFileError
from edgekd.export.parity import PROBED, Comparison, HeldOut, Limits
from edgekd.export.parity import judge as judge_all
from edgekd.quantize.schemes import INT8, NONE, Scheme
from edgekd.records import Parity

Array = np.ndarray
N, C = 200, 5


@pytest.fixture
def held_out() -> HeldOut:
    inputs = np.random.default_rng(0).standard_normal((N, 3)).astype(np.float32)
    targets = np.arange(N, dtype=np.int64) % C
    return HeldOut({"input": inputs}, tuple(f"s{i}" for i in range(N)), targets, "validation")


@pytest.fixture
def logits(held_out: HeldOut) -> Array:
    """Scores that are right on every sample."""
    noise = np.random.default_rng(1).standard_normal((N, C)) * 0.1
    assert held_out.targets is not None
    return (np.eye(C)[held_out.targets] * 4 + noise).astype(np.float32)


def judge(
    held_out: HeldOut,
    model: Array,
    file: Array,
    scheme: Scheme = NONE,
    limits: Limits | None = None,
    sizes: tuple[int, ...] = PROBED,
) -> Parity:
    """Let a file that gives ``file`` be compared, on the first samples in other batch sizes."""
    whole = Comparison([model], [file], min(32, len(model)))
    few = [Comparison([model[: 3 * n]], [file[: 3 * n]], n) for n in sizes]
    return judge_all(
        [whole, *few],
        held_out,
        names=["logits"],
        scheme=scheme,
        limits=limits or Limits(),
        runtime="made up 1.0",
    )


def test_equal_outputs_pass(held_out: HeldOut, logits: Array) -> None:
    parity = judge(held_out, logits, logits.copy())
    assert parity.passed
    assert parity.max_abs_error == parity.max_rel_error == 0.0
    assert parity.snr_db is None
    assert (parity.agreement, parity.accuracy_model, parity.accuracy_file) == (1.0, 1.0, 1.0)
    assert parity.batch_sizes == (1, 7, 32)
    assert judge(held_out, logits, logits, sizes=()).batch_sizes == (32,)


def test_the_worst_sample_is_named(held_out: HeldOut, logits: Array) -> None:
    file = logits.copy()
    file[137, 2] += 0.01
    parity = judge(held_out, logits, file)
    assert not parity.passed
    assert parity.worst_sample == "s137"
    assert parity.worst_output == "logits"
    assert parity.max_abs_error == pytest.approx(0.01, rel=1e-3)
    for part in ("'logits'", "'s137'", "0.01", "0.0001"):
        assert part in parity.message


def test_the_tolerance_is_relative_above_one(held_out: HeldOut, logits: Array) -> None:
    model = np.full_like(logits, 1000.0)
    assert judge(held_out, model, model + np.float32(0.05)).passed
    assert not judge(held_out, model, model + np.float32(0.2)).passed
    small = np.full_like(logits, 0.001)
    assert judge(held_out, small, small + np.float32(5e-5)).passed
    assert not judge(held_out, small, small + np.float32(2e-4)).passed


@pytest.mark.parametrize("scheme", [NONE, INT8])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_never_pass(
    held_out: HeldOut, logits: Array, scheme: Scheme, bad: float
) -> None:
    file = logits.copy()
    file[3, 1] = bad
    parity = judge(held_out, logits, file, scheme)
    assert not parity.passed
    assert "NaN or infinite" in parity.message
    assert "'s3'" in parity.message
    Parity.model_validate_json(parity.to_json())


def test_signal_to_noise_ratio(held_out: HeldOut, logits: Array) -> None:
    # Noise of a tenth of the signal everywhere: 20 dB by definition.
    parity = judge(held_out, logits, logits * np.float32(1.1), INT8)
    assert parity.snr_db == pytest.approx(20.0, abs=1e-3)
    assert parity.passed


@pytest.mark.parametrize(("flipped", "passes"), [(0, True), (2, True), (3, False), (50, False)])
def test_a_drop_of_accuracy(held_out: HeldOut, logits: Array, flipped: int, passes: bool) -> None:
    file = logits.copy()
    file[:flipped] = np.roll(file[:flipped], 1, axis=1)
    parity = judge(held_out, logits, file, INT8, Limits(max_drop=1.0))
    assert parity.accuracy_file == pytest.approx(1 - flipped / N)
    assert parity.passed is passes
    if not passes:
        assert "accuracy falls from 100.00%" in parity.message


def test_one_sample_may_always_differ() -> None:
    # Of 20 samples one is 5 points: a limit of 1 point would forbid any difference.
    inputs = np.arange(20, dtype=np.float32)[:, None]
    held_out = HeldOut(
        {"input": inputs}, tuple(map(str, range(20))), np.zeros(20, np.int64), "validation"
    )
    model = np.tile(np.array([[4, 0, 0]], np.float32), (20, 1))
    file = model.copy()
    file[0] = [3.9, 4.0, 0]
    assert judge(held_out, model, file, INT8).passed
    file[1] = [3.9, 4.0, 0]
    assert not judge(held_out, model, file, INT8).passed


def test_a_gain_of_accuracy_is_fine(held_out: HeldOut, logits: Array) -> None:
    worse = logits.copy()
    worse[:20] = np.roll(worse[:20], 1, axis=1)
    parity = judge(held_out, worse, logits, INT8)
    assert parity.passed
    assert parity.agreement == pytest.approx(0.9)


def test_garbage_fails_even_where_accuracy_cannot_fall(held_out: HeldOut, logits: Array) -> None:
    model = np.random.default_rng(2).standard_normal((N, C)).astype(np.float32)
    assert held_out.targets is not None
    wrong = np.eye(C, dtype=np.float32)[held_out.targets]
    model[wrong == 1] -= 10  # a network that is never right
    garbage = np.random.default_rng(3).standard_normal((N, C)).astype(np.float32) * 5
    parity = judge(held_out, model, garbage, INT8, Limits(max_drop=100.0))
    assert not parity.passed
    assert "signal-to-noise" in parity.message


def test_without_labels_the_floor_is_higher(held_out: HeldOut, logits: Array) -> None:
    blind = HeldOut(held_out.inputs, held_out.ids, None, "random")
    file = logits * np.float32(1 + 10 ** (-12 / 20))  # 12 dB
    assert judge(held_out, logits, file, INT8).passed
    parity = judge(blind, logits, file, INT8)
    assert not parity.passed
    assert parity.accuracy_model is None
    assert parity.agreement == 1.0


def test_silence_with_noise_on_it_fails(held_out: HeldOut, logits: Array) -> None:
    parity = judge(held_out, np.zeros_like(logits), logits, INT8)
    assert not parity.passed
    assert parity.snr_db is not None and math.isfinite(parity.snr_db)


def test_a_batch_size_or_length_that_computes_something_else_fails(
    held_out: HeldOut, logits: Array
) -> None:
    whole, few = Comparison([logits], [logits], 32), logits[:21]
    odd = Comparison([few], [few + np.float32(0.5)], 7, length=5)
    parity = judge_all(
        [whole, odd],
        held_out,
        names=["logits"],
        scheme=NONE,
        limits=Limits(),
        runtime="made up 1.0",
    )
    assert (parity.batch_sizes, parity.lengths) == ((7, 32), (5,))
    assert not parity.passed
    assert parity.max_abs_error == pytest.approx(0.5)


def test_outputs_of_another_shape_are_refused(held_out: HeldOut, logits: Array) -> None:
    with pytest.raises(ModelFileError, match="has shape"):
        judge(held_out, logits, logits[:, :3])
