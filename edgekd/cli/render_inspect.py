"""What ``edgekd inspect`` prints; narrow enough for 60 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgekd import format as fmt
from edgekd.cli.render import _table as table

if TYPE_CHECKING:
    from rich.table import Table

    from edgekd.records import TensorSpec
    from edgekd.records_modelfile import (
        FileMetadata,
        HardwareFit,
        Inspection,
        OperatorDetail,
        TensorDetail,
    )

_NAMES = {"tflite": "TFLite", "onnx": "ONNX", "executorch": "ExecuTorch"}
_SCHEMES = {
    "none": "float32",
    "fp16": "float32, from weights in float16",
    "int8": "integers throughout",
    "int8-dynamic": "float32 and int8: activations are quantized while it runs",
    "int8-weight-only": "float32, from weights in 8-bit integers",
    "mixed": "integers, and in part float",
}
_FEW = 6
_LAYERS = 8
_LONGEST = 32


def lines(found: Inspection) -> Iterator[str]:
    """Say what a file is, a line a fact."""
    yield found.path
    yield from _file(found)
    for role, ports in (("input", found.inputs), ("output", found.outputs)):
        for port in ports:
            yield f"{role}: {_port(port)}"
    if found.parameters is not None:
        macs = "not counted" if found.macs is None else fmt.count(found.macs)
        if found.macs_unknown:
            macs = f"at least {macs}, without {', '.join(found.macs_unknown[:_FEW])}"
        yield f"parameters: {fmt.count(found.parameters)}; MACs: {macs}"
    if found.weight_bytes is not None:
        rest = fmt.size(found.other_bytes)
        yield f"weights: {fmt.size(found.weight_bytes)}; all else: {rest}"
    yield from _quantization(found)
    if found.metadata is not None:
        yield from _metadata(found.metadata)
    for key, text in found.foreign.items():
        yield f"{key}: {text}"
    if found.labels:
        more = "; ..." if len(found.labels) > _FEW else ""
        yield f"labels: {len(found.labels)} ({'; '.join(found.labels[:_FEW])}{more})"
    yield from _runtimes(found)
    if found.parity is not None:
        yield f"proof: {_proof(found)}"


def _file(found: Inspection) -> Iterator[str]:
    version = f" version {found.format_version}" if found.format_version is not None else ""
    yield f"{_NAMES.get(found.format, found.format)}{version}, {fmt.size(found.size_bytes)}"
    yield f"sha256: {found.sha256}"
    if found.opsets:
        each = [f"{domain or 'ai.onnx'} {version}" for domain, version in found.opsets.items()]
        yield f"opsets: {', '.join(each)}"
    if found.producer:
        yield f"made by: {found.producer}"
    if found.description:
        yield f"description: {found.description[:200]}"


def _port(port: TensorSpec) -> str:
    text = f"{port.name or '(no name)'} {_shape(port.shape)} {port.dtype}"
    if port.layout:
        text += f" {port.layout}"
    if port.scale is not None:
        text += f", scale {port.scale:.6g}, zero point {port.zero_point}"
    return text


def _shape(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "?"
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def _cut(text: str, longest: int = _LONGEST) -> str:
    """Cut a long name in front: the end of a path says most, the first of joined names enough."""
    text = " ".join(text.split()).split(";")[0]
    return text if len(text) <= longest else f"...{text[-longest + 3 :]}"


def _quantization(found: Inspection) -> Iterator[str]:
    known = found.quantization
    if known is None:
        return
    yield f"computes in: {_SCHEMES.get(known.scheme, known.scheme)}"
    if known.integer and known.floating:
        each = [f"{count} {name}" for name, count in list(known.floating.items())[:_FEW]]
        more = ", ..." if len(known.floating) > _FEW else ""
        yield f"  stay float: {', '.join(each)}{more}"
    stored = [f"{fmt.size(size)} {name}" for name, size in known.weight_bytes.items()]
    if stored:
        yield f"  weights as: {', '.join(stored)}"
    if known.per_channel or known.per_tensor:
        yield (f"  scales: {known.per_channel} weights per channel, {known.per_tensor} per tensor")


def _metadata(told: FileMetadata) -> Iterator[str]:
    yield f"edgekd metadata, written by {told.edgekd}"
    facts = {
        "model": told.model,
        "target": told.target,
        "scheme": told.scheme,
        "profile": told.profile,
        "licence": told.licence,
        "recipe sha256": told.recipe_sha256,
        **{f"made of {name}": sha256 for name, sha256 in told.parents.items()},
    }
    for name, text in facts.items():
        if text:
            yield f"  {name}: {text}"
    if told.calibration is not None:
        used = told.calibration
        yield f"  calibration: {used.samples} samples, {used.method}, seed {used.seed}"
    for port in told.inputs:
        if port.preprocess is not None:
            where = "inside the file" if port.embedded else "before the file"
            steps = port.preprocess
            yield (
                f"  {port.name}: (raw * {steps.scale:.6g} - {_numbers(steps.mean)}) / "
                f"{_numbers(steps.std)}, {where}"
            )


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"


def _runtimes(found: Inspection) -> Iterator[str]:
    if found.oldest is not None:
        version = found.oldest.version or "none known"
        loads = f" ({found.oldest.loads} would load it)" if found.oldest.loads else ""
        plain = f"{found.oldest.runtime} {version}"
        yield f"oldest runtime: {plain}" + (loads if plain not in loads else "")
        for text in found.oldest.findings:
            yield f"  {text}"
    for name, fit in (("NPU", found.npu), ("MCU", found.mcu)):
        if fit is not None:
            yield from _fit(name, fit)


def _fit(name: str, fit: HardwareFit) -> Iterator[str]:
    if fit.refused:
        yield f"{name}: refuses {fit.refused} of {fit.operators} operators ({fit.source})"
    else:
        yield f"{name}: runs all {fit.operators} operators ({fit.source})"
    by_reason: dict[str, list[str]] = {}
    for reason in fit.reasons:
        verb = "" if reason.severity == "refused" else "beware: "
        each = by_reason.setdefault(f"{verb}{reason.reason}", [])
        each.append(f"{reason.count} {reason.name}")
    for text, names in list(by_reason.items())[:_FEW]:
        more = ", ..." if len(names) > _FEW else ""
        yield f"  {text}: {', '.join(names[:_FEW])}{more}"
    if len(by_reason) > _FEW:
        yield f"  and {len(by_reason) - _FEW} more reasons (--json)"


def _proof(found: Inspection) -> str:
    proof = found.parity
    if proof is None:
        return ""
    verdict = "passed" if proof.passed else "failed"
    text = f"{verdict} on {proof.samples} {proof.sample_source} samples"
    text += f", largest error {proof.max_abs_error:.1e}"
    if proof.agreement is not None:
        text += f", agrees {fmt.percent(proof.agreement)}"
    if proof.accuracy_file is not None:
        text += f", accuracy {fmt.percent(proof.accuracy_file)}"
        text += f" (was {fmt.percent(proof.accuracy_model)})"
    return text


def kind_table(found: Inspection) -> Table:
    """Operators by name, those that take most first."""
    drawn = table("operator", "count", "MACs", "share", "float", right=range(1, 5))
    for kind in found.kinds:
        taken = "?" if kind.macs is None else fmt.count(kind.macs) if kind.macs else ""
        drawn.add_row(
            kind.name,
            str(kind.count),
            taken,
            fmt.percent(kind.share, 0) if kind.macs else "",
            str(kind.floating or ""),
        )
    return drawn


def layer_table(found: Inspection) -> Table:
    """The layers that take most of the file."""
    drawn = table("layer", "operator", "size", "of file", right=(2, 3))
    for layer in found.layers[:_LAYERS]:
        drawn.add_row(
            _cut(layer.name),
            layer.operator,
            fmt.size(layer.stored_bytes),
            fmt.percent(layer.share, 0),
        )
    left = found.layers[_LAYERS:]
    if left:
        size = sum(layer.stored_bytes for layer in left)
        share = sum(layer.share for layer in left)
        drawn.add_row(f"{len(left)} more", "", fmt.size(size), fmt.percent(min(share, 1.0), 0))
    drawn.add_row(
        "all else (graph, names, metadata)",
        "",
        fmt.size(found.other_bytes),
        fmt.percent((found.other_bytes or 0) / found.size_bytes, 0),
    )
    return drawn


def operator_table(operators: Sequence[OperatorDetail]) -> Table:
    """Every operator."""
    drawn = table("#", "operator", "gives", "computes in", "MACs", right=(0, 4))
    for one in operators:
        place = f"{one.subgraph}.{one.index}" if one.subgraph else str(one.index)
        drawn.add_row(
            place,
            f"{one.name} v{one.version}",
            _shape(one.output_shape),
            one.precision,
            "?" if one.macs is None else fmt.count(one.macs) if one.macs else "",
        )
    return drawn


def tensor_table(tensors: Sequence[TensorDetail]) -> Table:
    """Every tensor."""
    drawn = table("#", "tensor", "shape", "type", "stored", "scales", right=(0, 4, 5))
    for one in tensors:
        place = f"{one.subgraph}.{one.index}" if one.subgraph else str(one.index)
        drawn.add_row(
            place,
            _cut(one.name),
            _shape(one.shape),
            one.dtype,
            fmt.size(one.stored_bytes) if one.stored_bytes else "",
            str(one.scales or ""),
        )
    return drawn
