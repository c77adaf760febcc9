"""Which values the tensors of a float TFLite file take on calibration samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, recipe_manager
from ai_edge_quantizer.utils import qsv_utils
from numpy.typing import NDArray

from edgekd.errors import ExportError
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.flatbuffer import read
from edgekd.quantize.ranges import Extent, chosen, extent_for

Feed = dict[str, NDArray[Any]]


def tensor_ranges(
    content: bytes,
    manager: recipe_manager.RecipeManager,
    signature: str,
    feeds: Sequence[Feed],
    plan: CalibrationPlan,
) -> dict[str, Any]:
    """Return the range of every tensor that the recipe quantizes, as ai-edge-quantizer takes it.

    Its calibrator says which tensors these are. Its own way of finding ranges is a moving average
    of minima and maxima, which clips whatever is rare. What the file gives at the end keeps its
    smallest and largest value whatever the method: classes that are cut off at the same value
    could no longer be told apart.

    Args:
        content: the float file; no two tensors bear the same name.
        manager: the recipe.
        signature: the signature to run.
        feeds: one (input name -> array) a batch.
        plan: the method.

    Raises:
        ExportError: a tensor becomes NaN, or an output infinite.
    """
    found = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    alone = len(read(content).subgraphs) == 1
    # It walks over the operators of every sample in Python; only loops and branches need that.
    found.calibrate({signature: list(feeds[:1] if alone else feeds)}, manager)
    ranges: dict[str, Any] = found.get_model_qsvs()
    for name, extent in _extents(content, signature, feeds, set(ranges), plan).items():
        low, high = chosen(extent, plan)
        for side, value in (("min", low), ("max", high)):
            ranges[name][side] = np.full_like(ranges[name][side], value)
    return ranges


def _extents(
    content: bytes,
    signature: str,
    feeds: Iterable[Feed],
    wanted: set[str],
    plan: CalibrationPlan,
) -> dict[str, Extent]:
    """Look at the values of the tensors of the main graph."""
    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(signature)
    given = {int(detail["index"]) for detail in interpreter.get_output_details()}
    tensors = {
        str(detail["name"]): int(detail["index"])
        for detail in interpreter.get_tensor_details()
        if detail["name"] in wanted and detail["dtype"] is np.float32
    }
    seen = {
        name: Extent() if index in given else extent_for(plan) for name, index in tensors.items()
    }
    for feed in feeds:
        for name, output in runner(**feed).items():
            if output.dtype.kind == "f" and not np.isfinite(output).all():
                raise _overflow(name)
        for name, extent in seen.items():
            try:
                extent.add(interpreter.get_tensor(tensors[name]))
            except FloatingPointError:
                raise _overflow(name) from None
    return {name: one for name, one in seen.items() if one.low <= one.high}


def _overflow(name: str) -> ExportError:
    return ExportError(
        f"calibration: the tensor {name!r} becomes NaN or infinite",
        hint="The network overflows on the calibration samples; int8 cannot hold it.",
    )
