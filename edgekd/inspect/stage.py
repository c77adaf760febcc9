"""Inspection of one model file, wherever it came from."""

from __future__ import annotations

from pathlib import Path

from edgekd.errors import ModelFileError
from edgekd.inspect import details, executorch
from edgekd.inspect.old import oldest_runtime
from edgekd.inspect.target import Target, find
from edgekd.modelfile import foreign, macs, mcu, metadata, npu
from edgekd.modelfile.graph import Graph
from edgekd.modelfile.reading import read
from edgekd.modelfile.weights import Weights, weigh
from edgekd.records_modelfile import FileMetadata, Inspection, LayerSize
from edgekd.runtimes.files import identify
from edgekd.storage import sha256_file


def inspect(
    source: str | Path | None = None, *, operators: bool = False, tensors: bool = False
) -> Inspection:
    """Say what a model file is and what it asks of a device, without running it.

    Args:
        source: a TFLite, ONNX or ExecuTorch file of whatever origin, an artifact's folder, or a
            run with one artifact. Default: the newest run.
        operators: list every operator.
        tensors: list every tensor.

    Returns:
        What was found; what cannot be known is left open.

    Raises:
        ModelFileError: there is no such file, it is damaged, or it is no model file; the message
            says what it is.
        RunError: a folder that holds no artifact, or several.
        MissingExtraError: the package that knows the format is not installed.
    """
    target = find(source)
    kind = identify(target.file)
    if kind == "executorch":
        found = executorch.inspection(target.file, operators=operators)
        return found.model_copy(update={"parity": target.parity})
    if kind not in ("tflite", "onnx"):
        return _unread(target, kind)
    content = target.file.read_bytes()
    graph = read(target.file)
    weights = weigh(graph)
    warnings = list(graph.remarks)
    told = _metadata(graph, target.file, warnings)
    others = foreign.read(graph, content)
    counted = macs.count(graph)
    return Inspection(
        path=str(target.file),
        format=graph.format,
        format_version=graph.version,
        size_bytes=len(content),
        sha256=sha256_file(target.file),
        opsets=dict(graph.opsets),
        producer=graph.producer,
        description=graph.description,
        inputs=details.specs(graph.inputs, told.inputs if told else ()),
        outputs=details.specs(graph.outputs, told.outputs if told else ()),
        kinds=details.kinds(graph, counted),
        parameters=weights.parameters,
        macs=counted.total,
        macs_unknown=counted.unknown,
        weight_bytes=weights.stored_bytes,
        other_bytes=max(len(content) - weights.stored_bytes, 0),
        layers=_layers(weights, len(content)),
        quantization=details.quantization(graph, weights),
        metadata=told,
        foreign=others.fields,
        labels=told.labels if told and told.labels else others.labels,
        oldest=oldest_runtime(graph),
        npu=details.fit(graph, npu.SOURCE, npu.refused),
        mcu=details.fit(graph, mcu.SOURCE, mcu.refused),
        parity=target.parity,
        operators=details.operators(graph, counted) if operators else (),
        tensors=details.tensors(graph) if tensors else (),
        warnings=tuple(warnings),
    )


def _unread(target: Target, kind: str) -> Inspection:
    return Inspection(
        path=str(target.file),
        format=kind,
        size_bytes=target.file.stat().st_size,
        sha256=sha256_file(target.file),
        parity=target.parity,
        warnings=(f"edgekd runs {kind} files and does not look into them",),
    )


def _metadata(graph: Graph, path: Path, warnings: list[str]) -> FileMetadata | None:
    try:
        return metadata.of(graph, name=str(path))
    except ModelFileError as error:  # the rest of the file is worth seeing all the same
        warnings.append(error.message)
        return None


def _layers(weights: Weights, size: int) -> tuple[LayerSize, ...]:
    return tuple(
        LayerSize(
            name=layer.name,
            operator=layer.operator,
            stored_bytes=layer.stored_bytes,
            share=min(layer.stored_bytes / size, 1.0),
            parameters=layer.parameters,
        )
        for layer in weights.layers
    )
