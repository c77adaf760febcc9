"""What an ONNX file says of inputs and outputs that are integers, but stand for real numbers.

TFLite has a place for the scale and zero point of every tensor. ONNX has none for an input: edgekd
writes them into the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

#: Metadata: this and the tensor's name -> ``{"scale": 0.5, "zero_point": 128}``.
KEY = "edgekd.quantization."


def stated(metadata: Mapping[str, str], name: str) -> tuple[float, int] | None:
    """Return the scale and zero point that a file's metadata states for a tensor.

    Returns:
        None where it states nothing that can be read: files come from everywhere.
    """
    try:
        found = json.loads(metadata[f"{KEY}{name}"])
        scale, zero_point = float(found["scale"]), int(found["zero_point"])
    except (KeyError, TypeError, ValueError):
        return None
    return (scale, zero_point) if scale > 0 else None
