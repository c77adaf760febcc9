"""From values to ranges: against NumPy, onnxruntime's percentile, and a search by force."""

from __future__ import annotations

import numpy as np
import pytest
from onnxruntime.quantization.calibrate import HistogramCollector

from edgekd.errors import ExportError
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.ranges import Extent, Histogram, chosen, least_squares, percentile


def counted(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in np.array_split(values.astype(np.float32), 7):
        histogram.add(part)
    return histogram


DISTRIBUTIONS = {
    "normal": lambda r: r.standard_normal(50_000),
    "relu": lambda r: np.maximum(r.standard_normal(50_000), 0),
    "laplace": lambda r: r.laplace(size=50_000),
    "uniform": lambda r: r.uniform(-1, 3, 50_000),
    "student-t": lambda r: r.standard_t(2, 50_000),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("share", [99.0, 99.9])
def test_percentiles_are_numpy_s(name: str, share: float) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(0)).astype(np.float32)
    low, high = percentile(counted(values), share)
    cut = (100 - share) / 2
    expected = np.percentile(values, [cut, 100 - cut])
    assert np.allclose([low, high], expected, rtol=0.02, atol=1e-6)


def test_percentiles_are_those_of_onnxruntime() -> None:
    values = np.random.default_rng(1).laplace(size=40_000).astype(np.float32)
    collector = HistogramCollector("percentile", False, 4096, 128, 99.9, "same")
    collector.collect({"x": values})
    theirs = collector.compute_percentile()["x"][:2]
    ours = percentile(counted(values), 99.9)
    assert np.allclose(ours, [float(side) for side in theirs], rtol=0.02)


def test_one_value_far_away_costs_no_resolution() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 100_000)
    values[0] = 1e6
    histogram = counted(values)
    assert histogram.high == 1e6
    assert percentile(histogram, 99.9)[1] == pytest.approx(0.9995, rel=0.01)


def error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    levels = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step))
    return float(((levels * step - values) ** 2).mean())


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_least_squares_is_about_as_good_as_a_search_through_all_values(name: str) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(0)).astype(np.float32)
    low, high = min(0.0, float(values.min())), float(values.max())
    shares = np.linspace(0.02, 1, 50)
    best = min(error(values, low * share, high * share) for share in shares)
    found = error(values, *least_squares(counted(values)))
    assert found <= 1.03 * best
    if name == "student-t":
        assert found < 0.9 * error(values, low, high)


def test_zero_lies_in_every_range() -> None:
    values = np.random.default_rng(0).uniform(5, 6, 1000)
    for method in ("min-max", "percentile", "mse"):
        low, high = chosen(counted(values), CalibrationPlan(method))
        assert low == 0.0
        assert high == pytest.approx(6, rel=0.05)
    assert chosen(Extent(), CalibrationPlan()) == (0.0, 0.0)


def test_infinity_is_padding_and_nan_a_fault() -> None:
    extent = Extent()
    extent.add(np.array([-np.inf, -2.0, 3.0, np.inf], np.float32))
    assert (extent.low, extent.high) == (-2.0, 3.0)
    with pytest.raises(FloatingPointError, match="NaN"):
        extent.add(np.array([1.0, np.nan], np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "entropy"}, "no calibration method 'entropy'"),
        ({"percentile": 40.0}, "above 50"),
        ({"samples": 0}, "1 sample or more"),
    ],
)
def test_plans_that_set_no_range(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        CalibrationPlan(**arguments)  # type: ignore[arg-type]
