"""TFLite files: litert-torch, and ai-edge-quantizer for the quantized ones."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import ExportError
from edgekd.export.exporter import Exported, Layout, installed, layout_of, require_packages
from edgekd.export.prepare import INPUT, Prepared
from edgekd.export.seam import converting
from edgekd.quantize.schemes import INT8, Scheme

_SIGNATURE = "serving_default"

#: Machines that litert-converter has no wheel for: (sys.platform, machine), None for any.
_NO_WHEEL = (("win32", None), ("linux", "aarch64"), ("linux", "armv7l"))


class TFLiteExporter:
    """Makes ``model.tflite``: images NHWC, a batch of 1, names of inputs and outputs only."""

    runtime = "litert"
    image_layout: Layout = "nhwc"

    def require(self, scheme: Scheme) -> None:
        """Refuse when a package is missing, or cannot be had on this platform.

        Raises:
            ExportError: there is no converter for this platform.
            MissingExtraError: names the package.
        """
        if not installed("litert_converter") and _without_wheel():
            raise ExportError(
                f"TFLite files cannot be made on {sys.platform} {platform.machine()}: "
                "litert-converter has no wheel for it",
                hint="Use --target onnx here, or export on Linux x86-64 or macOS.",
            )
        packages = ["litert_torch", "litert_converter", "ai_edge_litert"]
        if scheme.lossy:
            packages.append("ai_edge_quantizer")
        require_packages(packages, target="tflite")

    def export(
        self,
        prepared: Prepared,
        *,
        scheme: Scheme,
        calibration: NDArray[np.float32] | None,
        directory: Path,
    ) -> Exported:
        """Write ``model.tflite``; see `edgekd.export.exporter.Exporter.export`."""
        path = directory / "model.tflite"
        with converting("conversion to TFLite"):
            content = _convert(prepared, self._layout(prepared))
        if scheme.lossy:
            with converting(f"{scheme.name} quantization of the TFLite file"):
                from edgekd.quantize.litert import quantize

                feeds = [] if calibration is None else _feeds(calibration, self._layout(prepared))
                content = quantize(content, scheme, signature=_SIGNATURE, calibration=feeds)
        from edgekd.quantize.flatbuffer import compact

        content = compact(content)
        path.write_bytes(content)
        return Exported(path, _notes(content, scheme))

    def _layout(self, prepared: Prepared) -> Layout | None:
        return layout_of(prepared.input_shape, self.image_layout)


class _ChannelsLast(nn.Module):
    """A network that takes images as they lie in memory on devices: NHWC."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> Any:
        return self.model(inputs[INPUT].permute(0, 3, 1, 2))


class _AsIs(nn.Module):
    """A network whose only input has a name."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> Any:
        return self.model(inputs[INPUT])


def _convert(prepared: Prepared, layout: Layout | None) -> bytes:
    import litert_torch

    example = prepared.example[:1]
    wrapper: nn.Module = _AsIs(prepared.model)
    if layout == "nhwc":
        wrapper = _ChannelsLast(prepared.model)
        example = example.permute(0, 2, 3, 1)
    model = litert_torch.convert(wrapper.eval(), sample_kwargs={INPUT: example.contiguous()})
    return bytes(model.model_content())


def _feeds(samples: NDArray[np.float32], layout: Layout | None) -> list[dict[str, NDArray[Any]]]:
    """Return one feed a sample: the file takes a batch of 1."""
    if layout == "nhwc":
        samples = np.moveaxis(samples, 1, -1)
    return [{INPUT: np.ascontiguousarray(sample[None])} for sample in samples]


def _notes(content: bytes, scheme: Scheme) -> tuple[str, ...]:
    if scheme != INT8:
        return ()
    from edgekd.quantize.flatbuffer import float_operators

    names, total = float_operators(content)
    if not names:
        return ("every operator computes in 8-bit integers; input and output are int8",)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(Counter(names).items()))
    return (f"{len(names)} of {total} operators stay in float32: {counted}",)


def _without_wheel() -> bool:
    machine = platform.machine().lower()
    return any(sys.platform == p and m in (None, machine) for p, m in _NO_WHEEL)
