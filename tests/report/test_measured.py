"""What measurements hold beside the table: distributions, load, instructions, operators."""

from __future__ import annotations

from typing import Any

import pytest
import vl_convert

from edgekd.records import Measurement
from edgekd.records_bench import InferenceEnergy, Instructions, OperatorTime, Soak
from edgekd.report.blocks import Figure, Section, figures_of
from edgekd.report.measured import sections
from edgekd.report.tiles import tiles
from edgekd.report.timing import distributions, quantile, windows
from edgekd.summary import Headline, Row
from tests.synthetic_runs import measurement

OPERATORS = (
    OperatorTime(name="a", kind="Conv", calls=1, mean_ms=3.0, share=0.3),
    OperatorTime(name="b", kind="Add", calls=2, mean_ms=1.0, share=0.1),
    OperatorTime(name="c", kind="Conv", calls=1, mean_ms=6.0, share=0.6),
)
SOAK = Soak(seconds=4.0, window_seconds=1.0, n=400, p50_ms=(1.0, 1.1, 1.2, 1.5), drift=1.5)


def found(*measurements: Measurement) -> dict[str, Section]:
    table = [
        Row("artifact", m.artifact, "resnet8", device=m.device, status="ok") for m in measurements
    ]
    return {one.title: one for one in sections(table, measurements) if one.blocks}


def one(name: str = "tflite-int8", device: str = "cpu", **changes: Any) -> Measurement:
    return measurement(name, device, 30_000, 1.0, 900_000, 0.968, 0.972, **changes)


def charts(section: Section) -> list[Figure]:
    return [figure for figure in figures_of([section]) if isinstance(figure, Figure)]


def test_quantiles_by_hand() -> None:
    values = [float(i) for i in range(101)]
    assert [quantile(values, q) for q in (0.0, 0.25, 0.5, 1.0)] == [0.0, 25.0, 50.0, 100.0]
    assert quantile([7.0], 0.3) == 7.0


def test_latencies_of_each_device() -> None:
    section = found(one(), one("onnx-int8"), one(device="pi4"))["How long each inference took"]
    assert [figure.title for figure in charts(section)] == ["On cpu", "On pi4"]
    picture = vl_convert.vegalite_to_svg(charts(section)[0].spec)
    assert ">tflite-int8</text>" in picture
    assert ">onnx-int8</text>" in picture


def test_the_box_of_a_distribution() -> None:
    spec = distributions({"a": [float(i) for i in range(101)]})
    (box,) = next(values for values in spec["datasets"].values() if "p99" in values[0])
    assert (box["p1"], box["p25"], box["p50"], box["p75"], box["p99"]) == (1, 25, 50, 75, 99)


def test_an_emulated_device_has_instructions_and_no_time() -> None:
    counted = Instructions(per_inference=56_578, n=3, raw=(1, 2, 3), cpu="cortex-a76", counter="q")
    sections_of = found(one(device="box", emulated=True, instructions=counted, soak=SOAK))
    assert [*sections_of] == ["Instructions and energy"]
    (figure,) = charts(sections_of["Instructions and energy"])
    assert figure.note == "Of one inference, on an emulated cortex-a76."
    assert ">56.6k</text>" in vl_convert.vegalite_to_svg(figure.spec)


@pytest.mark.parametrize(("measured", "shown"), [(True, "2.00 mJ"), (False, "~2.00 mJ")])
def test_an_estimate_of_energy_has_a_tilde(measured: bool, shown: str) -> None:
    energy = InferenceEnergy(
        joules_per_inference=0.002, source="rapl" if measured else "estimate",
        measured=measured, detail="x",
    )  # fmt: skip
    (figure,) = charts(found(one(energy=energy))["Instructions and energy"])
    assert f">{shown}</text>" in vl_convert.vegalite_to_svg(figure.spec)


def test_operators_by_kind() -> None:
    section = found(one(operators=OPERATORS))["Where the time goes"]
    (figure,) = charts(section)
    assert figure.note == "3 operators, 10.0 ms in all."
    picture = vl_convert.vegalite_to_svg(figure.spec)
    assert picture.index(">Conv (2)</text>") < picture.index(">Add</text>")
    assert ">90.0%</text>" in picture


def test_windows_over_the_first() -> None:
    section = found(one(soak=SOAK))["Under sustained load"]
    (figure,) = charts(section)
    assert figure.note == "The last quarter against the first: tflite-int8 +50.0%."
    spec = windows({"a": SOAK})
    (values,) = spec["datasets"].values() if "datasets" in spec else (spec["data"]["values"],)
    assert [value["ratio"] for value in values] == [1.0, 1.1, 1.2, 1.5]


def test_what_is_out_of_date_is_left_out() -> None:
    stale = [Row("artifact", "tflite-int8", "m", device="cpu", status="stale")]
    assert [part for part in sections(stale, [one(soak=SOAK)]) if part.blocks] == []


def test_the_tile_of_an_emulated_device_has_no_milliseconds() -> None:
    row = Row(
        "artifact", "tflite-int8", "m", device="box", status="ok", emulated=True,
        latency_p50_ms=400.0, peak_rss_bytes=5, instructions=56_578,
    )  # fmt: skip
    shown = {tile.label: tile.value for tile in tiles([row], Headline(None, None, None, None))}
    assert shown["Fewest instructions"] == "56.6k"
    assert shown["Least memory"] == "-"
