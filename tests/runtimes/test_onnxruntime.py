"""onnxruntime on small graphs written out here, and on a published file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekd.errors import DataError, ModelFileError
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.onnxruntime import load


def _save(path: Path, operator: str, *, opset: int = 17, domain: str = "") -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=8
    )
    onnx.save(model, path)
    return path


def test_specs_and_a_run(tmp_path: Path) -> None:
    session = RUNTIMES.resolve("onnxruntime")(_save(tmp_path / "m.onnx", "Relu"), threads=1)
    assert session.inputs[0].model_dump(include={"name", "shape", "dtype"}) == {
        "name": "x",
        "shape": (None, 3),
        "dtype": "float32",
    }
    x = np.array([[-1, 0, 2], [3, -4, 5]], np.float32)
    assert session.run([x])[0].tolist() == [[0, 0, 2], [3, 0, 5]]
    assert session.runtime.startswith("onnxruntime ")


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    session = load(_save(tmp_path / "m.onnx", "Relu"))
    with pytest.raises(DataError, match="takes float32, float64 was given"):
        session.run([np.zeros((1, 3))])
    with pytest.raises(DataError, match=r"takes shape \(any, 3\)"):
        session.run([np.zeros((1, 4), np.float32)])


def test_unknown_operators_and_operator_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="NoSuchOp") as caught:
        load(_save(tmp_path / "a.onnx", "NoSuchOp", domain="my.domain"))
    assert caught.value.hint is not None and "operator" in caught.value.hint
    with pytest.raises(ModelFileError) as caught:
        load(_save(tmp_path / "b.onnx", "Relu", opset=999))
    assert caught.value.hint is not None and "upgrade onnxruntime" in caught.value.hint


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08nonsense")
    for name in ("bad.onnx", "missing.onnx"):
        with pytest.raises(ModelFileError, match="onnxruntime cannot load"):
            load(tmp_path / name)


def test_weights_listed_as_inputs_need_not_be_fed(data_root: Path) -> None:
    session = load(data_root / "ultraface" / "version-RFB-320.onnx")
    assert [spec.name for spec in session.inputs] == ["input"]
    outputs = session.run([np.zeros((1, 3, 240, 320), np.float32)])
    assert [y.shape for y in outputs] == [(1, 4420, 2), (1, 4420, 4)]
