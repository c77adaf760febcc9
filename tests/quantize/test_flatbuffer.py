"""Compact TFLite files compute the same, on files that other people made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekd.quantize.flatbuffer import compact, float_operators, read
from edgekd.runtimes.litert import load

FILES = ["ic_pretrainedResnet_fp32", "ic_pretrainedResnet_int8", "kws_ref_model_int8", "ad01_int8"]


@pytest.fixture(params=FILES)
def original(request: pytest.FixtureRequest, data_root: Path) -> Path:
    return data_root / "mlperf_tiny" / f"{request.param}.tflite"


def test_the_same_numbers_from_fewer_bytes(original: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.tflite"
    small.write_bytes(compact(original.read_bytes()))
    assert small.stat().st_size < original.stat().st_size
    before, after = load(original), load(small)
    assert before.inputs == after.inputs
    assert before.outputs == after.outputs
    spec = before.inputs[0]
    shape = tuple(size or 1 for size in spec.shape)
    generator = np.random.default_rng(0)
    for _ in range(5):
        x = generator.standard_normal(shape) * (1 if spec.dtype == "float32" else 40)
        x = x.astype(spec.dtype)
        for one, other in zip(before.run([x]), after.run([x]), strict=True):
            assert np.array_equal(one, other)


def test_buffers_are_aligned_as_the_schema_demands(original: Path) -> None:
    model = schema.Model.GetRootAs(compact(original.read_bytes()))
    offsets = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            offsets.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert offsets
    assert all(offset % 16 == 0 for offset in offsets)


def test_only_names_of_inputs_and_outputs_stay(original: Path) -> None:
    model = read(compact(original.read_bytes()))
    for graph in model.subgraphs:
        ends = {*graph.inputs, *graph.outputs}
        named = {i for i, tensor in enumerate(graph.tensors) if tensor.name}
        assert named == ends


def test_compacting_twice_changes_nothing(original: Path) -> None:
    once = compact(original.read_bytes())
    assert compact(once) == once


def test_operators_that_stay_in_float_are_counted(data_root: Path) -> None:
    folder = data_root / "mlperf_tiny"
    names, total = float_operators((folder / "ad01_int8.tflite").read_bytes())
    assert names == ()
    # An autoencoder of ten fully connected layers.
    assert total == 10
    names, total = float_operators((folder / "ad01_fp32.tflite").read_bytes())
    assert names == ("FULLY_CONNECTED",) * 10
    assert total == 10
