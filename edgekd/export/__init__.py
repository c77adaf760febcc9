"""Export: a network becomes a file, and the file is proved against it; `edgekd.export(...)`.

A target is one file and one row here. `edgekd.export.exporter.Exporter` says what it gives.
"""

from __future__ import annotations

from edgekd.registry import Row, Table
from edgekd.verbs import make_callable

TARGETS = Table(
    "target",
    [
        Row(
            "onnx",
            "edgekd.export.onnx:OnnxExporter",
            "ONNX, for onnxruntime and whatever else reads it",
            extra="onnx",
        ),
        Row(
            "tflite",
            "edgekd.export.tflite:TFLiteExporter",
            "TFLite (LiteRT), for phones, boards and microcontrollers",
            extra="tflite",
        ),
    ],
)

make_callable(__name__, "edgekd.export.stage:export")
