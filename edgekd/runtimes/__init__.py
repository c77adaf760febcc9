"""How a model file is run: one small adapter a runtime, and how values are coded for it.

A runtime is one file and one row here. `edgekd.runtimes.session.Session` says what it gives.
"""

from __future__ import annotations

from edgekd.registry import Row, Table

RUNTIMES = Table(
    "runtime",
    [
        Row(
            "executorch",
            "edgekd.runtimes.executorch:load",
            "ExecuTorch programs with its Python runtime and XNNPACK kernels",
            extra="executorch",
        ),
        Row(
            "keras",
            "edgekd.runtimes.keras:load",
            "Keras files with Keras on PyTorch, for teachers",
            extra="keras",
        ),
        Row(
            "litert",
            "edgekd.runtimes.litert:load",
            "TFLite files with LiteRT and its XNNPACK kernels",
            extra="bench",
        ),
        Row(
            "onnxruntime",
            "edgekd.runtimes.onnxruntime:load",
            "ONNX files with onnxruntime's CPU provider",
            extra="bench",
        ),
        Row(
            "saved-model",
            "edgekd.runtimes.saved_model:load",
            "SavedModels with TensorFlow, for teachers",
            extra="tensorflow",
        ),
        Row(
            "torch",
            "edgekd.runtimes.torch:load",
            "the weights of a run with PyTorch itself",
            extra="train",
        ),
    ],
)
