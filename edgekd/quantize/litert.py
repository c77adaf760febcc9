"""TFLite files quantized with ai-edge-quantizer (AEQ)."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Sequence
from typing import Any

from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from edgekd.errors import ExportError
from edgekd.modelfile.flatbuffer import pack
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.flatbuffer import read
from edgekd.quantize.litert_ranges import Feed, tensor_ranges
from edgekd.quantize.schemes import FP16, INT8, INT8_DYNAMIC, INT8_WEIGHT_ONLY, Scheme

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
    calibration: Sequence[Feed] = (),
    method: CalibrationPlan | None = None,
    keep_float: Collection[int] = (),
) -> bytes:
    """Return a quantized copy of a float TFLite file; inner tensors have names without a meaning.

    Args:
        content: the float file.
        scheme: any that quantizes.
        signature: the signature to calibrate through.
        calibration: one feed (input name -> array) a batch; for ``int8``.
        method: how ranges are set of them; None: by the smallest and largest value.
        keep_float: places, in the main graph, of the operators that are not quantized.

    Raises:
        ExportError: the scheme is not one of these, or an activation is not finite.
    """
    return Quantizer(
        content, scheme, signature=signature, calibration=calibration, method=method
    ).quantize(keep_float)


class Quantizer:
    """Quantizes one float file, as often as needed, with ranges that are found once.

    Args:
        content: the float file.
        scheme: any that quantizes.
        signature: the signature to calibrate through.
        calibration: one feed (input name -> array) a batch; for ``int8``.
        method: how ranges are set of them; None: by the smallest and largest value.
        float_operators: kinds of operators that are never quantized, as ai-edge-quantizer calls
            them.
        float_input: the file takes float32, since its first operators stay in float.

    Raises:
        ExportError: the scheme is not one of these, or an activation is not finite.
    """

    def __init__(
        self,
        content: bytes,
        scheme: Scheme,
        *,
        signature: str,
        calibration: Sequence[Feed] = (),
        method: CalibrationPlan | None = None,
        float_operators: Sequence[str] = (),
        float_input: bool = False,
    ) -> None:
        """Name the tensors apart, and find their ranges where the scheme needs them."""
        self._content = _named_apart(content)
        self._scheme = scheme
        self._float_operators = tuple(float_operators)
        if float_input:
            self._float_operators += (_Op.INPUT.value,)
        self._ranges = None
        if scheme.calibrated:
            self._ranges = tensor_ranges(
                self._content,
                self._recipe(),
                signature,
                calibration,
                method or CalibrationPlan(),
            )

    def quantize(self, keep_float: Collection[int] = ()) -> bytes:
        """Return a quantized copy.

        Args:
            keep_float: places, in the main graph, of the operators that are not quantized.
        """
        manager = self._recipe()
        _leave_out(manager, self._content, keep_float)
        # It writes into the ranges that it is given.
        ranges = copy.deepcopy(self._ranges)
        found = quantizer.Quantizer(bytearray(self._content), manager.get_quantization_recipe())
        done = found.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        return bytes(done.quantized_model)

    def _recipe(self) -> recipe_manager.RecipeManager:
        manager = _recipe(self._scheme)
        for name in self._float_operators:
            manager.add_quantization_config(
                _ALL, _Op(name), algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
            )
        return manager


def _named_apart(content: bytes) -> bytes:
    """Return the file with a short name for every inner tensor, no two of them alike.

    Ranges and recipes go by names, and the converter gives a constant the name of an output when
    it feels like it.
    """
    model = read(content)
    for number, graph in enumerate(model.subgraphs):
        outer = {int(index) for index in (*graph.inputs, *graph.outputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in outer:
                tensor.name = tensor_name(number, index)
    return pack(model)


def tensor_name(graph: int, index: int) -> bytes:
    """Return what a tensor that is no input or output is called before and while quantized."""
    return f"t{graph}.{index}".encode()


def _leave_out(
    manager: recipe_manager.RecipeManager, content: bytes, keep_float: Collection[int]
) -> None:
    """Take operators out of a recipe, by the names of what they give."""
    if not keep_float:
        return
    model = tfl_flatbuffer_utils.read_model(content)
    graph = model.subgraphs[0]
    places: dict[Any, list[str]] = {}
    for place in sorted(keep_float):
        operator = graph.operators[place]
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        kind = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(code)
        if kind is not None:  # what it does not know it does not quantize
            scope = tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
            places.setdefault(kind, []).append(re.escape(scope))
    for kind, scopes in places.items():
        manager.add_quantization_config(
            f"^(?:{'|'.join(scopes)})$",
            kind,
            algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
        )


def _recipe(scheme: Scheme) -> recipe_manager.RecipeManager:
    manager = recipe_manager.RecipeManager()
    if scheme == INT8:
        manager.add_static_config(_ALL, _Op.ALL_SUPPORTED, _BITS, _BITS)
        for operator in _TENSORWISE_STATIC:
            manager.add_static_config(_ALL, operator, _BITS, _BITS, weight_granularity=_TENSORWISE)
        # Looking up has no kernel for integers out, and tables are what language models are made
        # of: they are stored in int8, and a row becomes float when it is read.
        manager.add_dynamic_config(_ALL, _Op.EMBEDDING_LOOKUP, _BITS, granularity=_TENSORWISE)
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
    elif scheme == INT8_WEIGHT_ONLY:
        manager.add_weight_only_config(_ALL, _Op.ALL_SUPPORTED, _BITS)
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
