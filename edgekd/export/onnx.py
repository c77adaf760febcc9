"""ONNX files: torch.onnx, and onnxruntime's tools for the quantized ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd.errors import ExportError
from edgekd.export.exporter import Exported, Layout, require_packages
from edgekd.export.prepare import INPUT, Prepared
from edgekd.export.seam import converting
from edgekd.quantize.schemes import Scheme

#: Samples a calibration batch. The ranges do not depend on it.
_CALIBRATION_BATCH = 32


class OnnxExporter:
    """Makes ``model.onnx``: NCHW, any batch size, weights inside the file."""

    runtime = "onnxruntime"
    image_layout: Layout = "nchw"

    def require(self, scheme: Scheme) -> None:
        """Refuse when a package is missing.

        Raises:
            MissingExtraError: names the package.
        """
        require_packages(("onnx", "onnxscript", "onnxruntime"), target="onnx")

    def export(
        self,
        prepared: Prepared,
        *,
        scheme: Scheme,
        calibration: NDArray[np.float32] | None,
        directory: Path,
    ) -> Exported:
        """Write ``model.onnx``; see `edgekd.export.exporter.Exporter.export`."""
        path = directory / "model.onnx"
        notes: tuple[str, ...] = ()
        with converting("conversion to ONNX"):
            import onnx

            proto = _convert(prepared)
            _check_batch(proto)
            _drop_traces(proto)
            onnx.checker.check_model(proto)
            if not scheme.lossy:
                onnx.save(proto, path)
                return Exported(path)
        with converting(f"{scheme.name} quantization of the ONNX file"):
            from edgekd.quantize.onnx import quantize

            source = directory / "float.onnx"
            onnx.save(proto, source)
            notes = quantize(source, path, scheme, calibration=_feeds(calibration))
            source.unlink()
        return Exported(path, notes)


def _convert(prepared: Prepared) -> Any:
    """Return the ModelProto of a network, its batch size free.

    The example holds two samples: with one, the exporter would take the batch size for fixed.
    """
    program = torch.onnx.export(
        prepared.model,
        (prepared.example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=list(prepared.outputs),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        external_data=False,
        verbose=False,
    )
    if program is None:  # only where a file name is given
        raise RuntimeError("torch.onnx.export returned nothing")
    return program.model_proto


def _check_batch(proto: Any) -> None:
    """Refuse a graph whose batch size is fixed: the exporter falls back to one without a word.

    Raises:
        ExportError: its inputs or outputs state a number.
    """
    for value in (*proto.graph.input, *proto.graph.output):
        if any(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim[:1]):
            raise ExportError(
                f"conversion to ONNX fixed the batch size of {value.name!r}",
                hint="Its forward() fixes the size of the batch: use x.shape[0] or -1.",
            )


def _drop_traces(proto: Any) -> None:
    """Take out what the exporter notes on every node: stack traces with the paths of this machine.

    They are half of a small file, differ from machine to machine, and belong to nobody else.
    """
    graph = proto.graph
    for items in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for item in items:
            del item.metadata_props[:]
            item.doc_string = ""
    del graph.metadata_props[:]
    for function in proto.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""


def _feeds(calibration: NDArray[np.float32] | None) -> Iterator[dict[str, NDArray[Any]]]:
    samples = np.empty((0,), np.float32) if calibration is None else calibration
    for start in range(0, len(samples), _CALIBRATION_BATCH):
        yield {INPUT: samples[start : start + _CALIBRATION_BATCH]}
