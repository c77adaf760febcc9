"""``edgekd.export``: convert, run the file, hold it against the network, write it down."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import ExportError, OutputExistsError, ParityError
from edgekd.export import TARGETS
from edgekd.export.exits import at_exit, suffix
from edgekd.export.exporter import Exporter
from edgekd.export.finding import find
from edgekd.export.keras_source import check_target, find_keras, is_keras
from edgekd.export.making import Task, make
from edgekd.export.parity import Limits
from edgekd.export.plan import Plan, make_plan
from edgekd.export.ports import INPUT, Port
from edgekd.export.samples import Samples
from edgekd.export.source import Source, Wanted
from edgekd.export.surface import Layout
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.profiles import Io
from edgekd.quantize.schemes import INT8
from edgekd.recipe import Recipe
from edgekd.records import ArtifactManifest
from edgekd.rundir import Artifact, Run, new_directory, refuse_existing, write_record
from edgekd.storage import writing


def export(
    source: str | Path | Run | nn.Module | None = None,
    *,
    target: str,
    quantize: str | None = None,
    profile: str = "cpu",
    io: Io | None = None,
    layout: Layout | None = None,
    batch: int | None = None,
    free_axis: int | None = None,
    embed_preprocess: bool = False,
    keep_float: Sequence[str] = (),
    calibration: CalibrationPlan | None = None,
    out: Path | None = None,
    tolerance: float = 1e-4,
    max_drop: float = 1.0,
    recipe: Recipe | None = None,
    input_shape: tuple[int, ...] | None = None,
    inputs: Sequence[Port] = (),
    samples: Mapping[str, NDArray[Any]] | str | Path | None = None,
    exit: int | None = None,
    segment: bool = False,
    seed: int = 0,
    held_out: int = 256,
    overwrite: bool = False,
) -> Artifact:
    """Convert a network into a file, and prove that the file does what the network does.

    Args:
        source: a run (id, path, or open; None for the newest), a checkpoint, an import path
            ``package.module:factory``, or a network.
        target: a row of the table of targets, e.g. ``tflite`` or ``onnx``.
        quantize: a row of the table of schemes, e.g. ``int8``; None: what suits the profile.
        profile: the kind of device: ``cpu``, ``pi-legacy``, ``mcu`` or ``npu``.
        io: the type of inputs and outputs; None: the scheme's own.
        layout: of images in the file, ``nchw`` or ``nhwc``; None: the target's own.
        batch: samples a call; 0: any number; None: the target's own.
        free_axis: an axis of the inputs, counted from the batch, whose size stays free.
        embed_preprocess: make normalisation and softmax parts of the file.
        keep_float: patterns of layers that are not quantized.
        calibration: how the ranges of activations are set.
        out: the folder of the artifact; by default ``artifacts/NAME`` inside the run, or
            ``artifacts/MODEL/NAME`` in the current folder for a source that is no run.
        tolerance: the largest error of a float file; see `edgekd.export.parity`.
        max_drop: the largest loss of accuracy of a quantized file, in percentage points.
        recipe: gives data, and the architecture of a checkpoint.
        input_shape: the shape of one sample, channels first, where no recipe gives it.
        inputs: likewise, of several inputs or of integers.
        samples: samples of the inputs ``(n, *shape)`` by name, or a .npz file of them, where no
            recipe gives data: half of them set ranges, the file is held against the others.
        exit: the early exit to end at, from 1 on; the network's own end counts as the last.
            None: that end.
        segment: begin where the exit before ``exit`` ends, and give what the next segment takes.
        seed: decides which samples are used, and a factory's random weights.
        held_out: the most samples to compare on.
        overwrite: replace an artifact that exists.

    Returns:
        The artifact, written and proved.

    Raises:
        ParityError: the file does something else; it is kept beside the place, ``NAME.failed``.
        ExportError: the network cannot be converted, or cannot be quantized so.
        OutputExistsError: the place is taken and ``overwrite`` is off.
        EdgekdError: the source cannot be found, built or trusted.
    """
    plan = make_plan(
        target,
        quantize=quantize,
        profile=profile,
        io=io,
        layout=layout,
        batch=batch,
        free_axis=free_axis,
        embed_preprocess=embed_preprocess,
        keep_float=tuple(keep_float),
        calibration=calibration or CalibrationPlan(),
    )
    exporter: Exporter = TARGETS.resolve(target)()
    exporter.require(plan)
    _check_arguments(tolerance, max_drop, held_out)
    ports = (Port(INPUT, input_shape),) if input_shape is not None else tuple(inputs)
    own = None if samples is None else Samples.of(samples)
    given = _find(source, Wanted(recipe, ports, own, seed), plan)
    found = at_exit(given, exit, segment=segment)
    name = f"{plan.name}{suffix(exit, segment=segment)}"
    directory = found.home / name if out is None else Path(out)
    if not overwrite:
        _refuse_existing(directory)
    task = Task(found, plan, exporter, name, Limits(tolerance, max_drop), held_out, seed)
    with (
        writing(Path(tempfile.gettempdir())),
        tempfile.TemporaryDirectory(prefix="edgekd-export-") as folder,
    ):
        file, manifest = make(task, Path(folder))
        return _publish(file, manifest, directory, overwrite=overwrite)


def _check_arguments(tolerance: float, max_drop: float, held_out: int) -> None:
    for name, value, least in (("tolerance", tolerance, 0.0), ("max_drop", max_drop, 0.0)):
        if not (np.isfinite(value) and value >= least):
            raise ExportError(f"{name} must be a number of {least:g} or more, not {value}")
    if held_out < 2:
        raise ExportError(f"held_out must be 2 or more, not {held_out}")


def _refuse_existing(directory: Path) -> None:
    try:
        refuse_existing(directory)
    except OutputExistsError as error:
        raise OutputExistsError(
            error.message, hint="Replace it with --overwrite, or choose another place with --out."
        ) from error


def _find(source: Any, wanted: Wanted, plan: Plan) -> Source:
    """Find the source; a Keras model has targets of its own.

    Raises:
        ExportError: the target does not take such a source.
    """
    found = find_keras(source, wanted) if is_keras(source) else find(source, wanted)
    check_target(found.model, plan.target)
    return found


def _publish(
    file: Path, manifest: ArtifactManifest, directory: Path, *, overwrite: bool
) -> Artifact:
    """Put a good file where it belongs; keep a bad one aside and say what is wrong.

    Raises:
        ParityError: the manifest says that the file did not pass.
    """
    passed = manifest.parity.passed
    place = directory if passed else directory.with_name(f"{directory.name}.failed")
    with new_directory(place, overwrite=overwrite or not passed) as staging:
        shutil.copyfile(file, staging / file.name)
        write_record(staging / "manifest.json", manifest)
    if not passed:
        kept = f"Kept for a look, under a name that nothing else uses: {place}"
        raise ParityError(
            f"{manifest.name} does not do what the network does: {manifest.parity.message}",
            hint=f"{_way_out(manifest)}{kept}",
        )
    return Artifact(place, manifest)


def _way_out(manifest: ArtifactManifest) -> str:
    """Say what helps where 8 bits cost too much."""
    if manifest.quantize != INT8.name or "student-qat" in manifest.parents:
        return ""
    return (
        "Let the student learn in 8 bits: [quantize] qat = true in its recipe. Or find the layers "
        "to keep in float: edgekd export --sensitivity.\n"
    )
