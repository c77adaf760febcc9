"""Which layer of the network an operator of a TFLite file comes from."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from edgekd.export.layers import Layers
from edgekd.quantize.flatbuffer import read

_MARK = "layer/"
_MARKED = re.compile(rf"{_MARK}([^;]*);")


@contextlib.contextmanager
def named_by_path() -> Iterator[None]:
    """Have the converter name tensors by the path of the module that they come from.

    By itself it names them by classes, and leaves out the lists that modules stand in: two lists
    of layers of the same class cannot be told apart.
    """
    from litert_torch.backend import debuginfo

    before = debuginfo.build_mlir_debuginfo
    debuginfo.build_mlir_debuginfo = _path_of
    try:
        yield
    finally:
        debuginfo.build_mlir_debuginfo = before


def _path_of(node: Any) -> str | None:
    stack = node.meta.get("nn_module_stack", {})
    if not stack:
        return None
    return f"{_MARK}{[path for path, _ in stack.values()][-1]};"


def layers_of(content: bytes, layers: Layers) -> list[str | None]:
    """Return the layer of every operator of the main graph; None where it is not known.

    Where operators were fused the converter joins their names; the last one is the operator that
    computes most: the convolution in front of a normalisation and a ReLU. Outputs of the file have
    names of their own; their operators are known by their weights, or else taken for the network's
    own.

    Args:
        content: the file, converted under `named_by_path`.
        layers: of the network; its model is an attribute ``model`` of what was converted.
    """
    model = read(content)
    graph = model.subgraphs[0]
    given = {int(index) for index in graph.outputs}
    found: list[str | None] = []
    for operator in graph.operators:
        tensors = [index for index in operator.inputs if index >= 0]
        weights = [
            index
            for index in tensors
            if model.buffers[graph.tensors[index].buffer].data is not None
            and len(graph.tensors[index].shape) > 1
        ]
        names = [graph.tensors[index].name for index in (*weights, *operator.outputs)]
        layer = next((one for one in map(_layer(layers), names) if one is not None), None)
        gives = any(int(index) in given for index in operator.outputs)
        found.append(layers.root if layer is None and gives else layer)
    return found


def _layer(layers: Layers) -> Any:
    def of(name: bytes) -> str | None:
        paths = _MARKED.findall(name.decode(errors="replace"))
        return layers.layer_of(paths[-1].removeprefix("model").lstrip(".")) if paths else None

    return of
