"""``edgekd.export``: convert, run the file, hold it against the network, write it down."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from torch import nn

from edgekd import provenance
from edgekd.errors import ExportError, OutputExistsError, ParityError
from edgekd.export import TARGETS
from edgekd.export.exits import at_exit, suffix
from edgekd.export.exporter import Exporter
from edgekd.export.parity import Floats, HeldOut, Limits
from edgekd.export.prepare import prepare
from edgekd.export.proof import prove
from edgekd.export.source import Source, find
from edgekd.quantize import SCHEMES
from edgekd.quantize.calibration import calibration_samples
from edgekd.quantize.schemes import Scheme
from edgekd.recipe import Recipe
from edgekd.records import ArtifactManifest, Calibration
from edgekd.rundir import Artifact, Run, file_record, new_directory, refuse_existing, write_record
from edgekd.storage import writing

_PACKAGES = (
    "torch",
    "litert-torch",
    "litert-converter",
    "ai-edge-quantizer",
    "ai-edge-litert",
    "onnx",
    "onnxscript",
    "onnxruntime",
)


def export(
    source: str | Path | Run | nn.Module | None = None,
    *,
    target: str,
    quantize: str = "none",
    out: Path | None = None,
    tolerance: float = 1e-4,
    max_drop: float = 1.0,
    recipe: Recipe | None = None,
    input_shape: tuple[int, ...] | None = None,
    exit: int | None = None,
    segment: bool = False,
    seed: int = 0,
    samples: int = 256,
    overwrite: bool = False,
) -> Artifact:
    """Convert a network into a file, and prove that the file does what the network does.

    Args:
        source: a run (id, path, or open; None for the newest), a checkpoint, an import path
            ``package.module:factory``, or a network.
        target: ``tflite`` or ``onnx``.
        quantize: ``none``, ``fp16``, ``int8`` or ``int8-dynamic``.
        out: the folder of the artifact; by default ``artifacts/NAME`` inside the run, or
            ``artifacts/MODEL/NAME`` in the current folder for a source that is no run.
        tolerance: the largest error of a float file; see `edgekd.export.parity`.
        max_drop: the largest loss of accuracy of a quantized file, in percentage points.
        recipe: gives data, and the architecture of a checkpoint.
        input_shape: the shape of one sample, channels first, where no recipe gives it.
        exit: the early exit to end at, from 1 on; the network's own end counts as the last.
            None: that end.
        segment: begin where the exit before ``exit`` ends, and give what the next segment takes.
        seed: decides which samples are used, and a factory's random weights.
        samples: the most held-out samples to compare on.
        overwrite: replace an artifact that exists.

    Returns:
        The artifact, written and proved.

    Raises:
        ParityError: the file does something else; it is kept beside the place, ``NAME.failed``.
        ExportError: the network cannot be converted, or cannot be quantized so.
        OutputExistsError: the place is taken and ``overwrite`` is off.
        EdgekdError: the source cannot be found, built or trusted.
    """
    started = time.perf_counter()
    exporter: Exporter = TARGETS.resolve(target)()
    scheme: Scheme = SCHEMES.resolve(quantize)
    exporter.require(scheme)
    _check_arguments(tolerance, max_drop, samples)
    found = find(source, recipe=recipe, input_shape=input_shape, seed=seed)
    name = f"{target}-{scheme.suffix}{suffix(exit, segment=segment)}"
    found = at_exit(found, exit, segment=segment)
    directory = found.home / name if out is None else Path(out)
    if not overwrite:
        _refuse_existing(directory)
    inputs, calibration = _calibration(found, scheme, seed)
    held_out = found.held_out(samples, seed)
    prepared = prepare(found.model, _example(held_out))
    with (
        writing(Path(tempfile.gettempdir())),
        tempfile.TemporaryDirectory(prefix="edgekd-export-") as folder,
    ):
        exported = exporter.export(
            prepared, scheme=scheme, calibration=inputs, directory=Path(folder)
        )
        proof = prove(exported, exporter, prepared, held_out, scheme, Limits(tolerance, max_drop))
        manifest = ArtifactManifest(
            name=name,
            target=target,
            quantize=scheme.name,
            exit=found.exit,
            segment=found.segment,
            file=exported.path.name,
            inputs=proof.inputs,
            outputs=proof.outputs,
            preprocess=found.preprocess,
            classes=found.classes,
            model=found.facts(),
            calibration=calibration,
            parity=proof.parity,
            notes=exported.notes,
            parents=found.parents,
            files={exported.path.name: file_record(exported.path)},
            provenance=provenance.collect(
                seed=seed, packages=_PACKAGES, wall_seconds=time.perf_counter() - started
            ),
        )
        return _publish(exported.path, manifest, directory, overwrite=overwrite)


def _check_arguments(tolerance: float, max_drop: float, samples: int) -> None:
    for name, value, least in (("tolerance", tolerance, 0.0), ("max_drop", max_drop, 0.0)):
        if not (np.isfinite(value) and value >= least):
            raise ExportError(f"{name} must be a number of {least:g} or more, not {value}")
    if samples < 2:
        raise ExportError(f"samples must be 2 or more, not {samples}")


def _refuse_existing(directory: Path) -> None:
    try:
        refuse_existing(directory)
    except OutputExistsError as error:
        raise OutputExistsError(
            error.message, hint="Replace it with --overwrite, or choose another place with --out."
        ) from error


def _calibration(
    source: Source, scheme: Scheme, seed: int
) -> tuple[Floats | None, Calibration | None]:
    if not scheme.calibrated:
        return None, None
    if source.dataset is None:
        raise ExportError(
            f"{scheme.name} needs data to set the ranges of activations, and no recipe names any",
            hint="Give a recipe: --recipe recipe.toml. Without data: --quantize fp16.",
        )
    inputs, record = calibration_samples(source.dataset, seed=seed)
    return source.fed(inputs), record


def _example(held_out: HeldOut) -> Floats:
    """Return two samples; a split of one gives it twice."""
    return np.resize(held_out.inputs, (2, *held_out.inputs.shape[1:]))


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
        raise ParityError(
            f"{manifest.name} does not do what the network does: {manifest.parity.message}",
            hint=f"Kept for a look, under a name that nothing else uses: {place}",
        )
    return Artifact(place, manifest)
