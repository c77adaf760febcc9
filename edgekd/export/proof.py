"""The proof of a file: it is loaded, run on held-out samples, and held against its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgekd.errors import ExportError, ModelFileError
from edgekd.export.exporter import Exported
from edgekd.export.parity import BATCH, PROBED, Comparison, HeldOut, Limits, judge
from edgekd.export.ports import Arrays
from edgekd.export.prepare import Prepared, count
from edgekd.export.surface import Surface
from edgekd.quantize.schemes import Scheme
from edgekd.records import Parity, TensorSpec
from edgekd.runtimes.fresh import Asked, run_fresh

#: Of an axis that is free beside the batch: the shares of its length in the samples to try.
_SHARES = (0.5, 0.25)
_SAMPLES_OF_OTHER_LENGTH = 16


@dataclass(frozen=True)
class Proof:
    """What running a file showed.

    Attributes:
        inputs: the file's inputs, with the layout of images.
        outputs: the file's outputs.
        parity: the comparison, passed or not.
        notes: what else was seen, e.g. that it is slower than the float file.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parity: Parity
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Trial:
    """Samples to run through both, and why."""

    samples: Arrays
    batch: int
    length: int | None = None


def prove(
    exported: Exported,
    runtime: str,
    prepared: Prepared,
    surface: Surface,
    held_out: HeldOut,
    scheme: Scheme,
    limits: Limits,
) -> Proof:
    """Run a file that was just made, in a process of its own, and compare it with the network.

    Args:
        exported: the file.
        runtime: the row of the table of runtimes that runs it.
        prepared: the network.
        surface: how the file shows it.
        held_out: the samples.
        scheme: how the file is quantized.
        limits: what is still taken for equal.

    Raises:
        ExportError: the file does not run, or its outputs are not the network's.
    """
    trials = _trials(held_out, surface)
    asked = [Asked(trial.samples, trial.batch) for trial in trials]
    try:
        found = run_fresh(exported.path, runtime, asked, surface.layouts, exported.floats)
        _check_outputs(found.outputs, prepared.outputs)
        whole = prepared.predict(held_out.inputs)
        comparisons = [
            Comparison(
                reference=_reference(prepared, whole, trial),
                outputs=[answer[name] for name in prepared.outputs],
                batch=trial.batch,
                length=trial.length,
            )
            for trial, answer in zip(trials, found.answers, strict=True)
        ]
        parity = judge(
            comparisons,
            held_out,
            names=prepared.outputs,
            scheme=scheme,
            limits=limits,
            runtime=found.runtime,
        )
    except ModelFileError as error:
        raise ExportError(
            f"the file was made, but does not run: {error.message}", hint=error.hint
        ) from error
    return Proof(found.inputs, found.outputs, parity, found.notes)


def _trials(held_out: HeldOut, surface: Surface) -> list[_Trial]:
    """Return all samples first; then a few in other batch sizes and lengths that are free."""
    total = count(held_out.inputs)
    if surface.batch is not None:
        trials = [_Trial(held_out.inputs, surface.batch)]
    else:
        trials = [_Trial(held_out.inputs, min(BATCH, total))]
        for size in PROBED:
            probe = {name: values[: 3 * size] for name, values in held_out.inputs.items()}
            trials.append(_Trial(probe, min(size, count(probe))))
    axis = surface.free_axis
    if axis is not None:
        whole = max(values.shape[axis] for values in held_out.inputs.values() if values.ndim > axis)
        for length in sorted({max(1, int(whole * share)) for share in _SHARES}):
            few = {
                name: _cut(values[:_SAMPLES_OF_OTHER_LENGTH], axis, length)
                for name, values in held_out.inputs.items()
            }
            trials.append(_Trial(few, surface.batch or min(BATCH, count(few)), length))
    return trials


def _reference(
    prepared: Prepared, whole: Sequence[NDArray[Any]], trial: _Trial
) -> list[NDArray[Any]]:
    """Return the network's outputs for a trial: of its own lengths, or the first few of all."""
    if trial.length is not None:
        return prepared.predict(trial.samples)
    return [output[: count(trial.samples)] for output in whole]


def _cut(values: NDArray[Any], axis: int, length: int) -> NDArray[Any]:
    if values.ndim <= axis:
        return values
    index = [slice(None)] * values.ndim
    index[axis] = slice(length)
    return values[tuple(index)]


def _check_outputs(specs: Sequence[TensorSpec], names: Sequence[str]) -> None:
    found = {spec.name for spec in specs}
    if len(specs) != len(names) or found != set(names):
        raise ExportError(
            f"the file's outputs are {sorted(found)}, the network's {sorted(names)}",
            hint="Two outputs that are the same tensor become one: return each once.",
        )
