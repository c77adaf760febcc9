"""ExecuTorch programs: torch.export, torchao's PT2E for int8, and the XNNPACK delegate."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import ExportError
from edgekd.export.exporter import Exported, Layout, check_scheme, require_packages
from edgekd.export.facts import FileFacts
from edgekd.export.plan import Plan
from edgekd.export.ports import Arrays
from edgekd.export.prepare import Named
from edgekd.export.seam import converting
from edgekd.export.surface import Surface
from edgekd.modelfile.metadata import KEY, text_of
from edgekd.quantize.schemes import INT8
from edgekd.records import TensorSpec
from edgekd.records_modelfile import FileMetadata

#: The largest batch that a file with a free one has memory for.
LARGEST_BATCH = 64

#: Calls in a program that compute nothing.
_BOOKKEEPING = ("getitem", "alloc", "view", "sym_size", "executorch_prim")

_Codings = dict[str, tuple[float, int]]


class ExecuTorchExporter:
    """Makes ``model.pte``: NCHW and a batch of 1 by default, for the XNNPACK backend."""

    runtime = "executorch"
    schemes: tuple[str, ...] = ("none", "int8")
    image_layout: Layout = "nchw"
    batch: int | None = 1

    def require(self, plan: Plan) -> None:
        """Refuse when a package is missing, or ExecuTorch has no such file.

        Raises:
            MissingExtraError: names the package.
            ExportError: there is no such scheme, or no such type of inputs.
        """
        check_scheme(self, plan)
        if plan.free_axis is not None:
            raise ExportError(
                "ExecuTorch files leave no axis but the batch free",
                hint="Export one file a length, or --target onnx.",
            )
        if plan.scheme == INT8 and plan.io == "uint8":
            raise ExportError(
                "XNNPACK's kernels in ExecuTorch have no uint8 tensors", hint="Use --io int8."
            )
        require_packages(("executorch", "torchao"), target="executorch")

    def export(
        self, surface: Surface, plan: Plan, *, calibration: Arrays | None, directory: Path
    ) -> Exported:
        """Write ``model.pte``; see `edgekd.export.exporter.Exporter.export`."""
        path = directory / "model.pte"
        model, shapes = _Ordered(surface).eval(), _free_sizes(surface)
        example = tuple(surface.example.values())
        codings: _Codings = {}
        with converting("conversion to ExecuTorch"), _undisturbed():
            program = torch.export.export(model, example, dynamic_shapes=shapes)
        if plan.scheme == INT8:
            with converting("int8 quantization for ExecuTorch"), _undisturbed():
                module, codings = _quantized(program, model, surface, plan, calibration or {})
                example = tuple(_as_taken(surface.example, codings))
                # The graph takes its inputs one by one, no longer as *inputs.
                shapes = None if shapes is None else shapes[0]
                program = torch.export.export(module, example, dynamic_shapes=shapes)
        with converting("conversion to ExecuTorch"), _undisturbed():
            content, calls = _lowered(program, text_of(_metadata(surface, plan, codings)))
        path.write_bytes(content)
        return Exported(path, _notes(calls, surface, plan))


class _Ordered(nn.Module):
    """A network that gives a tuple, so that the outputs keep their order."""

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        self.model = surface.model
        self.outputs = surface.outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self.model(*inputs)
        return tuple(found[name] for name in self.outputs)

    def prefix(self) -> str:
        """Return what stands before the names of the user's own layers."""
        names = [name for name, module in self.named_modules() if type(module) is Named]
        return f"{names[0]}.model." if names else ""


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Trace without oneDNN and NNPACK, and without the warnings of a dozen passes.

    To choose among those kernels PyTorch asks whether the batch is smaller than 16, and a batch
    size that is free would be limited to 15 by the answer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        off = torch.backends.mkldnn.flags(enabled=False)
        with off, torch.backends.nnpack.flags(enabled=False):
            yield


def _free_sizes(surface: Surface) -> Any:
    """Return the dimensions that stay free, as torch.export wants them: one entry an input."""
    if surface.batch is not None:
        return None
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    return (tuple({0: batch} for _ in surface.example),)


def _quantized(
    program: torch.export.ExportedProgram,
    model: _Ordered,
    surface: Surface,
    plan: Plan,
    samples: Arrays,
) -> tuple[Any, _Codings]:
    """Return the quantized graph, and scale and zero point of what it takes and gives as int8."""
    from edgekd.quantize.executorch import give_integers, quantize, take_integers

    module = quantize(
        program.module(),
        surface.feeds(samples) if samples else (),
        method=plan.calibration,
        keep_float=plan.keep_float,
        prefix=model.prefix(),
    )
    if plan.io != "int8":
        return module, {}
    taken = take_integers(module, list(surface.example))
    return module, taken | give_integers(module, surface.outputs)


def _as_taken(example: dict[str, Tensor], codings: _Codings) -> Iterator[Tensor]:
    for name, values in example.items():
        yield torch.zeros_like(values, dtype=torch.int8) if name in codings else values


def _lowered(program: torch.export.ExportedProgram, description: str) -> tuple[bytes, Counter[str]]:
    """Return the file, and how often it calls what outside of the delegate."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from edgekd.export.executorch_passes import RemoveExpansions

    edge = to_edge_transform_and_lower(
        program,
        transform_passes=[RemoveExpansions()],
        partitioner=[XnnpackPartitioner()],
        constant_methods={KEY: description},
    )
    made = edge.to_executorch()
    nodes = made.exported_program().graph.nodes
    targets = [str(node.target) for node in nodes if node.op == "call_function"]
    return bytes(made.buffer), Counter(targets)


def _metadata(surface: Surface, plan: Plan, codings: _Codings) -> FileMetadata:
    """Return what the file says of itself; its tensors have their names nowhere else."""
    with torch.no_grad():
        outputs = surface.model(*surface.example.values())
    facts = plan.facts or FileFacts(FileMetadata(edgekd=version("edgekd")))
    return facts.of(
        [_spec(name, one, surface, codings) for name, one in surface.example.items()],
        [_spec(name, outputs[name], surface, codings) for name in surface.outputs],
    )


def _spec(name: str, tensor: Tensor, surface: Surface, codings: _Codings) -> TensorSpec:
    scale, zero_point = codings.get(name, (None, None))
    return TensorSpec(
        name=name,
        shape=(surface.batch, *tensor.shape[1:]),
        dtype="int8" if name in codings else str(tensor.dtype).removeprefix("torch."),
        layout=surface.layouts.get(name),
        scale=scale,
        zero_point=zero_point,
    )


def _notes(calls: Counter[str], surface: Surface, plan: Plan) -> tuple[str, ...]:
    notes = []
    if plan.scheme == INT8:
        io = plan.io or "float32"
        notes.append(f"weights int8 (per channel), activations int8; input and output are {io}")
    outside = Counter(
        {
            name.removeprefix("aten.").partition(".")[0].removesuffix("_copy"): count
            for name, count in calls.items()
            if "call_delegate" not in name and not any(sign in name for sign in _BOOKKEEPING)
        }
    )
    if outside:
        counted = ", ".join(f"{count} {name}" for name, count in sorted(outside.items()))
        notes.append(f"not run by XNNPACK, but by ExecuTorch's portable kernels: {counted}")
    if surface.batch is None:
        notes.append(f"the batch is free up to {LARGEST_BATCH}, which memory is set aside for")
    return tuple(notes)
