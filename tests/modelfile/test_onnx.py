"""ONNX files of many kinds as graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.modelfile import macs
from edgekd.modelfile.precision import precisions
from edgekd.modelfile.reading import read
from edgekd.modelfile.weights import weigh
from tests.modelfile.onnx_files import FLOAT, convolution, model, node


def test_a_free_batch_stays_free_and_runs_at_1() -> None:
    graph = read(convolution("n").SerializeToString())
    assert graph.inputs[0].shape == (None, 3, 8, 8)
    assert graph.inputs[0].fixed_shape == (1, 3, 8, 8)
    assert graph.outputs[0].fixed_shape == (1, 4, 8, 8)
    assert graph.opsets == {"": 17}
    assert graph.remarks == ()


def test_weights_listed_as_inputs_are_no_inputs() -> None:
    made = convolution(1)
    made.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [4, 3, 3, 3]))
    graph = read(made.SerializeToString())
    assert [tensor.name for tensor in graph.inputs] == ["x"]
    assert "1 weights are also listed as graph inputs" in graph.remarks[0]


def test_no_opset_is_said() -> None:
    made = model([node("Relu", ["x"], ["y"])], {"x": [1, 4]}, {"y": [1, 4]}, opset=None)
    graph = read(made.SerializeToString())
    assert graph.main.operators[0].version == 0
    assert any("no opset" in remark for remark in graph.remarks)


def test_a_wrong_output_shape_is_said() -> None:
    made = model([node("Relu", ["x"], ["y"])], {"x": [1, 4]}, {"y": [1, 5]})
    remarks = read(made.SerializeToString()).remarks
    assert remarks
    assert "1x5" in remarks[0] or "contradict" in remarks[0]


def test_weights_in_another_file_are_counted_and_not_read(tmp_path: Path) -> None:
    made = convolution(1)
    onnx.save(
        made,
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=100,
    )
    (tmp_path / "weights.bin").unlink()
    graph = read(tmp_path / "m.onnx")
    weight = next(tensor for tensor in graph.main.tensors if tensor.name == "w")
    assert weight.external
    assert weight.stored_bytes == 4 * 3 * 3 * 3 * 4
    assert weight.values() is None
    assert macs.count(graph).total == 6912
    assert any("other files" in remark for remark in graph.remarks)


def test_functions_are_written_out() -> None:
    body = helper.make_function(
        "local", "Twice", ["a"], ["b"],
        [node("Relu", ["a"], ["t"]), node("Neg", ["t"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    call = node("Twice", ["x"], ["y"], domain="local")
    made = model([call], {"x": [1, 4]}, {"y": [1, 4]}, functions=[body])
    assert [one.name for one in read(made.SerializeToString()).main.operators] == ["Relu", "Neg"]


def test_functions_that_grow_without_end_are_left() -> None:
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    bodies = [
        helper.make_function(
            "local", f"f{level}", ["a"], ["b"],
            [node(f"f{level + 1}", ["a"], ["t"], domain="local"),
             node(f"f{level + 1}", ["t"], ["b"], domain="local")]
            if level < 40 else [node("Relu", ["a"], ["b"])],
            opset,
        )
        for level in range(41)
    ]  # fmt: skip
    made = model(
        [node("f0", ["x"], ["y"], domain="local")], {"x": [1, 4]}, {"y": [1, 4]}, functions=bodies
    )
    graph = read(made.SerializeToString())
    assert graph.main.operators[0].name == "f0"
    assert any("without end" in remark for remark in graph.remarks)


def test_branches_are_subgraphs_that_see_what_is_outside() -> None:
    branches = {}
    for name in ("then_branch", "else_branch"):
        product = node("MatMul", ["x", "w"], [f"{name}_y"])
        result = helper.make_tensor_value_info(f"{name}_y", FLOAT, [1, 5])
        branches[name] = helper.make_graph([product], name, [], [result])
    made = model(
        [node("If", ["c"], ["y"], **branches)],
        {"x": [1, 4]},
        {"y": [1, 5]},
        {"w": np.ones((4, 5), np.float32), "c": np.array(True)},
    )
    graph = read(made.SerializeToString())
    assert graph.main.operators[0].subgraphs == (1, 2)
    inside = graph.subgraphs[1]
    assert inside.inputs_of(inside.operators[0])[1].constant  # type: ignore[union-attr]
    assert macs.count(graph).total == 20  # both branches take 4 x 5, one of them runs
    assert weigh(graph).parameters == 20


def _quantized_convolution() -> onnx.ModelProto:
    scale, zero = np.float32(0.5), np.uint8(3)
    scales = np.array([0.1, 0.2], np.float32)
    weights = {
        "s": scale, "z": zero, "ws": scales, "wz": np.zeros(2, np.int8),
        "w": np.ones((2, 3, 1, 1), np.int8),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z"], ["xf"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
        node("Conv", ["xf", "wf"], ["y"]),
        node("Relu", ["y"], ["r"]),
        node("QuantizeLinear", ["r", "s", "z"], ["rq"]),
        node("DequantizeLinear", ["rq", "s", "z"], ["rf"]),
        node("Softmax", ["rf"], ["out"], axis=1),
    ]
    return model(nodes, {"x": [1, 3, 4, 4]}, {"out": [1, 2, 4, 4]}, weights)


def test_quantization_between_quantize_and_dequantize() -> None:
    graph = read(_quantized_convolution().SerializeToString())
    by_name = {tensor.name: tensor for tensor in graph.main.tensors}
    weight, data = by_name["w"].quantization, by_name["xq"].quantization
    assert weight is not None
    assert data is not None
    assert (weight.axis, len(weight.scales)) == (0, 2)
    assert (data.scales, data.zero_points, data.axis) == ((0.5,), (3,), None)
    names = [one.name for one in graph.main.operators]
    found = dict(zip(names, precisions(graph, graph.main), strict=True))
    assert found["Conv"] == "integer"
    assert found["Relu"] == "integer"
    assert found["Softmax"] == "float"
    assert weigh(graph).parameters == 6  # not the scales
    assert weigh(graph).layers[0].operator == "Conv"  # through DequantizeLinear


def test_half_stored_and_float_computed() -> None:
    half = numpy_helper.from_array(np.ones((4, 5), np.float16), "h")
    made = model(
        [node("Cast", ["h"], ["w"], to=TensorProto.FLOAT), node("MatMul", ["x", "w"], ["y"])],
        {"x": ["n", 4]},
        {"y": ["n", 5]},
    )
    made.graph.initializer.append(half)
    found = weigh(read(made.SerializeToString()))
    assert found.by_type == {"float16": 40}
    assert (found.layers[0].operator, found.layers[0].stored_bytes) == ("MatMul", 40)


def test_tensors_that_nothing_gives_are_said() -> None:
    made = model([node("Add", ["x", "ghost"], ["y"])], {"x": [1, 4]}, {"y": [1, 4]})
    assert any("'ghost'" in remark for remark in read(made.SerializeToString()).remarks)
