"""TFLite files as LiteRT's own interpreter sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgekd.modelfile import flatbuffer
from edgekd.modelfile.packed import unpacked
from edgekd.modelfile.reading import read

FILES = [
    "mlperf_tiny/ic_pretrainedResnet_int8",
    "mlperf_tiny/kws_ref_model_fp32",
    "mlperf_tiny/ad01_int8",
    "coral/mobilenet_v1_0.25_128_quant",
]


@pytest.mark.parametrize("name", FILES)
def test_tensors_and_operators_are_those_of_the_interpreter(name: str, data_root: Path) -> None:
    path = data_root / f"{name}.tflite"
    graph = read(path).main
    theirs = Interpreter(str(path))
    theirs.allocate_tensors()
    known = {tensor["index"]: tensor for tensor in theirs.get_tensor_details()}
    for index, tensor in enumerate(graph.tensors):
        detail = known[index]
        assert tensor.name == detail["name"]
        assert tensor.fixed_shape == tuple(detail["shape"])
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        scales = detail["quantization_parameters"]["scales"]
        assert np.allclose(tensor.quantization.scales if tensor.quantization else (), scales)
        if tensor.quantization is not None and tensor.quantization.per_channel:
            parameters = detail["quantization_parameters"]
            assert tensor.quantization.axis == parameters["quantized_dimension"]
        if tensor.constant:
            assert np.array_equal(tensor.values(), theirs.tensor(index)())
    assert [one["index"] for one in theirs.get_input_details()] == list(graph.inputs)
    ours = [(one.name, one.inputs, one.outputs) for one in graph.operators]
    listed = theirs._get_ops_details()[: len(ours)]  # then those that a delegate put in
    assert ours == [(o["op_name"], tuple(o["inputs"]), tuple(o["outputs"])) for o in listed]


def test_options_carry_names_not_numbers(data_root: Path) -> None:
    graph = read(data_root / "mlperf_tiny" / "kws_ref_model_int8.tflite").main
    options = graph.operators[0].options
    assert options["padding"] == "SAME"
    assert options["fused_activation_function"] == "RELU"
    assert (options["stride_h"], options["dilation_w_factor"]) == (2, 1)


def test_a_free_batch_is_seen(data_root: Path) -> None:
    tensor = read(data_root / "mlperf_tiny" / "ad01_fp32.tflite").inputs[0]
    assert tensor.shape == (None, 640)
    assert tensor.fixed_shape == (1, 640)


def test_custom_operators_and_unknown_numbers_keep_a_name(data_root: Path) -> None:
    content = (data_root / "mlperf_tiny" / "ad01_fp32.tflite").read_bytes()
    model = flatbuffer.unpack(content)
    model.operatorCodes[0].builtinCode = 32  # CUSTOM
    model.operatorCodes[0].deprecatedBuiltinCode = 32
    model.operatorCodes[0].customCode = b"MyDense"
    for operator in model.subgraphs[0].operators:
        operator.builtinOptionsType, operator.builtinOptions = 0, None
    operator_ = read(flatbuffer.pack(model)).main.operators[0]
    assert (operator_.name, operator_.custom) == ("MyDense", True)
    model.operatorCodes[0].builtinCode = 9999
    assert read(flatbuffer.pack(model)).main.operators[0].name == "BuiltinOperator_9999"


def test_values_of_four_bits() -> None:
    # Bytes 0x2F, 0x81 hold the nibbles F, 2, 1, 8; the last is padding.
    assert unpacked(b"\x2f\x81", "int4", (3,)).tolist() == [-1, 2, 1]  # type: ignore[union-attr]
    assert unpacked(b"\x2f\x81", "uint4", (3,)).tolist() == [15, 2, 1]  # type: ignore[union-attr]
    assert unpacked(b"\x2f", "int4", (3,)) is None


def test_values_of_bfloat16() -> None:
    stored = np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16
    found = unpacked(stored.astype("<u2").tobytes(), "bfloat16", (2,))
    assert found is not None
    assert found.tolist() == [1.5, -2.0]
