"""The proof of a file: it is loaded, run on held-out samples, and held against its network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekd.errors import ExportError, ModelFileError
from edgekd.export.exporter import Exported, Exporter, layout_of
from edgekd.export.parity import Floats, HeldOut, Limits, compare
from edgekd.export.prepare import Prepared
from edgekd.export.seam import held_back
from edgekd.quantize.schemes import Scheme
from edgekd.records import Parity, TensorSpec
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.session import Session


@dataclass(frozen=True)
class Proof:
    """What running a file showed.

    Attributes:
        inputs: the file's inputs, with the layout of images.
        outputs: the file's outputs.
        parity: the comparison, passed or not.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parity: Parity


def prove(
    exported: Exported,
    exporter: Exporter,
    prepared: Prepared,
    held_out: HeldOut,
    scheme: Scheme,
    limits: Limits,
) -> Proof:
    """Run a file that was just made, and compare it with the network.

    Args:
        exported: the file.
        exporter: what made it; says what runs it.
        prepared: the network.
        held_out: the samples.
        scheme: how the file is quantized.
        limits: what is still taken for equal.

    Raises:
        ExportError: the file does not run, or its outputs are not the network's.
    """
    reference = prepared.predict(held_out.inputs)
    try:
        with held_back():  # runtimes greet on standard error
            session: Session = RUNTIMES.resolve(exporter.runtime)(exported.path)
            layout = layout_of(prepared.input_shape, exporter.image_layout)
            given = session.inputs[0].model_copy(update={"layout": layout})
            outputs = _in_order(session.outputs, prepared.outputs)
            order = [session.outputs.index(spec) for spec in outputs]

            def run(samples: Floats, batch: int) -> list[Floats]:
                chunks = []
                for start in range(0, len(samples), batch):
                    raw = session.run([encode(samples[start : start + batch], given)])
                    decoded = [decode(raw[i], spec) for i, spec in zip(order, outputs, strict=True)]
                    chunks.append(decoded)
                return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]

            parity = compare(
                reference,
                run,
                held_out,
                names=prepared.outputs,
                scheme=scheme,
                limits=limits,
                runtime=session.runtime,
                fixed_batch=given.shape[0],
            )
    except ModelFileError as error:
        raise ExportError(
            f"the file was made, but does not run: {error.message}", hint=error.hint
        ) from error
    return Proof((given,), session.outputs, parity)


def _in_order(specs: tuple[TensorSpec, ...], names: tuple[str, ...]) -> list[TensorSpec]:
    """Return the file's outputs in the order of the network's."""
    by_name = {spec.name: spec for spec in specs}
    if len(by_name) != len(names) or set(by_name) != set(names):
        raise ExportError(
            f"the file's outputs are {sorted(by_name)}, the network's {sorted(names)}",
            hint="Two outputs that are the same tensor become one: return each once.",
        )
    return [by_name[name] for name in names]
