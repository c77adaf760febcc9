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
            "executorch",
            "edgekd.export.executorch:ExecuTorchExporter",
            "ExecuTorch programs with XNNPACK, for apps that run PyTorch's own runtime",
            extra="executorch",
        ),
        Row(
            "keras",
            "edgekd.export.tensorflow:KerasExporter",
            "TFLite by TensorFlow's own converter, of a Keras model (.keras, .h5, or at hand)",
            extra="tensorflow",
        ),
        Row(
            "onnx",
            "edgekd.export.onnx:OnnxExporter",
            "ONNX, for onnxruntime and whatever else reads it",
            extra="onnx",
        ),
        Row(
            "savedmodel",
            "edgekd.export.tensorflow:SavedModelExporter",
            "TFLite by TensorFlow's own converter, of a SavedModel's folder",
            extra="tensorflow",
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
