"""Quantized ONNX files without names, doubled constants and float tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekd.quantize.onnx_size import store_tables, strip

WORDS, WIDTH = 128, 16


def _model(nodes: list[Any], constants: dict[str, NDArray[Any]]) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [None])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", "k"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model)
    return model


def _language(**table: Any) -> Any:
    generator = np.random.default_rng(0)
    constants = {
        "embedding.weight": generator.normal(size=(WORDS, WIDTH)).astype(np.float32),
        # A column that is a hundred times as wide: one scale for all would spoil the others.
        "head.weight": generator.normal(size=(WIDTH, 3)).astype(np.float32),
        "a_long_name_of_a_bias": np.ones(3, np.float32),
        "another_name_of_the_same": np.ones(3, np.float32),
    }
    constants["embedding.weight"][:, 3] *= 100
    nodes = [
        helper.make_node("Gather", ["embedding.weight", "ids"], ["rows"], name="look_up", **table),
        helper.make_node("MatMul", ["rows", "head.weight"], ["product"], name="product_of_rows"),
        helper.make_node("Add", ["product", "a_long_name_of_a_bias"], ["sum"], name="first_sum"),
        helper.make_node("Add", ["sum", "another_name_of_the_same"], ["answer"], name="last_sum"),
    ]
    return _model(nodes, constants)


def _run(model: Any) -> NDArray[Any]:
    ids = np.arange(WORDS, dtype=np.int64)
    return np.asarray(ReferenceEvaluator(model).run(None, {"ids": ids})[0])


def test_rows_of_a_table_are_off_by_half_a_step_of_their_column_at_most() -> None:
    model = _language()
    table = numpy_helper.to_array(model.graph.initializer[0])
    graph = model.graph
    del graph.node[1:]
    graph.node[0].output[0] = "answer"
    before = _run(model)
    assert store_tables(model) == 1
    onnx.checker.check_model(model)
    half_a_step = np.abs(table).max(axis=0) / 127 / 2
    assert (np.abs(_run(model) - before) <= half_a_step * 1.001).all()
    stored = {weight.name: weight.data_type for weight in model.graph.initializer}
    assert stored["embedding.weight"] == TensorProto.INT8


def test_a_table_that_something_else_reads_stays_float() -> None:
    model = _language()
    head = helper.make_node("ReduceSum", ["embedding.weight"], ["total"], name="tied")
    model.graph.node.append(head)
    assert store_tables(model) == 0
    assert model.graph.initializer[0].data_type == TensorProto.FLOAT


def test_a_table_that_is_kept_float_stays_so() -> None:
    assert store_tables(_language(), kept=["look_up"]) == 0


def test_a_lookup_along_columns_is_no_table() -> None:
    assert store_tables(_language(axis=1)) == 0


def test_a_column_of_zeros_stays_zero() -> None:
    model = _language()
    table = numpy_helper.to_array(model.graph.initializer[0]).copy()
    table[:, 5] = 0
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "embedding.weight"))
    store_tables(model)
    assert np.isfinite(_run(model)).all()


def test_a_stripped_file_computes_the_same_bit_for_bit_and_is_smaller() -> None:
    model = _language()
    before, size = _run(model), model.ByteSize()
    strip(model)
    onnx.checker.check_model(model)
    assert (_run(model) == before).all()
    assert model.ByteSize() < size - 100


def test_only_inputs_outputs_and_layers_keep_their_names() -> None:
    model = _language()
    strip(model)
    graph = model.graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["ids", "answer"]
    assert [node.name for node in graph.node] == ["embedding", "head", "", ""]
    inner = [weight.name for weight in graph.initializer]
    assert all(len(name) == 1 for name in inner)
    assert len(inner) == 3  # of two equal biases one is left


def test_a_short_name_never_meets_that_of_an_input() -> None:
    model = _language()
    model.graph.input[0].name = "0"
    model.graph.node[0].input[1] = "0"
    strip(model)
    onnx.checker.check_model(model)
    ids = np.arange(WORDS, dtype=np.int64)
    ReferenceEvaluator(model).run(None, {"0": ids})
    assert "0" not in [weight.name for weight in model.graph.initializer]


def test_a_constant_that_is_an_output_keeps_its_own_place() -> None:
    model = _language()
    model.graph.output.append(
        helper.make_tensor_value_info("another_name_of_the_same", TensorProto.FLOAT, [3])
    )
    strip(model)
    onnx.checker.check_model(model)
    assert "another_name_of_the_same" in [weight.name for weight in model.graph.initializer]


@pytest.mark.parametrize("kind", ["If"])
def test_graphs_within_graphs_are_left_alone(kind: str) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["embedding.weight"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [WORDS, WIDTH])],
    )
    model = _language()
    model.graph.node.append(
        helper.make_node(kind, ["truth"], ["either"], then_branch=branch, else_branch=branch)
    )
    before = model.SerializeToString()
    strip(model)
    assert model.SerializeToString() == before
