"""Inspection of ExecuTorch programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from edgekd.errors import ModelFileError
from edgekd.modelfile.executorch import Port, Program, read, stored_constants
from edgekd.modelfile.metadata import KEY, parsed
from edgekd.records import TensorSpec
from edgekd.records_modelfile import (
    FileMetadata,
    Inspection,
    OperatorDetail,
    OperatorKind,
    QuantizationFound,
)
from edgekd.storage import sha256_bytes

_FLOATS = ("float32", "float16", "bfloat16", "float64")
_SMALL = ("int8", "uint8", "int4")

#: XNNPACK's operators that turn one type into another: they are no layers.
_BETWEEN = "Convert"


def inspection(path: Path, *, operators: bool = False) -> Inspection:
    """Say what a program is; MACs are not counted.

    Args:
        path: the file.
        operators: list every operator.

    Raises:
        ModelFileError: it is damaged.
    """
    content = path.read_bytes()
    program = read(content, name=str(path))
    warnings: list[str] = []
    told = _metadata(program, path, warnings)
    stored = list(stored_constants(program))
    sizes = Counter[str]()
    for constant, size in stored:
        sizes[constant.dtype] += size
    weights = sum(sizes.values())
    return Inspection(
        path=str(path),
        format="executorch",
        format_version=program.version,
        size_bytes=len(content),
        sha256=sha256_bytes(content),
        description=_parts(program),
        inputs=_ports(program.inputs, told.inputs if told else (), "input"),
        outputs=_ports(program.outputs, told.outputs if told else (), "output"),
        kinds=_kinds(program),
        parameters=sum(constant.elements for constant, _ in stored),
        weight_bytes=weights,
        other_bytes=max(len(content) - weights, 0),
        quantization=_quantization(program, sizes),
        metadata=told,
        labels=told.labels if told else (),
        operators=tuple(_operators(program)) if operators else (),
        warnings=tuple(warnings),
    )


def _metadata(program: Program, path: Path, warnings: list[str]) -> FileMetadata | None:
    text = program.texts.get(KEY)
    if text is None:
        return None
    try:
        return parsed(text, name=str(path))
    except ModelFileError as error:  # the rest of the file is worth seeing all the same
        warnings.append(error.message)
        return None


def _ports(found: Iterable[Port], told: Iterable[TensorSpec], side: str) -> tuple[TensorSpec, ...]:
    """Return what the program takes or gives, under the names and with the scales it tells."""
    specs = []
    for number, (port, known) in enumerate(zip_longest(found, told)):
        if port is None:
            break
        plain = TensorSpec(name=f"{side}_{number}", shape=port.shape, dtype=port.dtype)
        if known is not None:
            fields = {name: getattr(known, name) for name in TensorSpec.model_fields}
            plain = TensorSpec(**fields | {"dtype": port.dtype})
        specs.append(plain)
    return tuple(specs)


def _parts(program: Program) -> str:
    """Say who runs the program: its delegates, and ExecuTorch's own kernels."""
    backends = Counter(delegate.backend for delegate in program.delegates)
    parts = [f"{count} run by {name}" for name, count in sorted(backends.items())]
    return f"{', '.join(parts) or 'no delegate'}; {len(program.kernels)} calls of other kernels"


def _operators(program: Program) -> Iterator[OperatorDetail]:
    """Yield kernels first, then the operators of each delegate: a program is no one list."""
    rows = [(0, node.name, node.dtype) for node in program.kernels]
    for number, delegate in enumerate(program.delegates, start=1):
        rows += [(number, node.name, node.dtype) for node in delegate.nodes]
    for index, (part, name, dtype) in enumerate(rows):
        precision = "" if not dtype else "float" if dtype in _FLOATS else "integer"
        yield OperatorDetail(index=index, subgraph=part, name=name, version=0, precision=precision)


def _kinds(program: Program) -> tuple[OperatorKind, ...]:
    count, floating = Counter[str](), Counter[str]()
    for one in _operators(program):
        count[one.name] += 1
        floating[one.name] += one.precision == "float" and one.name != _BETWEEN
    rows = [OperatorKind(name=name, count=n, floating=floating[name]) for name, n in count.items()]
    return tuple(sorted(rows, key=lambda row: (-row.count, row.name)))


def _quantization(program: Program, sizes: Counter[str]) -> QuantizationFound:
    delegated = (node for one in program.delegates for node in one.nodes)
    nodes = [node for node in (*program.kernels, *delegated) if node.name != _BETWEEN]
    floating = Counter(node.name for node in nodes if node.dtype in _FLOATS)
    integer = sum(node.dtype in _SMALL for node in nodes)
    scheme = "none" if not integer else "mixed" if floating else "int8"
    return QuantizationFound(
        scheme=scheme,
        floating=dict(floating.most_common()),
        integer=integer,
        weight_bytes=dict(sizes.most_common()),
    )
