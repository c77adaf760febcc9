"""The chart of early exits, drawn by Vega itself."""

from __future__ import annotations

import vl_convert

from edgekd import provenance
from edgekd.records_exits import ExitCurve, ExitFile, ExitPoint
from edgekd.report.exits import accuracy_against_cost, figures


def curve(name: str, *, measured: bool) -> ExitCurve:
    time = {"pi4": 2.0} if measured else {}
    files = [
        ExitFile(artifact=f"{name}-{n}", exit=n, accuracy=0.9, macs=1000 * n, latency_ms=time)
        for n in (1, 2)
    ]
    points = [
        ExitPoint(
            threshold=threshold,
            accuracy=0.9 + share / 20,
            shares=(1 - share, share),
            macs=1000 + 2000 * share,
            latency_ms={device: 2 + 2 * share for device in time},
        )
        for threshold, share in ((0.0, 0.0), (0.9, 0.5), (2.0, 1.0))
    ]
    return ExitCurve(
        name=name,
        run="r",
        split="test",
        samples=10,
        segments=False,
        files=tuple(files),
        points=tuple(points),
        whole=files[1],
        provenance=provenance.collect(),
    )


def test_a_line_a_curve_on_every_device() -> None:
    curves = [curve("onnx", measured=True), curve("tflite", measured=True)]
    (figure,) = figures(curves)
    assert figure[0] == "Early exits on pi4"
    picture = vl_convert.vegalite_to_svg(figure[2])
    assert "mean ms a sample" in picture
    for name in ("onnx, test", "tflite, test"):
        assert picture.count(f">{name}</text>") == 1
    assert figure[2] is not None
    (values,) = figure[2]["datasets"].values()
    first = next(value for value in values if value["threshold"] == "0.9")
    assert first["leaving"] == "50% at exit 1, 50% at exit 2"
    assert first["cost"] == 3.0


def test_without_a_measurement_operations_stand_for_time() -> None:
    (figure,) = figures([curve("onnx", measured=False)])
    assert figure[0] == "Early exits"
    assert "mean MACs a sample" in vl_convert.vegalite_to_svg(figure[2])


def test_nothing_to_draw() -> None:
    assert figures([]) == []
    assert accuracy_against_cost([curve("onnx", measured=False)], "pi4") is None
