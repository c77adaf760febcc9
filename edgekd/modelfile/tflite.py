"""TFLite files as graphs, straight from the flatbuffer; a damaged file is an error of ours.

Every length is held against the size of the file before anything is read: a changed byte can say
that a file of a few kilobytes holds four thousand million tensors.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import ModelFileError
from edgekd.modelfile.graph import (
    OMITTED,
    Graph,
    Operator,
    Quantization,
    Signature,
    Subgraph,
    Tensor,
)
from edgekd.modelfile.packed import unpacked
from edgekd.modelfile.tflite_bounded import Bounded, DamageError
from edgekd.modelfile.tflite_schema import blocks_of, enumerated, option_named, options_of

#: Options that name a subgraph that the operator runs.
_SUBGRAPH_OPTION = re.compile("(.*_)?subgraph(_index)?")


def read(content: bytes, *, name: str) -> Graph:
    """Return what a TFLite file holds.

    Args:
        content: the file.
        name: what to call it in an error.

    Raises:
        ModelFileError: it is damaged.
    """
    try:
        return _Reader(content).graph()
    except DamageError as damage:
        what = str(damage)
    except Exception as error:  # whatever unpacking random bytes raises
        what = f"{type(error).__name__}: {error}"
    raise ModelFileError(
        f"{name} is a damaged TFLite file: {what}", hint="Was the download or the copy cut short?"
    )


class _Reader:
    """Reads one file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._read = Bounded(len(content))
        self._model = schema.Model.GetRootAs(content, 0)
        self._codes = [
            self._code(code)
            for code in self._read.tables(
                self._model.OperatorCodesLength, self._model.OperatorCodes
            )
        ]
        self._buffers = list(self._read.tables(self._model.BuffersLength, self._model.Buffers))

    def graph(self) -> Graph:
        model = self._model
        subgraphs = tuple(
            self._subgraph(graph)
            for graph in self._read.tables(model.SubgraphsLength, model.Subgraphs)
        )
        if not subgraphs:
            raise DamageError("it holds no subgraph")
        _check_calls(subgraphs)
        return Graph(
            format="tflite",
            version=model.Version(),
            subgraphs=subgraphs,
            description=self._read.text(model.Description()),
            signatures=tuple(
                self._signature(one, subgraphs)
                for one in self._read.tables(model.SignatureDefsLength, model.SignatureDefs)
            ),
            metadata={
                self._read.text(entry.Name()): self._bytes(entry.Buffer())
                for entry in self._read.tables(model.MetadataLength, model.Metadata)
            },
            size_bytes=len(self._content),
        )

    def _code(self, code: Any) -> tuple[str, str, int]:
        """Return name, domain and version of an operator code."""
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            return self._read.text(code.CustomCode()) or "CUSTOM", "custom", code.Version()
        return enumerated("BuiltinOperator", number), "", code.Version()

    def _subgraph(self, graph: Any) -> Subgraph:
        tensors = tuple(self._tensors(graph))
        return Subgraph(
            name=self._read.text(graph.Name()),
            inputs=self._indexes(graph.InputsAsNumpy(), len(tensors)),
            outputs=self._indexes(graph.OutputsAsNumpy(), len(tensors)),
            operators=tuple(
                self._operator(index, operator, len(tensors))
                for index, operator in enumerate(
                    self._read.tables(graph.OperatorsLength, graph.Operators)
                )
            ),
            tensors=tensors,
        )

    def _indexes(self, values: Any, tensors: int, *, optional: bool = False) -> tuple[int, ...]:
        found = self._read.numbers(values)
        for index in found:
            if not (0 <= index < tensors or (optional and index == OMITTED)):
                raise DamageError(f"tensor {index} of {tensors} is named")
        return found

    def _operator(self, index: int, operator: Any, tensors: int) -> Operator:
        number = operator.OpcodeIndex()
        if number >= len(self._codes):
            raise DamageError(f"operator {index} is of kind {number} of {len(self._codes)}")
        name, domain, version = self._codes[number]
        options = {key: self._option(key, value) for key, value in options_of(operator).items()}
        called = [v for k, v in options.items() if _SUBGRAPH_OPTION.fullmatch(k)]
        return Operator(
            index=index,
            name=name,
            domain=domain,
            version=version,
            inputs=self._indexes(operator.InputsAsNumpy(), tensors, optional=True),
            outputs=self._indexes(operator.OutputsAsNumpy(), tensors),
            options=options,
            subgraphs=tuple(called),
        )

    def _option(self, key: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._read.numbers(value)
        if isinstance(value, bytes):
            return self._read.text(value)
        return option_named(key, value) if isinstance(value, int) else value

    def _tensors(self, graph: Any) -> list[Tensor]:
        blocks: dict[int, tuple[int, int]] = {}
        tensors = []
        for index, table in enumerate(self._read.tables(graph.TensorsLength, graph.Tensors)):
            tensors.append(self._tensor(table))
            details = blocks_of(table)
            if details is not None:
                blocks[index] = details
        for index, (scales, size) in blocks.items():
            tensors[index] = _with_blocks(tensors, index, scales, size)
        return tensors

    def _tensor(self, table: Any) -> Tensor:
        fixed = self._read.numbers(table.ShapeAsNumpy())
        signature = self._read.numbers(table.ShapeSignatureAsNumpy())
        number = table.Buffer()
        if number >= max(len(self._buffers), 1):
            raise DamageError(f"a tensor lies in buffer {number} of {len(self._buffers)}")
        dtype = enumerated("TensorType", table.Type()).lower()
        start, size = self._extent(number)
        sparse = table.Sparsity() is not None
        load = None
        if size and not sparse:
            part = memoryview(self._content)[start : start + size]
            load = partial(unpacked, part, dtype, fixed)
        return Tensor(
            name=self._read.text(table.Name()),
            dtype=dtype,
            shape=tuple(None if size < 0 else size for size in signature or fixed),
            fixed_shape=fixed,
            stored_bytes=size,
            storage=number if size else None,
            quantization=self._quantization(table.Quantization()),
            sparse=sparse,
            variable=bool(table.IsVariable()),
            load=load,
        )

    def _quantization(self, table: Any) -> Quantization | None:
        if table is None:
            return None
        scales = self._read.numbers(table.ScaleAsNumpy())
        if not scales:
            return None
        return Quantization(
            scales=scales,
            zero_points=self._read.numbers(table.ZeroPointAsNumpy()),
            axis=table.QuantizedDimension() if len(scales) > 1 else None,
        )

    def _extent(self, number: int) -> tuple[int, int]:
        """Return where in the file the bytes of a buffer lie, and how many they are."""
        if number >= len(self._buffers):
            return 0, 0
        buffer = self._buffers[number]
        size = buffer.DataLength()
        if size:
            table = buffer._tab
            start = table.Vector(table.Offset(4))
        else:  # data behind the tables, for files above 2 GB
            start, size = buffer.Offset(), buffer.Size()
            if start <= 1:
                return 0, 0
        if start + size > len(self._content):
            raise DamageError(f"buffer {number} ends behind the end of the file")
        return start, size

    def _bytes(self, number: int) -> bytes:
        start, size = self._extent(number)
        return self._content[start : start + self._read.charge(size)]

    def _signature(self, table: Any, subgraphs: tuple[Subgraph, ...]) -> Signature:
        number = table.SubgraphIndex()
        if number >= len(subgraphs):
            raise DamageError(f"a signature calls subgraph {number} of {len(subgraphs)}")
        sides = [
            {
                self._read.text(one.Name()): one.TensorIndex()
                for one in self._read.tables(length, item)
            }
            for length, item in (
                (table.InputsLength, table.Inputs),
                (table.OutputsLength, table.Outputs),
            )
        ]
        tensors = len(subgraphs[number].tensors)
        if any(index >= tensors for side in sides for index in side.values()):
            raise DamageError(f"a signature names a tensor beyond the {tensors} there are")
        return Signature(self._read.text(table.SignatureKey()), number, *sides)


def _check_calls(subgraphs: tuple[Subgraph, ...]) -> None:
    for subgraph in subgraphs:
        for operator in subgraph.operators:
            for number in operator.subgraphs:
                if not 0 <= number < len(subgraphs):
                    raise DamageError(f"{operator.name} calls subgraph {number}")


def _with_blocks(tensors: list[Tensor], index: int, scales: int, size: int) -> Tensor:
    if not 0 <= scales < len(tensors):
        raise DamageError(f"the scales of tensor {index} are tensor {scales} of {len(tensors)}")
    values = tensors[scales].values()
    found = () if values is None else tuple(float(value) for value in values.ravel())
    old = tensors[index].quantization
    return replace(
        tensors[index],
        quantization=Quantization(found, axis=old.axis if old else None, block=size),
    )
