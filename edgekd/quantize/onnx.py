"""ONNX files quantized with onnxruntime's tools."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgekd.errors import ExportError
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.onnx_io import integer_io
from edgekd.quantize.onnx_ranges import tensor_ranges
from edgekd.quantize.onnx_size import store_tables, strip
from edgekd.quantize.profiles import Io
from edgekd.quantize.schemes import FP16, INT8, INT8_DYNAMIC, Scheme

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_ATTENTION = ("Softmax", "LayerNormalization")
_PRODUCTS = ["MatMul", "Gemm"]

#: x86 processors without VNNI add two products in 16 bits, where 255 * 127 * 2 does not fit: what
#: they compute then is wrong without a word (a MobileNetV3 kept 9 of 31 dB). Weights of 7 bits fit.
_SEVEN_BITS = True

#: Values below which a Cast costs more than half the weight saves.
_SMALLEST_HALVED = 64


def quantize(
    source: Path,
    destination: Path,
    scheme: Scheme,
    *,
    calibration: Iterable[dict[str, NDArray[Any]]] = (),
    method: CalibrationPlan | None = None,
    keep_float: Collection[str] = (),
    io: Io | None = None,
) -> tuple[str, ...]:
    """Write a quantized copy of a float ONNX file.

    Args:
        source: the float file.
        destination: where the copy goes.
        scheme: ``fp16``, ``int8`` or ``int8-dynamic``.
        calibration: one feed (input name -> array) a batch; for ``int8``.
        method: how ranges are set of them; None: by the smallest and largest value.
        keep_float: what the nodes that are not quantized give: names of tensors.
        io: the type of inputs and outputs of an ``int8`` file; None: float32.

    Returns:
        Notes for the manifest.

    Raises:
        ExportError: the scheme does not suit the network, or an activation is not finite.
    """
    with quantizer(source, scheme, calibration=calibration, method=method, io=io) as one:
        return one.quantize(destination, keep_float)


@contextlib.contextmanager
def quantizer(
    source: Path,
    scheme: Scheme,
    *,
    calibration: Iterable[dict[str, NDArray[Any]]] = (),
    method: CalibrationPlan | None = None,
    io: Io | None = None,
) -> Iterator[Quantizer]:
    """Give what quantizes one float file as often as needed; see `quantize`."""
    with _prepared(source, scheme) as prepared:
        ranges = None
        if scheme.calibrated:
            ranges = tensor_ranges(prepared, calibration, method or CalibrationPlan())
        yield Quantizer(prepared, ranges, scheme, io)


class Quantizer:
    """Quantizes one prepared file, with ranges that were found once; see `quantizer`."""

    def __init__(self, source: Path, ranges: Any, scheme: Scheme, io: Io | None) -> None:
        """Store what was prepared."""
        self._source, self._ranges, self._scheme, self._io = source, ranges, scheme, io
        graph = onnx.load(source).graph
        self._nodes = graph.node
        given = {value.name for value in graph.output}
        # A softmax that gives what the file gives makes probabilities, and is no attention.
        self._attention = any(
            node.op_type in _ATTENTION and not given & set(node.output) for node in graph.node
        )

    def quantize(self, destination: Path, keep_float: Collection[str] = ()) -> tuple[str, ...]:
        """Write a quantized copy, and return notes for the manifest.

        Args:
            destination: where it goes.
            keep_float: what the nodes that are not quantized give: names of tensors.
        """
        model, notes = self._quantized(destination, keep_float)
        strip(model)
        onnx.save(model, destination)
        return notes

    def _quantized(
        self, destination: Path, keep_float: Collection[str]
    ) -> tuple[Any, tuple[str, ...]]:
        """Return the quantized model and its notes; ``destination`` may be written meanwhile."""
        kept = [node.name for node in self._nodes if any(one in keep_float for one in node.output)]
        operators = Counter(node.op_type for node in self._nodes)
        if self._scheme == FP16:
            note = "weights are stored in float16 and computed with in float32: smaller, not faster"
            return _half(onnx.load(self._source), kept), (note,)
        if self._scheme == INT8:
            model, notes = _static(self._source, self._ranges, kept, attention=self._attention)
            if self._io is None or self._io == "float32":
                return model, notes
            return integer_io(model, self._io), (f"input and output are {self._io}", *notes[1:])
        if self._scheme == INT8_DYNAMIC:
            return _dynamic(self._source, destination, operators, kept)
        raise ExportError(f"ONNX files cannot be quantized by the scheme {self._scheme.name!r}")


def _half(model: Any, kept: Collection[str]) -> Any:
    """Store weights in float16, each behind a Cast to float32 that runtimes fold when they load.

    onnxruntime's own converter computes in float16: its graphs are not in topological order, and
    its CPU provider crashes on the layer normalisations in them (1.31).
    """
    graph, casts = model.graph, []
    left = {name for node in graph.node if node.name in kept for name in node.input}
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _SMALLEST_HALVED or weight.name in left:
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
    source: Path, ranges: Any, kept: Sequence[str], *, attention: bool
) -> tuple[Any, tuple[str, ...]]:
    # What onnxruntime's quantize_static does, with ranges that were found elsewhere.
    quantizer = QDQQuantizer(
        load_model_with_shape_infer(source),
        True,  # weights per channel
        _SEVEN_BITS,
        QuantType.QInt8,
        # x86 kernels for unsigned activations are two to three times as fast; Arm runs both.
        QuantType.QUInt8,
        ranges,
        [],
        list(kept),
        _PRODUCTS if attention else sorted({*QLinearOpsRegistry, *QDQRegistry}),
        {},
    )
    quantizer.quantize_model()
    tables = store_tables(quantizer.model.model, kept)
    quantizer.model.topological_sort()
    notes = [
        "input and output stay float32",
        "weights int8 (per channel, 7 bits), activations uint8",
    ]
    if attention:
        notes.append("attention: only MatMul and Gemm are quantized, the rest stays float32")
    if tables:
        notes.append("tables are stored in int8, and their rows become float32 when they are read")
    return quantizer.model.model, tuple(notes)


def _dynamic(
    source: Path, destination: Path, operators: Counter[str], kept: Sequence[str]
) -> tuple[Any, tuple[str, ...]]:
    if any(operators[name] for name in _CONVOLUTIONS):
        raise ExportError(
            "int8-dynamic makes convolutions 6 to 15 times slower in onnxruntime than float32",
            hint="Use --quantize int8, or --target tflite --quantize int8-dynamic.",
        )
    model = onnx.load(source)
    del model.graph.value_info[:]  # stale where a Gemm's weight is stored transposed
    onnx.save(model, source)
    quantize_dynamic(
        source,
        destination,
        per_channel=True,
        reduce_range=_SEVEN_BITS,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(kept),
    )
    note = "weights int8 (per channel); activations are quantized while running"
    return onnx.load(destination), (note,)


def _pre_process(source: Path, copy: Path) -> None:
    """Infer shapes and fold constants, symbolically where that works.

    Where it does not, onnxruntime leaves what it has, weights and all, in the working directory:
    so it works in the folder of the files.
    """
    source, copy = source.resolve(), copy.resolve()
    before = Path.cwd()
    os.chdir(source.parent)
    try:
        quant_pre_process(source, copy)
    except Exception:  # a bare Exception; symbolic shapes are what fails
        quant_pre_process(source, copy, skip_symbolic_shape=True)
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _prepared(source: Path, scheme: Scheme) -> Iterator[Path]:
    """Give a copy that is ready for the tools, for as long as it is needed.

    Shapes are inferred and constants folded; weights alone need neither. Every node has a name.
    """
    copy = source.with_suffix(".prepared.onnx")
    try:
        if scheme == FP16:
            copy.write_bytes(source.read_bytes())
        else:
            _pre_process(source, copy)
        model = onnx.load(copy)
        for place, node in enumerate(model.graph.node):
            node.name = f"{node.op_type}_{place}"
        onnx.save(model, copy)
        yield copy
    finally:
        copy.unlink(missing_ok=True)
