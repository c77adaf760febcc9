"""Which values the tensors of a float ONNX file take on calibration samples."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

from edgekd.errors import ExportError
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.ranges import Extent, chosen, extent_for

_ERRORS_ONLY = 3


def tensor_ranges(
    source: Path, feeds: Iterable[dict[str, NDArray[Any]]], plan: CalibrationPlan
) -> TensorsData:
    """Return the range of every float tensor that is computed, as onnxruntime's tools take it.

    onnxruntime's own calibration knows no squared error, and keeps all values of all samples for
    percentiles. What the file gives at the end keeps its smallest and largest value whatever the
    method; see `edgekd.quantize.litert_ranges`.

    Args:
        source: the float file, its shapes inferred.
        feeds: one (input name -> array) a batch.
        plan: the method.

    Raises:
        ExportError: a tensor becomes NaN, or an output infinite.
    """
    model = onnx.load(source)
    given = [value.name for value in model.graph.output]
    taken = [value.name for value in model.graph.input if _is_float(value)]
    known = {value.name for value in model.graph.value_info if _is_float(value)}
    inner = [
        name
        for node in model.graph.node
        for name in node.output
        if name in known and name not in given
    ]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
    options = ort.SessionOptions()
    # Fused away, a tensor could not be looked at.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    seen: dict[str, Extent] = {name: Extent() for name in given}
    seen |= {name: extent_for(plan) for name in (*taken, *inner)}
    for feed in feeds:
        outputs = session.run([*given, *inner], feed)
        values = dict(zip([*given, *inner], outputs, strict=True))
        values |= {name: feed[name] for name in taken}
        for name, extent in seen.items():
            _look(extent, name, values[name], is_output=name in given)
    ranges: dict[str, Any] = {
        name: tuple(np.asarray(side, np.float32) for side in chosen(extent, plan))
        for name, extent in seen.items()
    }
    return TensorsData(CalibrationMethod.MinMax, ranges)


def _look(extent: Extent, name: str, values: NDArray[Any], *, is_output: bool) -> None:
    try:
        if values.dtype.kind != "f":
            return
        if is_output and not np.isfinite(values).all():
            raise FloatingPointError
        extent.add(values)
    except FloatingPointError:
        raise ExportError(
            f"calibration: the tensor {name!r} becomes NaN or infinite",
            hint="The network overflows on the calibration samples; int8 cannot hold it.",
        ) from None


def _is_float(value: Any) -> bool:
    return bool(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT)
