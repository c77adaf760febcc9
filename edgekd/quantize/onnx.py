"""ONNX files quantized with onnxruntime's tools."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgekd.errors import ExportError
from edgekd.quantize.schemes import FP16, INT8, INT8_DYNAMIC, Scheme

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_ATTENTION = ("Softmax", "LayerNormalization")
_PRODUCTS = ["MatMul", "Gemm"]

#: Values below which a Cast costs more than half the weight saves.
_SMALLEST_HALVED = 64


def quantize(
    source: Path,
    destination: Path,
    scheme: Scheme,
    *,
    calibration: Iterable[dict[str, NDArray[Any]]] = (),
) -> tuple[str, ...]:
    """Write a quantized copy of a float ONNX file.

    Args:
        source: the float file.
        destination: where the copy goes.
        scheme: ``fp16``, ``int8`` or ``int8-dynamic``.
        calibration: one feed (input name -> array) a batch; for ``int8``.

    Returns:
        Notes for the manifest.

    Raises:
        ExportError: the scheme does not suit the network.
    """
    operators = Counter(node.op_type for node in onnx.load(source).graph.node)
    if scheme == FP16:
        onnx.save(_half(onnx.load(source)), destination)
        return ("weights are stored in float16 and computed with in float32: smaller, not faster",)
    if scheme == INT8:
        return _static(source, destination, operators, calibration)
    if scheme == INT8_DYNAMIC:
        return _dynamic(source, destination, operators)
    raise ExportError(f"ONNX files cannot be quantized by the scheme {scheme.name!r}")


def _half(model: Any) -> Any:
    """Store weights in float16, each behind a Cast to float32 that runtimes fold when they load.

    onnxruntime's own converter computes in float16: its graphs are not in topological order, and
    its CPU provider crashes on the layer normalisations in them (1.31).
    """
    graph, casts = model.graph, []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _SMALLEST_HALVED:
            continue
        if not (np.abs(values) <= np.finfo(np.float16).max).all():
            continue  # it would become infinite
        name = weight.name
        stored = f"{name}.float16"
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def _static(
    source: Path,
    destination: Path,
    operators: Counter[str],
    calibration: Iterable[dict[str, NDArray[Any]]],
) -> tuple[str, ...]:
    attention = any(operators[name] for name in _ATTENTION)
    with _prepared(source) as prepared:
        quantize_static(
            prepared,
            destination,
            _Feeds(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            # x86 kernels for unsigned activations are two to three times as fast; Arm runs both.
            activation_type=QuantType.QUInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=_PRODUCTS if attention else None,
        )
    notes = ["input and output stay float32; weights int8 (per channel), activations uint8"]
    if attention:
        notes.append("attention: only MatMul and Gemm are quantized, the rest stays float32")
    return tuple(notes)


def _dynamic(source: Path, destination: Path, operators: Counter[str]) -> tuple[str, ...]:
    if any(operators[name] for name in _CONVOLUTIONS):
        raise ExportError(
            "int8-dynamic makes convolutions 6 to 15 times slower in onnxruntime than float32",
            hint="Use --quantize int8, or --target tflite --quantize int8-dynamic.",
        )
    with _prepared(source) as prepared:
        quantize_dynamic(prepared, destination, per_channel=True, weight_type=QuantType.QInt8)
    return ("weights int8 (per channel); activations are quantized while running",)


@contextlib.contextmanager
def _prepared(source: Path) -> Iterator[Path]:
    """Give a copy with shapes inferred and constants folded, for as long as it is needed."""
    copy = source.with_suffix(".prepared.onnx")
    try:
        try:
            quant_pre_process(source, copy)
        except Exception:  # its own failure is a bare Exception; symbolic shapes are what fails
            quant_pre_process(source, copy, skip_symbolic_shape=True)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibration batches to onnxruntime, one by one."""

    def __init__(self, feeds: Iterable[dict[str, NDArray[Any]]]) -> None:
        self._feeds: Iterator[dict[str, NDArray[Any]]] = iter(feeds)

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        return next(self._feeds, None)
