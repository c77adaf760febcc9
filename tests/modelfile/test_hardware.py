"""What an NPU and a microcontroller refuse: real files, and operators changed one at a time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekd.modelfile import mcu, npu
from edgekd.modelfile.graph import Graph, Operator, Quantization, Subgraph, Tensor
from edgekd.modelfile.reading import read

#: Arm's compiler, in an environment of its own or in this one.
VELA = os.environ.get("EDGEKD_VELA") or shutil.which("vela")

SCALED = Quantization((0.1,), (0,))


def one(name: str, shapes: list[tuple[int, ...]], dtype: str = "int8", **options: Any) -> Graph:
    """A graph of one operator; the last shape is the output's."""
    tensors = tuple(
        Tensor(f"t{index}", dtype, shape, fixed_shape=shape, quantization=SCALED)
        for index, shape in enumerate(shapes)
    )
    last = len(shapes) - 1
    operator = Operator(0, name, "", 1, tuple(range(last)), (last,), options)
    return Graph("tflite", 3, (Subgraph("main", (0,), (last,), (operator,), tensors),))


def changed(graph: Graph, place: int, **fields: Any) -> Graph:
    tensors = list(graph.main.tensors)
    tensors[place] = replace(tensors[place], **fields)
    return replace(graph, subgraphs=(replace(graph.main, tensors=tuple(tensors)),))


POOL: list[tuple[int, ...]] = [(1, 16, 16, 8), (1, 8, 8, 8)]
FLOAT: list[tuple[int, ...]] = [(1, 8), (1, 8)]


@pytest.mark.parametrize(
    "name",
    ["ic_pretrainedResnet_int8", "kws_ref_model_int8", "ad01_int8"],
)
def test_integer_files_run_everywhere(name: str, data_root: Path) -> None:
    graph = read(data_root / "mlperf_tiny" / f"{name}.tflite")
    assert npu.refused(graph) == ()
    assert mcu.refused(graph) == ()


def test_float_files_run_on_no_npu(data_root: Path) -> None:
    graph = read(data_root / "mlperf_tiny" / "ic_pretrainedResnet_fp32.tflite")
    assert {found.operator for found in npu.refused(graph)} == set(range(16))
    assert {found.severity for found in mcu.refused(graph)} == {"flagged"}


def test_unsigned_files_run_on_the_npu_and_on_no_microcontroller(data_root: Path) -> None:
    graph = read(data_root / "coral" / "mobilenet_v1_0.25_128_quant.tflite")
    assert npu.refused(graph) == ()
    refused = {found.name for found in mcu.refused(graph) if found.severity == "refused"}
    assert refused == {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D"}


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (one("COS", FLOAT), "the NPU has no COS"),
        (one("RELU", FLOAT, "float32"), "float32"),
        (one("TANH", FLOAT, "int32"), "int32"),
        (changed(one("TANH", FLOAT), 0, quantization=None), "no quantization parameters"),
        (changed(one("TANH", FLOAT), 0, quantization=Quantization((0.1, 0.2))), "each channel"),
        (changed(one("TANH", FLOAT), 0, quantization=Quantization((0.0,))), "not positive"),
        (changed(one("TANH", FLOAT), 0, shape=(1, None)), "free"),
        (
            one("AVERAGE_POOL_2D", POOL, padding="SAME", filter_height=9, filter_width=2),
            "with padding, 8x8 is the most",
        ),
        (one("MAX_POOL_2D", POOL, padding="SAME", stride_h=4, stride_w=4), "stride is 4"),
        (one("RESIZE_BILINEAR", [(1, 4, 4, 2), (2,), (1, 12, 12, 2)]), "grows 3-fold"),
        (one("RESIZE_BILINEAR", [(1, 4, 4, 2), (2,), (1, 8, 12, 2)]), "height grows 2-fold"),
        (one("PAD", [(1, 4), (2, 2), (1, 6)]), "computed while it runs"),
        (one("SOFTMAX", [(1, 256, 256, 2), (1, 256, 256, 2)]), "65,536 rows"),
        (one("GELU", FLOAT, "int16"), "int8 or uint8"),
        (one("BATCH_MATMUL", [(2, 4), (4, 3), (2, 3)], "int16"), "not int8"),
    ],
)
def test_what_the_npu_refuses_and_why(graph: Graph, reason: str) -> None:
    assert any(reason in found.reason for found in npu.refused(graph)), npu.refused(graph)


@pytest.mark.parametrize(
    "graph",
    [
        one("TANH", FLOAT),
        one("AVERAGE_POOL_2D", POOL, padding="VALID", filter_height=9, filter_width=9),
        one("MAX_POOL_2D", POOL, padding="VALID", stride_h=4, stride_w=4),
        one("RESIZE_BILINEAR", [(1, 4, 4, 2), (2,), (1, 8, 8, 2)]),
        one("RESHAPE", FLOAT, "int32"),
        changed(one("TANH", FLOAT), 0, shape=(None, 8)),
    ],
)
def test_what_the_npu_takes(graph: Graph) -> None:
    assert npu.refused(graph) == ()


@pytest.mark.parametrize(
    ("graph", "severity", "reason"),
    [
        (one("GELU", FLOAT), "refused", "has no GELU"),
        (one("SQRT", FLOAT), "refused", "knows float32"),
        (one("SQRT", FLOAT, "float32"), "flagged", "computes in float32"),
        (one("DEQUANTIZE", FLOAT, "float16"), "refused", "cannot turn float16"),
        (one("TRANSPOSE", [(1, 8), (2,), (8, 1)], "int32"), "refused", "not int32"),
        (changed(one("TANH", FLOAT), 1, shape=(1, None)), "flagged", "is free"),
        (
            changed(
                one("FULLY_CONNECTED", [(1, 4), (3, 4), (1, 3)], "float32"),
                1,
                dtype="int8",
                storage=1,
            ),
            "refused",
            "no kernel mixes them",
        ),
    ],
)
def test_what_a_microcontroller_refuses_and_why(graph: Graph, severity: str, reason: str) -> None:
    found = [(one.severity, one.reason) for one in mcu.refused(graph)]
    assert any(level == severity and reason in text for level, text in found), found


@pytest.mark.slow
@pytest.mark.skipif(VELA is None, reason="no vela: pip install ethos-u-vela, or set EDGEKD_VELA")
@pytest.mark.parametrize(
    "name",
    [
        "mlperf_tiny/ic_pretrainedResnet_int8",
        "mlperf_tiny/kws_ref_model_fp32",
        "coral/mobilenet_v1_0.25_128_quant",
    ],
)
def test_vela_says_the_same(name: str, data_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    shutil.copyfile(data_root / f"{name}.tflite", path)
    done = subprocess.run(
        [str(VELA), path, "--show-cpu-operations", "--output-dir", tmp_path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = set(re.findall(r"^\s+CPU: \S+ = (.*?) \(", done.stdout, re.MULTILINE))
    assert {found.output for found in npu.refused(read(path))} == theirs
