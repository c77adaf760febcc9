"""One graph for all formats: what a model file holds, as frozen data.

Operators name tensors by their index in ``Subgraph.tensors``, since names may be empty or occur
twice. Names of operators, versions and options are those of the format: ``CONV_2D`` version 3 with
``stride_h`` in TFLite, ``Conv`` with ``strides`` in ONNX. Element types are named alike in both:
``float32``, ``float16``, ``bfloat16``, ``int4``, ``int8``, ``uint8``, ``int64``, ``bool``,
``string``, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

Format = Literal["tflite", "onnx"]

#: What stands in ``Operator.inputs`` where an optional input is left out.
OMITTED = -1


@dataclass(frozen=True)
class Quantization:
    """How stored integers stand for real numbers: ``real = scale * (stored - zero_point)``.

    Attributes:
        scales: one for the tensor, or one for each index along ``axis``.
        zero_points: as many as scales; empty: all zero.
        axis: the axis that the scales run along; None: one scale for the whole tensor.
        block: elements along the axis of the block that share a scale; 0: no blocks.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...] = ()
    axis: int | None = None
    block: int = 0

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return len(self.scales) > 1 or self.block > 0


@dataclass(frozen=True)
class Tensor:
    """A value of the graph: an input, a weight, or what an operator gives.

    Attributes:
        name: as in the file; may be empty.
        dtype: type of the elements, as stored.
        shape: None where a size is free; None as a whole where it is not known.
        fixed_shape: the shape when nothing is resized: a free batch axis is 1. None: not known.
        stored_bytes: what the file holds of its values; 0 for what is computed.
        storage: equal for tensors that share their stored bytes; None: nothing is stored.
        quantization: None where the values are what they stand for.
        sparse: whether zeros are left out of what is stored.
        variable: whether it keeps its value from one inference to the next.
        external: whether its values stand in another file.
        load: reads the stored values.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    fixed_shape: tuple[int, ...] | None = None
    stored_bytes: int = 0
    storage: int | None = None
    quantization: Quantization | None = None
    sparse: bool = False
    variable: bool = False
    external: bool = False
    load: Callable[[], NDArray[Any] | None] | None = field(default=None, repr=False, compare=False)

    @property
    def constant(self) -> bool:
        """Whether its values are stored."""
        return self.storage is not None

    @property
    def elements(self) -> int | None:
        """The number of elements; None where the shape is not known."""
        return None if self.fixed_shape is None else prod(self.fixed_shape)

    def values(self) -> NDArray[Any] | None:
        """Return the stored values, shaped; None where there are none or they cannot be read."""
        return None if self.load is None else self.load()


@dataclass(frozen=True)
class Operator:
    """One step of a graph.

    Attributes:
        index: its place in ``Subgraph.operators``.
        name: e.g. ``CONV_2D`` (TFLite) or ``Conv`` (ONNX); of a custom operator, its own name.
        domain: ONNX's domain, "" for the standard one; ``custom`` for a custom TFLite operator.
        version: as the file states it; in ONNX that of the imported opset, 0 where none is.
        inputs: indexes of tensors, -1 where an optional one is left out.
        outputs: indexes of tensors, -1 where an optional one is left out.
        options: what the file says beside, by the format's own names in lower case; enumerations
            by name (``padding="SAME"``), graphs in it left out.
        label: the node's name in ONNX; "" in TFLite, which has none.
        subgraphs: indexes of the subgraphs that it runs (branches, bodies of loops).
    """

    index: int
    name: str
    domain: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    subgraphs: tuple[int, ...] = ()

    @property
    def custom(self) -> bool:
        """Whether no standard runtime knows it by itself."""
        return self.domain not in ("", "ai.onnx")


@dataclass(frozen=True)
class Subgraph:
    """Operators in the order in which they run, and the tensors they work on.

    Attributes:
        name: as in the file.
        inputs: indexes of tensors; in ONNX without those that stand in the file as weights.
        outputs: indexes of tensors.
        operators: in the order of the file.
        tensors: all of them.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]

    def of(self, indexes: tuple[int, ...]) -> tuple[Tensor | None, ...]:
        """Return the tensors of these indexes; None where one is left out."""
        return tuple(self.tensors[index] if index >= 0 else None for index in indexes)

    def inputs_of(self, operator: Operator) -> tuple[Tensor | None, ...]:
        """Return what goes into an operator; None where an optional input is left out."""
        return self.of(operator.inputs)

    def outputs_of(self, operator: Operator) -> tuple[Tensor | None, ...]:
        """Return what comes out of an operator; None where an optional output is left out."""
        return self.of(operator.outputs)


@dataclass(frozen=True)
class Signature:
    """A named way to call a TFLite file: names of inputs and outputs -> indexes of tensors."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class Graph:
    """A model file.

    Attributes:
        format: ``tflite`` or ``onnx``.
        version: of the format: TFLite's schema version, ONNX's IR version.
        subgraphs: the first is the one that runs; the others are called by operators.
        opsets: domain -> version; ONNX only. The standard domain is "".
        description: free text of whoever made the file.
        producer: the tool that made it and its version, where the file says so.
        signatures: TFLite's named entry points.
        metadata: names and raw values of what else stands in the file.
        size_bytes: of the file, without what it keeps in other files.
        remarks: what is odd about it, each as a sentence for people.
    """

    format: Format
    version: int
    subgraphs: tuple[Subgraph, ...]
    opsets: Mapping[str, int] = field(default_factory=dict)
    description: str = ""
    producer: str = ""
    signatures: tuple[Signature, ...] = ()
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    size_bytes: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def main(self) -> Subgraph:
        """The subgraph that runs."""
        return self.subgraphs[0]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What the file takes, in its order."""
        return tuple(self.main.tensors[index] for index in self.main.inputs)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What the file gives, in its order."""
        return tuple(self.main.tensors[index] for index in self.main.outputs)

    def walk(self) -> Iterator[tuple[Subgraph, Operator]]:
        """Iterate over the operators of all subgraphs, each with its subgraph."""
        for subgraph in self.subgraphs:
            for operator in subgraph.operators:
                yield subgraph, operator
