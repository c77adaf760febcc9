"""The model that does nothing, and what its memory is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.bench.devices import load_device
from edgekd.bench.null_memory import null_memory
from edgekd.bench.null_model import null_model
from edgekd.bench.result import Bench
from edgekd.bench.settings import Settings
from edgekd.errors import DeviceGoneError
from edgekd.runtimes import litert, onnxruntime
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from tests.bench import files
from tests.bench.replies import good


def test_the_files_are_what_the_schemas_builders_make(tmp_path: Path) -> None:
    zeros = np.zeros(4, np.float32)
    row = ((1, 4), np.float32, None)
    tensors: Any = {"x": row, "zero": ((4,), np.float32, zeros), "y": row}
    path = files.tflite(tmp_path / "null.tflite", "Add", tensors, ["x", "zero"])
    assert null_model("tflite") == path.read_bytes()
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in "xy"]
    node = helper.make_node("Add", ["x", "zero"], ["y"])
    zero = numpy_helper.from_array(zeros, "zero")
    graph = helper.make_graph([node], "null", ends[:1], ends[1:], [zero])
    opsets = [helper.make_opsetid("", 13)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=7, producer_name="")
    assert null_model("onnx") == made.SerializeToString()


@pytest.mark.parametrize(("kind", "runtime"), [("tflite", litert), ("onnx", onnxruntime)])
def test_they_change_nothing(tmp_path: Path, kind: str, runtime: Any) -> None:
    path = tmp_path / f"null.{kind}"
    path.write_bytes(null_model(kind) or b"")
    x = np.array([[1.0, -2.0, 3.5, 0.0]], np.float32)
    np.testing.assert_array_equal(runtime.load(path).run([x])[0], x)


def bench(handler: Any) -> tuple[Bench, FakeTransport]:
    transport = FakeTransport(handler)
    return Bench(load_device("cpu"), transport, Settings()), transport


def test_it_is_measured_once_a_kind_and_threads() -> None:
    said = json.dumps(good())
    where, transport = bench(lambda argv, held: Completed(0, said))
    first = null_memory(where, "tflite", 1)
    assert first is not None and first.ran.anonymous == 9_500_000
    assert null_memory(where, "tflite", 1) is first
    assert len(transport.commands) == 1
    null_memory(where, "tflite", 2)
    null_memory(where, "onnx", 1)
    assert len(transport.commands) == 3
    assert null_memory(where, "factory", 1) is None is null_memory(where, None, 1)
    assert len(transport.commands) == 3
    asked = [json.loads(c) for p, c in transport.files.items() if p.endswith("null.json")][-1]
    assert (asked["mode"], asked["format"], asked["energy"]) == ("memory", "onnx", False)


def test_without_it_figures_stay_raw() -> None:
    where, transport = bench(lambda argv, held: Completed(1, "", "no such runtime"))
    assert null_memory(where, "onnx", 1) is None
    assert null_memory(where, "onnx", 1) is None
    assert len(transport.commands) == 1


def test_a_device_that_vanishes_is_not_hidden() -> None:
    def gone(argv: Any, held: Any) -> Completed:
        raise DeviceGoneError("unplugged")

    with pytest.raises(DeviceGoneError):
        null_memory(bench(gone)[0], "onnx", 1)
