"""TFLite files: litert-torch, and ai-edge-quantizer for the quantized ones."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import ExportError
from edgekd.export.exporter import (
    Exported,
    Layout,
    check_scheme,
    installed,
    require_packages,
)
from edgekd.export.integers import check_integers, int8_notes
from edgekd.export.layers import PREPROCESS, Layers, vanished
from edgekd.export.plan import Plan
from edgekd.export.ports import Arrays
from edgekd.export.seam import converting
from edgekd.export.surface import Surface
from edgekd.quantize.schemes import INT8

if TYPE_CHECKING:
    from edgekd.quantize.litert import Quantizer

_SIGNATURE = "serving_default"

#: Machines that litert-converter has no wheel for: (sys.platform, machine), None for any.
_NO_WHEEL = (("win32", None), ("linux", "aarch64"), ("linux", "armv7l"))


class TFLiteExporter:
    """Makes ``model.tflite``: images NHWC and a batch of 1 by default, only outer names."""

    runtime = "litert"
    schemes: tuple[str, ...] = ("none", "fp16", "int8", "int8-dynamic", "int8-weight-only")
    image_layout: Layout = "nhwc"
    batch: int | None = 1

    def require(self, plan: Plan) -> None:
        """Refuse when a package is missing, or cannot be had on this platform.

        Raises:
            ExportError: there is no converter for this platform, or no such scheme for TFLite.
            MissingExtraError: names the package.
        """
        check_scheme(self, plan)
        if plan.free_axis is not None:
            raise ExportError(
                "TFLite files leave no axis but the batch free",
                hint="Export one file a length, or --target onnx.",
            )
        if not installed("litert_converter") and _without_wheel():
            raise ExportError(
                f"TFLite files cannot be made on {sys.platform} {platform.machine()}: "
                "litert-converter has no wheel for it",
                hint="Use --target onnx here, or export on Linux x86-64 or macOS.",
            )
        packages = ["litert_torch", "litert_converter", "ai_edge_litert"]
        if plan.scheme.lossy:
            packages.append("ai_edge_quantizer")
        require_packages(packages, target="tflite")

    def export(
        self, surface: Surface, plan: Plan, *, calibration: Arrays | None, directory: Path
    ) -> Exported:
        """Write ``model.tflite``; see `edgekd.export.exporter.Exporter.export`."""
        path = directory / "model.tflite"
        with converting("conversion to TFLite"):
            content = convert(surface)
        sources = operator_layers(content, surface)
        notes: tuple[str, ...] = ()
        floats = b""
        if plan.scheme.lossy:
            kept, notes = _kept(plan, surface, sources)
            floats = content
            with converting(f"{plan.scheme.name} quantization of the TFLite file"):
                content = quantizer_of(content, plan, surface, calibration).quantize(kept)
            if plan.profile.integers_only:
                check_integers(content, floats, sources, plan.profile.name)
        from edgekd.export.free_batch import free_batch
        from edgekd.quantize.flatbuffer import compact

        if plan.scheme == INT8 and plan.io not in (None, "int8"):
            from edgekd.quantize.io_types import with_io

            content = with_io(content, plan.io)
        content = compact(free_batch(content) if surface.batch is None else content)
        path.write_bytes(content)
        sibling = directory / "float.tflite" if plan.scheme.lossy else None
        if sibling is not None:
            sibling.write_bytes(floats)
        return Exported(path, (*int8_notes(content, plan), *notes), sibling)


def operator_layers(content: bytes, surface: Surface) -> list[str | None]:
    """Return the layer of every operator of a file that `convert` made; None where unknown."""
    from edgekd.export.litert_layers import layers_of

    return layers_of(content, Layers(surface.model))


def quantizer_of(
    content: bytes, plan: Plan, surface: Surface, calibration: Arrays | None
) -> Quantizer:
    """Return what quantizes a float file as a plan wants it."""
    from edgekd.quantize.litert import Quantizer

    return Quantizer(
        content,
        plan.scheme,
        signature=_SIGNATURE,
        calibration=[] if calibration is None else _feeds(surface, calibration),
        method=plan.calibration,
        float_operators=plan.profile.float_operators.get(plan.scheme.name, ()),
        float_input=PREPROCESS in plan.keep_float,
    )


def _kept(
    plan: Plan, surface: Surface, sources: Sequence[str | None]
) -> tuple[set[int], tuple[str, ...]]:
    """Return the operators that a plan keeps in float, and what to say of it."""
    if not plan.keep_float:
        return set(), ()
    chosen = Layers(surface.model).choose(plan.keep_float)
    notes = vanished(chosen, sources)
    return {place for place, name in enumerate(sources) if name in chosen.names}, notes


class _ByName(nn.Module):
    """A network that takes its inputs by name, so that the file keeps the names."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, **inputs: torch.Tensor) -> Any:
        return self.model(*(inputs[name] for name in self.names))


def convert(surface: Surface) -> bytes:
    """Return the float file of a network; its inner tensors are named by their modules."""
    import litert_torch

    from edgekd.export.litert_layers import named_by_path

    with named_by_path():
        model = litert_torch.convert(
            _ByName(surface.model, list(surface.example)).eval(),
            # Of a free batch size too: see edgekd.export.free_batch.
            sample_kwargs={
                name: one[: surface.batch or 1] for name, one in surface.example.items()
            },
        )
    return bytes(model.model_content())


def _feeds(surface: Surface, samples: Arrays) -> list[dict[str, NDArray[Any]]]:
    """Return the samples as the file takes them; 64-bit integers have become 32-bit ones."""
    return [
        {name: a.astype(np.int32) if a.dtype == np.int64 else a for name, a in feed.items()}
        for feed in surface.feeds(samples)
    ]


def _without_wheel() -> bool:
    machine = platform.machine().lower()
    return any(sys.platform == p and m in (None, machine) for p, m in _NO_WHEEL)
