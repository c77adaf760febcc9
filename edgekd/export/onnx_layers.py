"""Which layer of the network a node of an ONNX graph comes from."""

from __future__ import annotations

import ast
from typing import Any

from edgekd.export.layers import Layers

#: Where torch.onnx notes the modules around a node: paths, and the name of the operation.
_SCOPES = "pkg.torch.onnx.name_scopes"


def layers_of(proto: Any, layers: Layers) -> dict[str, str | None]:
    """Return the layer of every tensor that a node of the main graph gives; None: not known.

    Tensors keep their names when nodes are fused; nodes do not.

    A weight says best where a node comes from: a convolution with a normalisation folded into it
    bears the normalisation's name.

    Args:
        proto: a ModelProto as torch.onnx made it, with its notes.
        layers: of the network that it was made of.
    """
    weights = {one.name for one in proto.graph.initializer}
    found: dict[str, str | None] = {}
    for node in proto.graph.node:
        owners = [layers.layer_of_parameter(name) for name in node.input if name in weights]
        layer = next((owner for owner in owners if owner is not None), None)
        layer = layer or layers.layer_of(_path(node))
        found.update((name, layer) for name in node.output)
    return found


def _path(node: Any) -> str:
    for note in node.metadata_props:
        if note.key == _SCOPES:
            scopes = ast.literal_eval(note.value)
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return ""
