"""Model files as networks: real files, layouts, fixed batches, pixels, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import ModelError
from edgekd.models.weights import state_sha256
from edgekd.records import TensorSpec
from edgekd.runtimes.module import load_module, with_layout

RNG = np.random.default_rng(0)
WEIGHTS = RNG.standard_normal((12, 5), dtype=np.float32)


def linear(
    path: Path, shape: list[int | str], *, outputs: int = 1, dtype: int = TensorProto.FLOAT
) -> Path:
    """Write an ONNX file that flattens 12 values and multiplies them with `WEIGHTS`."""
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"], axis=1),
        *(helper.make_node("MatMul", ["flat", "w"], [f"y{n}"]) for n in range(outputs)),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [
            helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, [shape[0], 5])
            for n in range(outputs)
        ],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def load(path: Path, shape: tuple[int, ...], outputs: int = 5) -> torch.nn.Module:
    return load_module(path, sample_shape=shape, outputs=outputs, where="teacher[0]")


def test_channels_first_and_last(tmp_path: Path) -> None:
    x = torch.from_numpy(RNG.standard_normal((3, 3, 2, 2), dtype=np.float32))
    first = load(linear(tmp_path / "first.onnx", ["n", 3, 2, 2]), (3, 2, 2))
    last = load(linear(tmp_path / "last.onnx", ["n", 2, 2, 3]), (3, 2, 2))
    np.testing.assert_allclose(first(x), x.flatten(1).numpy() @ WEIGHTS, rtol=1e-5)
    wanted = x.permute(0, 2, 3, 1).flatten(1).numpy() @ WEIGHTS
    np.testing.assert_allclose(last(x), wanted, rtol=1e-5)
    assert not list(first.parameters())
    assert [name for name, _ in first.named_modules()] == [""]


def test_a_fixed_batch_is_run_in_pieces(tmp_path: Path) -> None:
    module = load(linear(tmp_path / "m.onnx", [4, 12]), (12,))
    x = torch.from_numpy(RNG.standard_normal((10, 12), dtype=np.float32))
    np.testing.assert_allclose(module(x), x.numpy() @ WEIGHTS, rtol=1e-5)
    assert module(x[:1]).shape == (1, 5)


def test_pixels_are_rounded_for_whole_number_inputs(tmp_path: Path) -> None:
    module = load(linear(tmp_path / "m.onnx", ["n", 12], dtype=TensorProto.UINT8), (12,))
    x = torch.from_numpy(RNG.uniform(-3, 260, (4, 12)).astype(np.float32))
    wanted = x.round().clamp(0, 255).numpy() @ WEIGHTS
    np.testing.assert_allclose(module(x), wanted, rtol=1e-5)


def test_two_files_are_two_networks(tmp_path: Path) -> None:
    one = load(linear(tmp_path / "a.onnx", ["n", 12]), (12,))
    same = load(linear(tmp_path / "b.onnx", ["n", 12]), (12,))
    other = load(linear(tmp_path / "c.onnx", [4, 12]), (12,))
    assert state_sha256(one) == state_sha256(same) != state_sha256(other)


def test_what_does_not_fit_is_refused_with_the_key_to_set(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx", ["n", 3, 2, 2])
    with pytest.raises(ModelError, match=r"samples of shape \(3, 2, 2\)") as caught:
        load(path, (1, 2, 2))
    assert "teacher[0].input.transforms" in str(caught.value.hint)
    with pytest.raises(ModelError, match=r"gives \(5\) a sample; \(10\) is needed") as caught:
        load(path, (3, 2, 2), outputs=10)
    assert "teacher[0].classes" in str(caught.value.hint)
    with pytest.raises(ModelError, match="2 outputs of 5 values"):
        load(linear(tmp_path / "two.onnx", ["n", 12], outputs=2), (12,))


def test_layouts_that_both_fit_go_by_the_format() -> None:
    spec = TensorSpec(name="x", shape=(None, None, None, None), dtype="float32")
    for last, layout in ((True, "nhwc"), (False, "nchw")):
        found = with_layout(spec, (3, 8, 8), last)
        assert found is not None and found.layout == layout
    known = spec.model_copy(update={"layout": "nchw"})
    assert with_layout(known, (3, 8, 8), True) == known


def test_real_quantized_file_agrees_with_its_float_version(data_root: Path) -> None:
    folder = data_root / "mlperf_tiny"
    real, quantized = (
        load(folder / f"ic_pretrainedResnet_{kind}.tflite", (3, 32, 32), 10)
        for kind in ("fp32", "int8")
    )
    x = torch.from_numpy(RNG.uniform(0, 255, (8, 3, 32, 32)).astype(np.float32))
    assert (real(x) - quantized(x)).abs().max() < 0.2
    assert quantized.tolerance == pytest.approx(0.01 + 5 / 256)
