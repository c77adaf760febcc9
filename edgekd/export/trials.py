"""A network converted once and quantized many times, with other layers kept in float each time."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgekd.errors import ExportError
from edgekd.export.layers import Layers
from edgekd.export.plan import Plan
from edgekd.export.ports import Arrays
from edgekd.export.seam import converting
from edgekd.export.surface import Surface

if TYPE_CHECKING:
    from edgekd.quantize.onnx import Quantizer


class Trials(Protocol):
    """Makes files of one network.

    Attributes:
        operators: how many operators each layer has in the file.
    """

    operators: Counter[str]

    def write(self, keep: Collection[str | None], path: Path) -> None:
        """Write a file in which these layers stay in float; None: what comes from no layer."""
        ...


@contextlib.contextmanager
def trials(
    surface: Surface, plan: Plan, calibration: Arrays | None, directory: Path
) -> Iterator[Trials]:
    """Convert a network, and give what quantizes it.

    Args:
        surface: the network.
        plan: how to quantize it; what it keeps in float counts for nothing here.
        calibration: samples that set ranges.
        directory: where files may be put meanwhile.

    Raises:
        ExportError: it cannot be converted or quantized, or the target knows no layers.
    """
    if plan.target == "tflite":
        yield _LiteRT(surface, plan, calibration)
    elif plan.target == "onnx":
        with _onnx(surface, plan, calibration, directory) as made:
            yield made
    else:
        raise ExportError(
            f"--sensitivity: nothing says which layer an operator of a {plan.target} file is from",
            hint="--target tflite and --target onnx tell.",
        )


class _LiteRT:
    def __init__(self, surface: Surface, plan: Plan, calibration: Arrays | None) -> None:
        from edgekd.export.tflite import convert, operator_layers, quantizer_of

        with converting("conversion to TFLite"):
            content = convert(surface)
        self._layers = operator_layers(content, surface)
        self.operators = Counter(name for name in self._layers if name is not None)
        with converting(f"{plan.scheme.name} quantization of the TFLite file"):
            self._quantizer = quantizer_of(content, plan, surface, calibration)

    def write(self, keep: Collection[str | None], path: Path) -> None:
        kept = {place for place, name in enumerate(self._layers) if name in keep}
        with converting("quantization of the TFLite file"):
            path.write_bytes(self._quantizer.quantize(kept))


class _Onnx:
    def __init__(self, quantizer: Quantizer, layers: dict[str, str | None]) -> None:
        self._quantizer, self._layers = quantizer, layers
        self.operators = Counter(name for name in layers.values() if name is not None)

    def write(self, keep: Collection[str | None], path: Path) -> None:
        kept = {tensor for tensor, name in self._layers.items() if name in keep}
        with converting("quantization of the ONNX file"):
            self._quantizer.quantize(path, kept)


@contextlib.contextmanager
def _onnx(
    surface: Surface, plan: Plan, calibration: Arrays | None, directory: Path
) -> Iterator[_Onnx]:
    import onnx

    from edgekd.export.onnx import CALIBRATION_BATCH, convert
    from edgekd.export.onnx_layers import layers_of
    from edgekd.quantize.onnx import quantizer

    with converting("conversion to ONNX"):
        proto = convert(surface)
        layers = layers_of(proto, Layers(surface.model))
        source = directory / "float.onnx"
        onnx.save(proto, source)
    feeds = () if calibration is None else surface.feeds(calibration, CALIBRATION_BATCH)
    with (
        converting(f"{plan.scheme.name} quantization of the ONNX file"),
        contextlib.ExitStack() as stack,
    ):
        made = stack.enter_context(
            quantizer(source, plan.scheme, calibration=feeds, method=plan.calibration)
        )
        after = stack.pop_all()
    with after:
        yield _Onnx(made, layers)
