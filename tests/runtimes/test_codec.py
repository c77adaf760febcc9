"""Coding for a file's tensors, against NumPy formulas written out here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekd.errors import DataError
from edgekd.records import TensorSpec
from edgekd.runtimes.codec import decode, encode

_DTYPES = st.sampled_from(["int8", "uint8", "int16"])
_SCALES = st.floats(1e-4, 10.0)
_VALUES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-1e3, 1e3, width=32),
)


def _spec(dtype: str, scale: float, zero_point: int) -> TensorSpec:
    return TensorSpec(name="x", shape=(None,), dtype=dtype, scale=scale, zero_point=zero_point)


@given(_VALUES, _DTYPES, _SCALES, st.integers(-100, 200))
def test_quantizing_rounds_shifts_and_clips(
    x: np.ndarray, dtype: str, scale: float, zero_point: int
) -> None:
    info = np.iinfo(dtype)
    stored = encode(x, _spec(dtype, scale, zero_point))
    assert stored.dtype == np.dtype(dtype)
    for value, got in zip(x.ravel().tolist(), stored.ravel().tolist(), strict=True):
        # Python's round is to even, as the codec's; the formula is written out in its integers.
        assert got == min(max(round(value / scale) + zero_point, info.min), info.max)


@given(_DTYPES, _SCALES, st.integers(0, 100), st.data())
def test_a_stored_value_survives_the_round_trip(
    dtype: str, scale: float, zero_point: int, data: st.DataObject
) -> None:
    info = np.iinfo(dtype)
    # float32 holds 24 bits: 16-bit steps and their scale fit without loss of a step.
    stored = data.draw(hnp.arrays(dtype, (2, 3), elements=st.integers(info.min, info.max)))
    spec = _spec(dtype, scale, zero_point)
    assert np.array_equal(encode(decode(stored, spec), spec), stored)


@given(_VALUES, _SCALES)
def test_decoding_is_within_half_a_step_inside_the_range(x: np.ndarray, scale: float) -> None:
    spec = _spec("int16", scale, 0)
    inside = np.abs(x) < 32000 * scale
    back = decode(encode(x, spec), spec)
    assert (np.abs(back - x)[inside] <= scale * 0.5 + 1e-3).all()


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=4, max_side=4)))
def test_layout_round_trip(x: np.ndarray) -> None:
    x = np.nan_to_num(x, nan=0.0, posinf=1.0, neginf=-1.0)
    spec = TensorSpec(name="x", shape=(None,), dtype="float32", layout="nhwc")
    stored = encode(x, spec)
    assert stored.shape == (x.shape[0], *x.shape[2:], x.shape[1])
    assert stored.flags.c_contiguous
    assert np.array_equal(decode(stored, spec), x)


def test_nhwc_puts_channels_last() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    spec = TensorSpec(name="x", shape=(1, 2, 2, 3), dtype="float32", layout="nhwc")
    assert encode(x, spec)[0, 0, 1].tolist() == [1.0, 5.0, 9.0]


def test_integers_pass_through_and_are_checked() -> None:
    spec = TensorSpec(name="tokens", shape=(None, 3), dtype="int32")
    assert encode(np.array([[1, 2, 3]]), spec).dtype == np.int32
    with pytest.raises(DataError, match="tokens"):
        encode(np.array([[0.5, 1.0, 2.0]], np.float32), spec)
    with pytest.raises(DataError, match="int32"):
        encode(np.array([[2**40, 1, 2]]), spec)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        encode(np.array([[1.0, bad]], np.float32), _spec("int8", 0.1, 0))
