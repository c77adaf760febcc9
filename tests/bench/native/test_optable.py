"""Tables of operators as TFLite's profilers print them; traces of onnxruntime's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.bench import operators
from edgekd.bench.native import optable
from edgekd.bench.native.profile import read_trace
from edgekd.bench.profiler import from_trace
from tests.bench.native.test_parsers import output


def test_tabs_and_a_start_column() -> None:
    table = optable.parse(output("ops-tabs"))
    assert table is not None
    found = optable.operators(table)
    assert [operator.kind for operator in found].count("RESIZE_BILINEAR") == 3
    slowest = max(found, key=lambda operator: operator.share)
    assert (slowest.name, slowest.mean_ms) == ("ResizeBilinear_2:69", 22.369)
    # 22.369 of 52.063, as the eight means add up by hand.
    assert slowest.share == pytest.approx(22.369 / 52.063, rel=1e-3)


def test_a_mean_is_that_of_one_call() -> None:
    table = optable.parse(output("ops-xnnpack"))
    assert table is not None
    kinds = [row.kind for row in table.rows]
    assert "AllocateTensors" not in kinds  # the initialisation's table
    found = {operator.name: operator for operator in optable.operators(table)}
    often = found["Delegate/Convolution (NHWC, QC8) DWConv:1"]
    assert (often.calls, often.kind) == (13, "Convolution (NHWC, QC8) DWConv")
    assert often.mean_ms == pytest.approx(13 * 0.051)


def test_litert_adds_its_inferences_up() -> None:
    text = output("ops-litert")
    table = optable.parse(text)
    assert table is not None
    assert table.total_ms is not None
    assert f"curr={round(table.total_ms * 1e3)}" in text
    one = optable.operators(table)
    assert sum(operator.share for operator in one) == pytest.approx(1.0)
    assert sum(operator.mean_ms for operator in one) == pytest.approx(table.total_ms, rel=1e-3)
    twice = optable.OpTable(
        tuple(
            optable.Row(row.kind, row.name, row.calls * 2, row.call_ms, row.share)
            for row in table.rows
        ),
        table.total_ms * 2,
    )
    assert optable.operators(twice, 2) == one


@pytest.mark.parametrize("name", ["ops-tabs", "ops-xnnpack", "ops-litert"])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_cut_table_is_shorter_or_none(name: str, data: st.DataObject) -> None:
    text = output(name)
    whole = optable.parse(text)
    cut = optable.parse(text[: data.draw(st.integers(0, len(text)))])
    assert whole is not None
    assert cut is None or len(cut.rows) <= max(len(whole.rows), 2)


@given(st.text(max_size=300))
@settings(max_examples=50, deadline=None)
def test_no_table_is_none(text: str) -> None:
    assert optable.parse(text) is None


def event(name: str, ts: int, dur: int, cat: str = "Node", op: str = "Conv") -> dict[str, object]:
    return {"cat": cat, "tid": 1, "name": name, "ts": ts, "dur": dur, "args": {"op_name": op}}


TRACE = [
    event("model_run", 0, 100, "Session"),
    event("a_kernel_time", 1, 90),
    event("model_run", 200, 50, "Session"),
    event("a_kernel_time", 201, 10),
    event("b_kernel_time", 212, 30, op="Loop"),
    event("c_kernel_time", 213, 8, op="Add"),
    event("c_kernel_time", 222, 8, op="Add"),
    event("model_run", 300, 50, "Session"),
    event("a_kernel_time", 301, 20),
    event("a_fence_before", 300, 1),
]


def test_a_trace_without_its_first_inference_and_without_nesting() -> None:
    runs, entries = from_trace(TRACE)
    assert runs == 2
    totals = {
        entry["name"]: (entry["kind"], entry["calls"], entry["total_us"]) for entry in entries
    }
    # The loop took 30 us, 16 of them in the two additions within.
    assert totals == {"a": ("Conv", 2, 30), "b": ("Loop", 1, 14), "c": ("Add", 2, 16)}
    found = operators.from_totals(entries, runs)
    assert found[0].mean_ms == pytest.approx(0.015)
    assert sum(operator.share for operator in found) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", "[", "{}", "[1, 2]", '[{"name": "x"}]', '{"a": 1}', "[]"])
def test_a_trace_that_cannot_be_read(text: str) -> None:
    found, reason = read_trace(text)
    assert found == ()
    assert reason


@pytest.mark.parametrize(
    "reply",
    [
        {"missing": "no profile"},
        {"error": "ValueError: x"},
        {"tables": [{"text": "nothing", "runs": 1}]},
        {"tables": "x"},
        {"operators": [{"name": "a"}], "runs": 1},
        {"operators": [], "runs": 1},
        {},
    ],
)
def test_replies_without_operators_have_a_reason(reply: dict[str, object]) -> None:
    found, reason = operators.read(reply)
    assert found == ()
    assert reason
