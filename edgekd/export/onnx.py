"""ONNX files: torch.onnx, and onnxruntime's tools for the quantized ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgekd.errors import ExportError
from edgekd.export.exporter import Exported, Layout, check_scheme, require_packages
from edgekd.export.layers import Layers, vanished
from edgekd.export.onnx_layers import layers_of
from edgekd.export.plan import Plan
from edgekd.export.ports import Arrays
from edgekd.export.seam import converting
from edgekd.export.surface import Surface

#: Samples a calibration batch, where its size is free. The ranges do not depend on it.
CALIBRATION_BATCH = 32


class OnnxExporter:
    """Makes ``model.onnx``: NCHW and any batch size by default, weights inside the file."""

    runtime = "onnxruntime"
    schemes: tuple[str, ...] = ("none", "fp16", "int8", "int8-dynamic")
    image_layout: Layout = "nchw"
    batch: int | None = None

    def require(self, plan: Plan) -> None:
        """Refuse when a package is missing.

        Raises:
            MissingExtraError: names the package.
            ExportError: there is no such scheme for ONNX.
        """
        check_scheme(self, plan)
        require_packages(("onnx", "onnxscript", "onnxruntime"), target="onnx")

    def export(
        self, surface: Surface, plan: Plan, *, calibration: Arrays | None, directory: Path
    ) -> Exported:
        """Write ``model.onnx``; see `edgekd.export.exporter.Exporter.export`."""
        path = directory / "model.onnx"
        with converting("conversion to ONNX"):
            import onnx

            proto = convert(surface)
            if surface.batch is None:
                _check_batch(proto)
            sources = layers_of(proto, Layers(surface.model))
            _drop_traces(proto)
            onnx.checker.check_model(proto)
            if not plan.scheme.lossy:
                onnx.save(proto, path)
                return Exported(path)
        kept, kept_notes = _kept(plan, surface, sources)
        with converting(f"{plan.scheme.name} quantization of the ONNX file"):
            from edgekd.quantize.onnx import quantize

            source = directory / "float.onnx"
            onnx.save(proto, source)
            feeds = () if calibration is None else surface.feeds(calibration, CALIBRATION_BATCH)
            notes = quantize(
                source,
                path,
                plan.scheme,
                calibration=feeds,
                method=plan.calibration,
                keep_float=kept,
                io=plan.io,
            )
        return Exported(path, (*notes, *kept_notes), source)


def _kept(
    plan: Plan, surface: Surface, sources: Mapping[str, str | None]
) -> tuple[set[str], tuple[str, ...]]:
    """Return what the nodes give that a plan keeps in float, and what to say of it."""
    if not plan.keep_float:
        return set(), ()
    chosen = Layers(surface.model).choose(plan.keep_float)
    notes = vanished(chosen, sources.values())
    return {name for name, layer in sources.items() if layer in chosen.names}, notes


def convert(surface: Surface) -> Any:
    """Return the ModelProto of a network.

    Where the batch size is free the example holds two samples: with one, the exporter would take
    the size for fixed.
    """
    program = torch.onnx.export(
        surface.model,
        tuple(surface.example.values()),
        dynamo=True,
        input_names=list(surface.example),
        output_names=list(surface.outputs),
        dynamic_shapes=_free_sizes(surface),
        external_data=False,
        verbose=False,
    )
    if program is None:  # only where a file name is given
        raise RuntimeError("torch.onnx.export returned nothing")
    return program.model_proto


def _free_sizes(surface: Surface) -> Any:
    """Return the dimensions that stay free, as torch.export wants them: one entry an input."""
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1)
    entries = []
    for example in surface.example.values():
        free: dict[int, Any] = {} if surface.batch is not None else {0: batch}
        if surface.free_axis is not None and example.ndim > surface.free_axis:
            free[surface.free_axis] = length
        entries.append(free)
    return (tuple(entries),) if any(entries) else None


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
