"""Is a quantized file slower than the float one, and which operators are at fault?"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.runtimes import siblings
from edgekd.runtimes.siblings import slower, words

DATA = Path(os.environ.get("EDGEKD_DATA", "data")) / "mlperf_tiny"


def onnx_file(path: Path, kind: str) -> Path:
    """Write a network of 256 values to 256: one Relu, or a Relu and 40 products with a matrix."""
    nodes = [helper.make_node("Relu", ["input"], ["x0" if kind == "heavy" else "logits"])]
    weight = numpy_helper.from_array(np.eye(256, dtype=np.float32), "weight")
    if kind == "heavy":
        for i in range(40):
            nodes.append(helper.make_node("MatMul", [f"x{i}", "weight"], [f"y{i}"]))
            nodes.append(helper.make_node("Sin", [f"y{i}"], ["logits" if i == 39 else f"x{i + 1}"]))
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 256])
             for n in ("input", "logits")]  # fmt: skip
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], [weight] if kind == "heavy" else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "BUDGET", 0.1)


def test_onnxruntimes_profile_names_what_costs_more(tmp_path: Path) -> None:
    heavy, light = (onnx_file(tmp_path / f"{kind}.onnx", kind) for kind in ("heavy", "light"))
    samples = {"input": np.ones((3, 256), np.float32)}
    ratio, why = slower(heavy, light, "onnxruntime", samples, {"input": None})
    assert ratio > 2
    assert "MatMul" in why and "% of its time" in why and "Relu" not in why.split("(")[0]
    ratio, why = slower(light, heavy, "onnxruntime", samples, {"input": None})
    assert ratio < 0.5 and why == ""
    assert sorted(p.name for p in Path.cwd().glob("*profile*.json")) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="EDGEKD_DATA has no mlperf_tiny")
def test_what_xnnpack_leaves_to_slower_kernels() -> None:
    # Softmax and the reshape of the int8 file; XNNPACK runs everything else of both.
    int8, floats = DATA / "kws_ref_model_int8.tflite", DATA / "kws_ref_model_fp32.tflite"
    left = siblings._undelegated(int8)
    assert "SOFTMAX" in left and "CONV_2D" not in left and "DELEGATE" not in left
    assert "SOFTMAX" in siblings._outside_xnnpack(int8, floats, {}, {})
    assert "its int8 kernels are not faster" in siblings._outside_xnnpack(int8, int8, {}, {})


def test_only_what_is_slower_is_said() -> None:
    assert words(1.05, "") == ()
    assert words(0.4, "anything") == ()
    assert words(1.5, "XNNPACK leaves 2 SOFTMAX to slower kernels") == (
        "slower than the float file on this machine, 1.50 times its latency: "
        "XNNPACK leaves 2 SOFTMAX to slower kernels",
    )
