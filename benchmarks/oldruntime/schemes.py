"""Every way that ai-edge-quantizer has of making a float TFLite file smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

_ALL = ".*"
_ANY = qtyping.TFLOperationName.ALL_SUPPORTED
_WISE = qtyping.QuantGranularity
Manager = recipe_manager.RecipeManager


def _static(weights: int, values: int, wise: _WISE) -> Callable[[Manager], None]:
    return lambda m: m.add_static_config(_ALL, _ANY, values, weights, weight_granularity=wise)


def _dynamic(bits: int, wise: _WISE) -> Callable[[Manager], None]:
    return lambda m: m.add_dynamic_config(_ALL, _ANY, bits, granularity=wise)


def _weights(bits: int, wise: _WISE) -> Callable[[Manager], None]:
    return lambda m: m.add_weight_only_config(_ALL, _ANY, bits, granularity=wise)


def _halves(manager: Manager) -> None:
    manager.add_quantization_config(
        _ALL,
        _ANY,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )


SCHEMES: dict[str, Callable[[Manager], None]] = {
    "fp16": _halves,
    "int8 per channel": _static(8, 8, _WISE.CHANNELWISE),
    "int8 per tensor": _static(8, 8, _WISE.TENSORWISE),
    "int16x8 per channel": _static(8, 16, _WISE.CHANNELWISE),
    "int16x8 per tensor": _static(8, 16, _WISE.TENSORWISE),
    "int8-dynamic per channel": _dynamic(8, _WISE.CHANNELWISE),
    "int8-dynamic per tensor": _dynamic(8, _WISE.TENSORWISE),
    "int8-weight-only per channel": _weights(8, _WISE.CHANNELWISE),
    "int8-weight-only per tensor": _weights(8, _WISE.TENSORWISE),
    "int4 per channel": _static(4, 8, _WISE.CHANNELWISE),
    "int4 per tensor": _static(4, 8, _WISE.TENSORWISE),
    "int4x16 per channel": _static(4, 16, _WISE.CHANNELWISE),
    "int4-dynamic per channel": _dynamic(4, _WISE.CHANNELWISE),
    "int4-dynamic per tensor": _dynamic(4, _WISE.TENSORWISE),
    "int4-dynamic per block": _dynamic(4, _WISE.BLOCKWISE_32),
    "int4-weight-only per channel": _weights(4, _WISE.CHANNELWISE),
    "int4-weight-only per tensor": _weights(4, _WISE.TENSORWISE),
    "int2-dynamic per channel": _dynamic(2, _WISE.CHANNELWISE),
}


def quantized(content: bytes, scheme: str, feeds: list[dict[str, Any]], signature: str) -> bytes:
    """Return a quantized copy of a float TFLite file.

    Raises:
        Exception: whatever the quantizer raises for what it cannot do.
    """
    manager = recipe_manager.RecipeManager()
    SCHEMES[scheme](manager)
    ranges = None
    if manager.need_calibration():
        found = calibrator.Calibrator(
            content, num_threads=1, qsv_update_func=qsv_utils.min_max_update
        )
        found.calibrate({signature: feeds}, manager)
        ranges = found.get_model_qsvs()
    made = quantizer.Quantizer(bytearray(content), manager.get_quantization_recipe()).quantize(
        ranges, enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(made.quantized_model)
