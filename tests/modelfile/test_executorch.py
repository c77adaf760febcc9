"""ExecuTorch programs read without ExecuTorch.

``programs/small-int8.pte`` was exported by edgekd with ExecuTorch 1.5.1: the network ``Small`` of
``tests/export/test_executorch.py``, quantized, with int8 inputs and outputs.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgekd
from edgekd.errors import ModelFileError
from edgekd.modelfile import metadata
from edgekd.modelfile.executorch import Port, read

PATH = Path(__file__).parent / "programs" / "small-int8.pte"
CONTENT = PATH.read_bytes()

#: A convolution of 3x3 from 3 to 8 channels, a dense layer from 8 to 5; the norm is folded in.
WEIGHTS, BIASES = 3 * 3 * 3 * 8 + 8 * 5, 8 + 5


def test_what_a_program_holds() -> None:
    program = read(CONTENT)
    assert program.inputs == (Port("int8", (1, 3, 8, 8)),)
    assert program.outputs == (Port("int8", (1, 5)),)
    assert program.kernels == ()
    (delegate,) = program.delegates
    assert delegate.backend == "XnnpackBackend"
    kinds = Counter(node.name for node in delegate.nodes)
    assert (kinds["Conv2d"], kinds["FullyConnected"]) == (1, 1)
    assert {node.dtype for node in delegate.nodes} == {"int8"}
    stored = Counter[str]()
    for constant in delegate.constants:
        stored[constant.dtype] += constant.elements
        # A type of b bytes fills b bytes an element, in the data stored by name.
        width = {"int8": 1, "int32": 4}[constant.dtype]
        assert program.named[constant.key] == width * constant.elements
    assert stored == {"int8": WEIGHTS, "int32": BIASES}


def test_an_inspection_says_it() -> None:
    found = edgekd.inspect(PATH, operators=True)
    assert (found.format, found.size_bytes) == ("executorch", len(CONTENT))
    assert [(port.name, port.dtype, port.layout) for port in (*found.inputs, *found.outputs)] == [
        ("input", "int8", "nchw"),
        ("logits", "int8", None),
    ]
    assert found.inputs[0].scale is not None and found.inputs[0].scale > 0
    assert found.parameters == WEIGHTS + BIASES
    assert found.quantization is not None
    assert found.quantization.weight_bytes == {"int8": WEIGHTS, "int32": 4 * BIASES}
    assert found.quantization.scheme == "int8"
    assert found.labels == ("a", "b", "c", "d", "e")
    assert found.metadata is not None and found.metadata.licence == "CC0-1.0"
    assert sum(kind.count for kind in found.kinds) == len(found.operators)


def test_metadata_is_read_and_cannot_be_written(tmp_path: Path) -> None:
    found = metadata.read(PATH)
    assert found is not None and found.model == "small"
    path = tmp_path / "model.pte"
    path.write_bytes(CONTENT)
    with pytest.raises(ModelFileError, match="nothing can be written into"):
        metadata.write(path, found)
    assert path.read_bytes() == CONTENT


def test_metadata_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "model.pte"
    path.write_bytes(CONTENT.replace(b'"licence":', b'"license":'))
    found = edgekd.inspect(path)
    assert found.metadata is None
    assert "metadata cannot be read" in found.warnings[0]
    assert found.parameters == WEIGHTS + BIASES


@settings(max_examples=150, deadline=5000)
@given(places=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=12))
def test_changed_bytes_end_in_an_error_of_ours(places: list[tuple[float, int]]) -> None:
    content = bytearray(CONTENT)
    for place, value in places:
        content[int(place * len(content))] = value
    try:
        read(bytes(content))
    except ModelFileError as error:
        assert "damaged ExecuTorch program" in error.message


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9])
def test_a_program_that_was_cut_short(share: float) -> None:
    with pytest.raises(ModelFileError, match="damaged ExecuTorch program"):
        read(CONTENT[: int(share * len(CONTENT))], name="it")
