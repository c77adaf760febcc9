"""Parameters and multiply-accumulates of files whose counts are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from edgekd.inspect.stage import inspect
from edgekd.modelfile.counts import Counts, counts
from tests.bench import files


def test_onnx_layers(tmp_path: Path) -> None:
    layers = [(np.zeros((5, 4)), np.zeros(5)), (np.zeros((3, 5)), np.zeros(3))]
    path = files.mlp_onnx(tmp_path / "m.onnx", layers, (4,))
    assert counts(path, "onnx") == Counts(4 * 5 + 5 + 5 * 3 + 3, 4 * 5 + 5 * 3)


def test_tflite_constants(tmp_path: Path) -> None:
    assert counts(files.add(tmp_path / "add.tflite"), "tflite") == Counts(4, 0)
    # The lengths of REVERSE_SEQUENCE are indices: no parameters.
    assert counts(files.killer(tmp_path / "killer.tflite"), "tflite") == Counts(0, 0)


def test_scales_and_zero_points_do_not_count(tmp_path: Path) -> None:
    """Weights (3, 4) with a scale a row, and a constant that holds a bias of 3."""
    weights = [
        numpy_helper.from_array(np.zeros((3, 4), np.int8), "w"),
        numpy_helper.from_array(np.ones(3, np.float32), "scale"),
        numpy_helper.from_array(np.zeros(3, np.int8), "zero"),
        numpy_helper.from_array(np.array([0, -1], np.int64), "shape"),
    ]
    bias = numpy_helper.from_array(np.ones(3, np.float32))
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["real"], axis=0),
        helper.make_node("Constant", [], ["bias"], value=bias),
        helper.make_node("Reshape", ["x", "shape"], ["row"]),
        helper.make_node("Gemm", ["row", "real", "bias"], ["y"], transB=1),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n])
        for name, n in (("x", 4), ("y", 3))
    ]
    graph = helper.make_graph(nodes, "q", ends[:1], ends[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "q.onnx")
    assert counts(tmp_path / "q.onnx", "onnx") == Counts(15, 12)


def test_what_an_operator_multiplies_may_not_be_known(tmp_path: Path) -> None:
    path = files.unknown_operator_onnx(tmp_path / "odd.onnx")
    assert counts(path, "onnx") == Counts(0, None, {"macs": "those of Teleport are not known"})


@pytest.mark.parametrize("kind", ["tflite", "onnx", "executorch"])
def test_a_file_that_cannot_be_read_has_a_reason(tmp_path: Path, kind: str) -> None:
    (tmp_path / "junk").write_bytes(bytes(range(256)))
    found = counts(tmp_path / "junk", kind)
    assert (found.parameters, found.macs) == (None, None)
    assert set(found.unknown) == {"parameters", "macs"}
    assert all("damaged" in why for why in found.unknown.values())


def test_a_fault_of_the_reader_costs_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: object) -> None:
        raise KeyError("shape")

    monkeypatch.setattr("edgekd.modelfile.macs.count", broken)
    found = counts(files.add(tmp_path / "add.tflite"), "tflite")
    assert found.parameters is None and "KeyError" in found.unknown["macs"]


def test_executorch() -> None:
    path = Path(__file__).parent / "programs" / "small-int8.pte"
    found = counts(path, "executorch")
    assert found.parameters == inspect(path).parameters
    assert found.macs is None and "executorch" in found.unknown["macs"]


def test_known_networks(data_root: Path) -> None:
    """MLPerf Tiny, batch normalisation folded: counts of the Keras layers, by hand."""
    folder = data_root / "mlperf_tiny"
    # The autoencoder: 640 - 4 x 128 - 8 - 4 x 128 - 640, weights and biases.
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    autoencoder = sum(a * b + b for a, b in pairwise(sizes))
    # DS-CNN: a 10x4 convolution, four separable ones of 64 channels, 12 classes.
    dscnn = (40 * 64 + 64) + 4 * (9 * 64 + 64 + 64 * 64 + 64) + (64 * 12 + 12)
    for name, count in (("ad01", autoencoder), ("kws_ref_model", dscnn)):
        for scheme in ("fp32", "int8"):
            path = folder / f"{name}_{scheme}.tflite"
            if not path.exists():
                pytest.skip(f"no {path}")
            assert counts(path, "tflite").parameters == count
            assert counts(path, "tflite").macs == inspect(path).macs
    # The dense layers multiply once a weight.
    weights = sum(a * b for a, b in pairwise(sizes))
    assert counts(folder / "ad01_int8.tflite", "tflite").macs == weights
