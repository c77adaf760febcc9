"""What recorded output of benchmark programs is read as.

The expected figures were copied by hand from the recordings, whose headers cite their source.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.bench.native import benchmark_model, perf_test
from edgekd.bench.native.figures import Figures
from edgekd.bench.settings import Settings
from edgekd.errors import MeasurementError

OUTPUTS = Path(__file__).parent / "outputs"
TFLITE = sorted(path.stem for path in OUTPUTS.glob("*.txt") if path.stem.startswith(("tf", "lite")))
ONNX = sorted(path.stem for path in OUTPUTS.glob("ort-*.txt"))


def output(name: str) -> str:
    return (OUTPUTS / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tflite-2019",
            {"n": 15, "mean_ms": 66.7676, "min_ms": 66.699, "load_ms": 9.933, "p50_ms": None},
        ),
        (
            "tflite-2024",
            {"n": 74, "mean_ms": 13.5202, "max_ms": 15.765, "first_ms": 14.744, "warmup_runs": 37},
        ),
        ("tflite-memory", {"n": 50, "memory_mb": (("init", 3.75), ("overall", 12.1914))}),
        ("tflite-logcat", {"n": 75, "mean_ms": 12.1676, "load_ms": 126.059, "warmup_runs": 40}),
        (
            "tflite-median",
            {"n": 25, "p5_ms": 140.545, "p50_ms": 141.253, "p95_ms": 187.533, "p90_ms": None},
        ),
        (
            "litert-2026",
            {"n": 10, "mean_ms": 7430.20, "min_ms": 7416.40, "p50_ms": None, "load_ms": 23744.73},
        ),
    ],
)
def test_benchmark_model(name: str, expected: dict[str, object]) -> None:
    found = benchmark_model.parse(output(name))
    for key, value in expected.items():
        told = getattr(found, key)
        assert told == (pytest.approx(value) if isinstance(value, float) else value), key


def test_litert_python() -> None:
    text = output("litert-python")
    found = benchmark_model.parse(text)
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line and "#" not in line)
    number = {name: float(value.split()[0]) for name, value in rows.items() if "ms" in value}
    assert found.p50_ms == pytest.approx(number["Inference (median)"])
    assert found.p95_ms == pytest.approx(number["Inference (p95)"])
    assert found.mean_ms == pytest.approx(number["Inference (avg)"])
    assert (found.n, found.warmup_runs) == (200, 20)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ort-2019", {"n": 1000, "mean_ms": 58.8053, "p50_ms": 58.7108, "p99_ms": 61.9517}),
        ("ort-2020", {"n": 10, "mean_ms": 144.871, "load_ms": 127.918, "p50_ms": None}),
        ("ort-2025", {"n": 5, "mean_ms": 98.961997, "p50_ms": 99.5086, "first_ms": 196.0}),
    ],
)
def test_perf_test(name: str, expected: dict[str, object]) -> None:
    found = perf_test.parse(output(name))
    for key, value in expected.items():
        told = getattr(found, key)
        assert told == (pytest.approx(value) if isinstance(value, float) else value), key


def test_the_measurement_counts_and_not_the_warm_up() -> None:
    lines = ["count=9 first=8 curr=8 min=8 max=9 avg=8.5 std=1", "count=40 curr=5(all same)"]
    summary = "Inference timings in us: Init: 1, First inference: 8, Inference (avg): 5"
    found = benchmark_model.parse("\n".join([*lines, summary]))
    assert (found.n, found.min_ms, found.p50_ms, found.warmup_runs) == (40, 0.005, 0.005, 9)


def test_lines_of_an_operators_table_are_no_measurement() -> None:
    text = output("tflite-2024") + "Timings (microseconds): count=74 first=1 curr=1 min=1 max=1\n"
    assert benchmark_model.parse(text).n == 74


@pytest.mark.parametrize("name", [*TFLITE, *ONNX])
@given(before=st.text(max_size=200), after=st.text(max_size=200))
@settings(max_examples=15, deadline=None)
def test_noise_around_changes_nothing(name: str, before: str, after: str) -> None:
    parse = perf_test.parse if name in ONNX else benchmark_model.parse
    clean = parse(output(name))
    assert parse(f"{before}\n{output(name)}\n{after}") == clean


@pytest.mark.parametrize("name", [*TFLITE, *ONNX])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_cut_output_is_an_error_or_says_less(name: str, data: st.DataObject) -> None:
    text = output(name)
    cut = text[: data.draw(st.integers(0, len(text)))]
    parse = perf_test.parse if name in ONNX else benchmark_model.parse
    try:
        found = parse(cut)
    except MeasurementError as error:
        assert "known" in error.message or "contradict" in error.message
    else:
        assert isinstance(found, Figures)
        assert found.n > 0
        assert found.mean_ms == pytest.approx(parse(text).mean_ms, rel=0.01)


@given(st.text(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_text_is_an_error_and_no_traceback(text: str) -> None:
    for parse in (perf_test.parse, benchmark_model.parse):
        for start in ("", "Inference timings in us: ", "BENCHMARK RESULTS ", "Average time cost:"):
            with pytest.raises(MeasurementError):
                parse(start + text)


@pytest.mark.parametrize(
    "wrong", ["avg=-1 Inference (avg): -1", "Inference (avg): nan", "Inference (avg): 1e999"]
)
def test_figures_that_cannot_be_true(wrong: str) -> None:
    text = f"count=5 first=1 curr=1 min=1 max=2 avg=1\nInference timings in us: Init: 1, {wrong}"
    with pytest.raises(MeasurementError):
        benchmark_model.parse(text)


def test_percentiles_out_of_order() -> None:
    text = output("ort-2025").replace("P50 Latency: 0.0995086", "P50 Latency: 0.2")
    with pytest.raises(MeasurementError, match="contradict"):
        perf_test.parse(text)


@pytest.mark.parametrize(
    "lines",
    [
        ["m,0.010,1000,50,0", "m,0.030,1000,50,1"],  # until 1.23
        ["m,0.001,0.010,1000,50,0", "m,0.001,0.030,1000,50,1"],  # submission and total
        ["a,b,0.010,1000,50,0", "a,b,0.030,1000,50,1"],  # a comma in the model's folder
    ],
)
def test_samples_of_perf_test(lines: list[str]) -> None:
    figures = Figures(n=2, mean_ms=20.0)
    text = "\n".join([*lines, "", "Min Latency: 0.01 s", "P50 Latency: 0.03 s"])
    assert perf_test.parse_samples(text, figures) == pytest.approx((10.0, 30.0))


@pytest.mark.parametrize(
    "text",
    [
        "m,0.010,1000,50,0",  # one of two
        "m,10000000,1000,50,0\nm,30000000,1000,50,1",  # nanoseconds
        "m,fast,1000,50,0\nm,slow,1000,50,1",
        "",
    ],
)
def test_samples_that_do_not_fit_are_not_used(text: str) -> None:
    assert perf_test.parse_samples(text, Figures(n=2, mean_ms=20.0)) == ()


def test_the_first_samples_are_the_warm_up() -> None:
    figures = Figures(n=4, mean_ms=4.0, p50_ms=2.0)
    found = perf_test.with_samples(figures, (9.0, 3.0, 1.0, 3.0), 2)
    assert (found.n, found.mean_ms, found.warmup_runs, found.raw_ms) == (2, 2.0, 2, (1.0, 3.0))


@pytest.mark.parametrize(
    ("mean_ms", "expected"),
    [
        (1.0, (300, 1000)),  # 0.3 s and 1 s
        (100.0, (10, 100)),  # at least 10 and 100
        (10_000.0, (1, 3)),  # no longer than 30 s, the warm-up a third of it
        (0.001, (10_000, 10_000)),
    ],
)
def test_how_many_inferences(mean_ms: float, expected: tuple[int, int]) -> None:
    assert perf_test.runs_wanted(Figures(n=10, mean_ms=mean_ms), Settings()) == expected
