"""One table of several devices, and what is said below it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgekd.cli.render_measurements import measurement_table, remarks
from edgekd.records import Measurement
from edgekd.records_bench import Compared, InferenceEnergy, Instructions, Soak, Throughput
from tests.synthetic_runs import measurement

COUNTED = Instructions(
    per_inference=14_500_000, n=2, raw=(14_499_000, 14_501_000), cpu="cortex-a76", counter="x"
)
EMULATED = {
    "latency": None,
    "emulated": True,
    "unknown": {"latency": "emulated: milliseconds would say nothing about the device"},
}


def emulated(artifact: str, device: str, **changes: object) -> Measurement:
    given = {**EMULATED, "instructions": COUNTED, "samples": 200, "test_samples": 539, **changes}
    return measurement(artifact, device, 30_000, 1.0, 900_000, 0.97, 0.98, **given)


@pytest.fixture
def table() -> list[Measurement]:
    same = Compared(
        device="cpu",
        samples=200,
        identical=200,
        same_class=200,
        max_difference=0.0,
        runtime="torch 2.13.0",
        same_runtime=True,
    )
    here = [
        measurement(name, "cpu", 30_000, 0.032, 900_000, 0.968, 0.972)
        for name in ("tflite-int8", "onnx-dynamic-int8")
    ]
    there = [
        emulated(name, device, compared=(same,))
        for device in ("pi5-emulated", "phone-emulated")
        for name in ("tflite-int8", "onnx-dynamic-int8")
    ]
    return [*here, *there]


def drawn(measurements: list[Measurement], width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(measurement_table(measurements, width=width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    return text


def test_one_table_at_80_columns(table: list[Measurement]) -> None:
    lines = drawn(table, 80).splitlines()
    head = lines[1].split()
    assert head == "model size p50 ms instr. memory accuracy agree".split()
    cells = [line.split() for line in lines if line.strip()]
    assert [row[0] for row in cells[2:]] == [
        *("cpu", "tflite-int8", "onnx-dynamic-int8"),
        *("pi5-emulated", "tflite-int8", "onnx-dynamic-int8"),
        *("phone-emulated", "tflite-int8", "onnx-dynamic-int8"),
    ]
    assert cells[3] == "tflite-int8 30.0 KB 0.0320 - 900 KB 96.80% 97.20%".split()
    assert cells[6] == "tflite-int8 30.0 KB - 14.5M ~900 KB 97.00% 98.00%".split()


def test_a_long_name_gives_way_to_the_numbers(table: list[Measurement]) -> None:
    long = [found.model_copy(update={"artifact": "a" * 30 + ".tflite"}) for found in table]
    assert drawn(long, 80).count("97.20%") + drawn(long, 80).count("98.00%") == 6


def test_a_wide_terminal_names_the_device_in_each_row(table: list[Measurement]) -> None:
    assert "tflite-int8 @ pi5-emulated" in drawn(table, 140)


def test_columns_that_nobody_fills_are_left_out(table: list[Measurement]) -> None:
    assert "instr." not in drawn(table[:2], 140)
    only_counted = drawn(table[2:], 140)
    assert "p50" not in only_counted and "p90" not in only_counted and "instr." in only_counted
    offline = measurement(
        "tflite-int8", "cpu", 1, 0.03, 1, None, None,
        throughput=Throughput(batch=8, samples=800, seconds=0.5, per_second=1600.0),
        energy=InferenceEnergy(
            joules_per_inference=0.0012, source="estimate", measured=False, detail="3 W"
        ),
    )  # fmt: skip
    text = drawn([offline], 140)
    assert "samples/s" in text and "1.60k" in text and "~1.20 mJ" in text


def test_what_holds_for_several_is_said_once(table: list[Measurement]) -> None:
    said = remarks(table)
    boxes = "all on pi5-emulated; all on phone-emulated: "
    assert said == [
        boxes + "answers 200 samples as cpu does, bit for bit (torch 2.13.0)",
        # Wilson's interval of 97% of 200, from statsmodels.
        boxes + "accuracy from 200 of 539 test samples: 95% interval 93.6% to 98.6%",
        boxes + "latency unknown: emulated: milliseconds would say nothing about the device",
    ]


def test_devices_that_differ(table: list[Measurement]) -> None:
    other = Compared(
        device="cpu",
        samples=200,
        identical=180,
        same_class=199,
        max_difference=0.25,
        runtime="litert 2.3.0",
        same_runtime=False,
    )
    found = emulated(
        "tflite-int8", "pi4", compared=(other,), runtime="tflite-runtime", runtime_version="2.14.0"
    )
    said = remarks([table[0], found])
    assert said[0] == (
        "tflite-int8 on pi4: warning: different runtimes: 199 of 200 samples get the same class "
        "as on cpu, 180 bit for bit; scores differ by 2.5e-01 at most "
        "(tflite-runtime 2.14.0 here, litert 2.3.0 there)"
    )


def test_equal_answers_of_other_versions_are_not_taken_for_granted() -> None:
    other = Compared(
        device="cpu", samples=5, identical=5, runtime="litert 2.2.0", same_runtime=False
    )
    (first, *_) = remarks([emulated("a", "pi4", compared=(other,), test_samples=200, unknown={})])
    assert (
        "bit for bit (torch 2.13.0 here, litert 2.2.0 there); the runtimes are different" in first
    )


def test_failures_come_first_and_warnings_are_grouped() -> None:
    warm = [
        measurement(name, "pi4", 1, 1.0, 1, 0.9, 0.9, warnings=("it was throttled",))
        for name in "ab"
    ]
    broken = measurement(
        "c", "pi4", 1, 1.0, 1, None, None, status="failed", error="the device is gone"
    )
    soaked = measurement(
        "d", "pi4", 1, 1.0, 1, 0.9, 0.9,
        soak=Soak(seconds=60, window_seconds=1, n=60, p50_ms=(1.0, 1.3), drift=1.3),
    )  # fmt: skip
    assert remarks([*warm, broken, soaked]) == [
        "c on pi4: failed: the device is gone",
        "a, b: warning: it was throttled",
        "d: warning: under load for 60 s the latency changed by +30.0%",
    ]
