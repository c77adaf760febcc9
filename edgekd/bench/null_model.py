"""Model files that do nothing: what a runtime itself costs is measured with them.

Both add four zeros to a row of four floats: enough that the runtime loads, plans, makes its
threads and calls a kernel. They are operators of the first versions, so that every runtime that
edgekd knows takes them. They were written with the public schemas of TFLite and ONNX, by the
builder that stands in ``tests/bench/test_null_memory.py``, which holds them against it byte for
byte.
"""

from __future__ import annotations

from base64 import b64decode

_TFLITE = (
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAABAAAAARAEAAAMAAAACAAAALAAAAAwAAAAAAAYACAAEAAYA"
    "AAAEAAAAEAAAAAAAAAAAAAAAAAAAAAAAAADs/v//AQAAABAAAAAMABQAEAAMAAgABAAMAAAAEAAAAFAAAABUAAAA"
    "WAAAAAEAAAAUAAAAAAAOABQAAAAQAAwACwAEAA4AAAAQAAAAAAAACwwAAAAQAAAARP///wEAAAACAAAAAgAAAAAA"
    "AAABAAAAAQAAAAIAAAABAAAAAAAAAAMAAABoAAAANAAAAAQAAACw////CAAAAAwAAAABAAAAeQAAAAIAAAABAAAA"
    "BAAAAAwAEAAMAAAACAAEAAwAAAAMAAAAAQAAABAAAAAEAAAAemVybwAAAAABAAAABAAAAAwADAAIAAAAAAAEAAwA"
    "AAAIAAAADAAAAAEAAAB4AAAAAgAAAAEAAAAEAAAAAQAAAAgAAAAEAAQABAAAAA=="
)

_ONNX = (
    "CAcSADphChEKAXgKBHplcm8SAXkiA0FkZBIEbnVsbCocCAQQAUIEemVyb0oQAAAAAAAAAAAAAAAAAAAAAFoTCgF4"
    "Eg4KDAgBEggKAggBCgIIBGITCgF5Eg4KDAgBEggKAggBCgIIBEIECgAQDQ=="
)

_FILES = {"tflite": _TFLITE, "onnx": _ONNX}


def null_model(kind: str) -> bytes | None:
    """Return a file of the kind ``tflite`` or ``onnx``; None: there is none of another kind.

    >>> [len(null_model(kind) or b"") for kind in ("tflite", "onnx", "executorch")]
    [376, 109, 0]
    """
    text = _FILES.get(kind)
    return None if text is None else b64decode(text)
