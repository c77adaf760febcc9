"""TFLite files quantized with ai-edge-quantizer (AEQ)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import qsv_utils
from numpy.typing import NDArray

from edgekd.errors import ExportError
from edgekd.quantize.schemes import FP16, INT8, INT8_DYNAMIC, Scheme

_Op = qtyping.TFLOperationName
_TENSORWISE = qtyping.QuantGranularity.TENSORWISE
_ALL = ".*"
_BITS = 8

#: One scale a tensor, because kernels of older runtimes read only the first of many: with one
#: scale a channel they load the file and compute garbage.
_TENSORWISE_STATIC = (_Op.FULLY_CONNECTED, _Op.BATCH_MATMUL)
_TENSORWISE_DYNAMIC = (*_TENSORWISE_STATIC, _Op.EMBEDDING_LOOKUP)


def quantize(
    content: bytes,
    scheme: Scheme,
    *,
    signature: str,
    calibration: Sequence[dict[str, NDArray[Any]]] = (),
) -> bytes:
    """Return a quantized copy of a float TFLite file.

    Args:
        content: the float file.
        scheme: ``fp16``, ``int8`` or ``int8-dynamic``.
        signature: the signature to calibrate through.
        calibration: one feed (input name -> array) a sample; for ``int8``.

    Raises:
        ExportError: the scheme is not one of these, or an activation is not finite.
    """
    manager = _recipe(scheme)
    ranges = _ranges(content, manager, signature, calibration) if scheme.calibrated else None
    quantized = quantizer.Quantizer(bytearray(content), manager.get_quantization_recipe()).quantize(
        ranges, enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(quantized.quantized_model)


def _recipe(scheme: Scheme) -> recipe_manager.RecipeManager:
    manager = recipe_manager.RecipeManager()
    if scheme == INT8:
        manager.add_static_config(_ALL, _Op.ALL_SUPPORTED, _BITS, _BITS)
        for operator in _TENSORWISE_STATIC:
            manager.add_static_config(_ALL, operator, _BITS, _BITS, weight_granularity=_TENSORWISE)
    elif scheme == INT8_DYNAMIC:
        manager.add_dynamic_config(_ALL, _Op.ALL_SUPPORTED, _BITS)
        for operator in _TENSORWISE_DYNAMIC:
            manager.add_dynamic_config(_ALL, operator, _BITS, granularity=_TENSORWISE)
        # Its kernels for this scheme are wrong or missing in older runtimes.
        manager.add_quantization_config(
            _ALL,
            _Op.DEPTHWISE_CONV_2D,
            algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
        )
    elif scheme == FP16:
        manager.add_quantization_config(
            _ALL,
            _Op.ALL_SUPPORTED,
            qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(
                    num_bits=16, dtype=qtyping.TensorDataType.FLOAT
                ),
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            algorithm_manager.AlgorithmName.FLOAT_CASTING,
        )
    else:
        raise ExportError(f"TFLite files cannot be quantized by the scheme {scheme.name!r}")
    return manager


def _ranges(
    content: bytes,
    manager: recipe_manager.RecipeManager,
    signature: str,
    feeds: Sequence[dict[str, NDArray[Any]]],
) -> dict[str, Any]:
    """Run the samples through and return the smallest and largest value of every tensor.

    AEQ's own default is a moving average of both, which clips whatever is rare.
    """
    found = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    found.calibrate({signature: list(feeds)}, manager)
    ranges: dict[str, Any] = found.get_model_qsvs()
    for name, values in ranges.items():
        if not all(np.isfinite(values[side]).all() for side in ("min", "max") if side in values):
            raise ExportError(
                f"calibration: the tensor {name!r} becomes NaN or infinite",
                hint="The network overflows on the calibration samples; int8 cannot hold it.",
            )
    return ranges
