"""Damaged and hostile bytes end in an error of ours, soon, whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgekd.errors import EdgekdError
from edgekd.modelfile import foreign, macs, mcu, npu
from edgekd.modelfile.graph import Graph
from edgekd.modelfile.precision import precisions
from edgekd.modelfile.reading import read
from edgekd.modelfile.weights import weigh
from tests.modelfile.onnx_files import convolution

ONNX = convolution().SerializeToString()

quick = settings(
    max_examples=60,
    deadline=5000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def everything(content: bytes) -> None:
    """Do with a file all that an inspection does."""
    try:
        graph = read(content)
    except EdgekdError:
        return
    _look(graph, content)


def _look(graph: Graph, content: bytes) -> None:
    macs.count(graph)
    weigh(graph)
    foreign.read(graph, content)
    for subgraph in graph.subgraphs:
        precisions(graph, subgraph)
        for tensor in subgraph.tensors:
            tensor.values()
    if graph.format == "tflite":
        npu.refused(graph)
        mcu.refused(graph)


@pytest.fixture(scope="module")
def tflite(data_root: Path) -> bytes:
    return (data_root / "mlperf_tiny" / "kws_ref_model_int8.tflite").read_bytes()


@quick
@given(length=st.floats(0, 1))
def test_cut_short(tflite: bytes, length: float) -> None:
    everything(tflite[: int(length * len(tflite))])
    everything(ONNX[: int(length * len(ONNX))])


@quick
@given(data=st.data())
def test_changed_bytes(tflite: bytes, data: st.DataObject) -> None:
    for content in (tflite, ONNX):
        changed = bytearray(content)
        # Weights are most of a file and say nothing: prefer its two ends, where the tables lie.
        ends = st.one_of(
            st.integers(0, len(content) - 1),
            st.integers(0, min(400, len(content) - 1)),
            st.integers(max(len(content) - 9000, 0), len(content) - 1),
        )
        for _ in range(data.draw(st.integers(1, 8))):
            changed[data.draw(ends)] = data.draw(
                st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 127, 128, 255]))
            )
        everything(bytes(changed))


@quick
@given(content=st.binary(max_size=200))
@example(content=b"\x00\x00\x00\x00TFL3")
@example(content=b"\x08\x00\x00\x00TFL3")
@example(content=b"")
def test_random_bytes(content: bytes) -> None:
    everything(content)
    everything(content[:4] + b"TFL3" + content[4:])


def test_what_is_damaged_is_named(tflite: bytes, tmp_path: Path) -> None:
    path = tmp_path / "half.tflite"
    path.write_bytes(tflite[: len(tflite) // 2])
    with pytest.raises(EdgekdError, match=r"half\.tflite is a damaged TFLite file"):
        read(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="cannot read"):
        read(tmp_path / "none.onnx")
