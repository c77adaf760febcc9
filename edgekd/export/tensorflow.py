"""TFLite files by TensorFlow's own converter, from Keras models and SavedModels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekd.errors import ExportError, MissingExtraError
from edgekd.export.embed import Embedded
from edgekd.export.exporter import Exported, Layout, check_scheme, installed
from edgekd.export.integers import int8_notes
from edgekd.export.keras_network import KerasNetwork
from edgekd.export.keras_source import check_target
from edgekd.export.plan import Plan
from edgekd.export.ports import Arrays
from edgekd.export.seam import converting
from edgekd.export.surface import Surface
from edgekd.export.tf_convert import MODEL, Job, Tensor, convert, described
from edgekd.quantize.calibration import MIN_MAX

_WHAT = "conversion by TensorFlow"

_LOOPS = (
    "A SavedModel's loops (LSTM, GRU) are fixed to any batch size, which TFLite cannot run: give "
    "the .keras file (--target keras), or save the model with unroll=True in these layers."
)

#: How far a normalisation may be from a multiplication and an addition.
_AFFINE = 1e-4


class TensorFlowExporter:
    """Makes ``model.tflite`` with ``tf.lite.TFLiteConverter``, in a process of its own.

    Args:
        target: the row of the table of targets.
    """

    runtime = "litert"
    schemes: tuple[str, ...] = ("none", "fp16", "int8")
    image_layout: Layout = "nhwc"
    batch: int | None = 1

    def require(self, plan: Plan) -> None:
        """Refuse when a package is missing, and what TensorFlow's converter cannot do.

        Raises:
            ExportError: the plan asks for what this converter does not have.
            MissingExtraError: names the package.
        """
        check_scheme(self, plan)
        if plan.keep_float:
            raise ExportError(
                f"--target {plan.target} cannot keep layers in float: TensorFlow's converter "
                "quantizes all or nothing",
                hint="Without --keep-float, or build the network in PyTorch: --target tflite.",
            )
        if plan.calibration.method != MIN_MAX:
            raise ExportError(
                f"TensorFlow's converter sets ranges by {MIN_MAX} alone, "
                f"not by {plan.calibration.method}"
            )
        for package in ("tensorflow", "keras", "ai_edge_litert"):
            if not installed(package):
                raise MissingExtraError(
                    f"export to {plan.target}", extra="tensorflow", package=package
                )

    def export(
        self, surface: Surface, plan: Plan, *, calibration: Arrays | None, directory: Path
    ) -> Exported:
        """Write ``model.tflite``; see `edgekd.export.exporter.Exporter.export`."""
        check_target(surface.model, plan.target)
        network = _only(surface.model, KerasNetwork)
        path = directory / "model.tflite"
        with (
            converting(_WHAT),
            tempfile.TemporaryDirectory(prefix="tensorflow-", dir=directory) as name,
        ):
            folder = Path(name)
            job = _job(surface, plan, network)
            if calibration is not None:
                _write_feeds(surface, job, calibration, folder)
            notes = _converted(job, network, folder)
            from edgekd.quantize.flatbuffer import compact

            content = compact((folder / MODEL).read_bytes())
        path.write_bytes(content)
        return Exported(path, (*notes, *int8_notes(content, plan)))


class KerasExporter(TensorFlowExporter):
    """Takes Keras models: .keras and .h5 files, and models at hand."""


class SavedModelExporter(TensorFlowExporter):
    """Takes SavedModels: folders with saved_model.pb."""


def _only(model: nn.Module, kind: type[Any]) -> Any:
    """Return the part of a network that is of this class, or None."""
    return next((one for one in model.modules() if isinstance(one, kind)), None)


def _job(surface: Surface, plan: Plan, network: KerasNetwork) -> Job:
    """Describe the file to TensorFlow."""
    inputs = [
        Tensor(
            name,
            source=spec.name,
            order=_order(len(spec.shape), surface.layouts[name] == "nhwc", spec.layout == "nhwc"),
            shape=_free(surface, tuple(surface.example[name].shape)),
            dtype=str(surface.example[name].dtype).removeprefix("torch."),
        )
        for name, spec in zip(network.input_names, network.inputs, strict=True)
    ]
    names = surface.outputs if len(network.outputs) == 1 else network.output_names
    outputs = [
        Tensor(
            name,
            source=spec.name,
            order=_order(len(spec.shape), spec.layout == "nhwc", surface.layouts[name] == "nhwc"),
        )
        for name, spec in zip(names, network.outputs, strict=True)
    ]
    embedded = _only(surface.model, Embedded)
    scale, offset = (None, None) if embedded is None else _affine(embedded, surface)
    return Job(
        kind="saved-model" if network.origin.kind == "saved-model" else "keras",
        path="" if network.origin.path is None else str(network.origin.path.resolve()),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        scheme=plan.scheme.name,
        io=plan.io or "int8",
        integers_only=plan.profile.integers_only,
        # As in edgekd's other TFLite files: not every kernel reads a scale a channel there.
        dense_per_tensor=plan.profile.old_runtime or plan.profile.integers_only,
        scale=scale,
        offset=offset,
        softmax=embedded is not None and embedded.softmax,
    )


def _order(rank: int, from_last: bool, to_last: bool) -> tuple[int, ...] | None:
    """Return the order of axes that brings channels from one place to the other.

    >>> _order(4, False, True), _order(4, True, False), _order(3, False, True)
    ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1))
    """
    if from_last == to_last:
        return None
    inner = tuple(range(2, rank)) if to_last else tuple(range(1, rank - 1))
    return (0, *inner, 1) if to_last else (0, rank - 1, *inner)


def _free(surface: Surface, shape: tuple[int, ...]) -> tuple[int | None, ...]:
    """Return the shape of an input with None for the sizes that stay free."""
    free = {surface.free_axis, 0 if surface.batch is None else None}
    return tuple(None if axis in free else size for axis, size in enumerate(shape))


def _affine(embedded: Embedded, surface: Surface) -> tuple[Any, Any]:
    """Return the normalisation of a network as what its raw input is multiplied with and added to.

    Raises:
        ExportError: it does more than that, e.g. resize.
    """
    name, example = next(iter(surface.example.items()))
    shape = example.shape[1:]
    if surface.layouts[name] == "nhwc":
        shape = torch.Size((shape[-1], *shape[:-1]))
    noise = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)) * 255

    def prepared(raw: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = embedded.preprocess(raw)
        return found

    with torch.no_grad():
        offset = prepared(torch.zeros(1, *shape))
        scale = (prepared(torch.full((1, *shape), 255.0)) - offset) / 255
        wanted = prepared(noise)
    if offset.shape == noise.shape:  # one number a channel, which the check below confirms
        offset, scale = (_first_place(part) for part in (offset, scale))
    fits = wanted.shape == noise.shape and torch.allclose(
        noise * scale + offset, wanted, rtol=_AFFINE, atol=_AFFINE
    )
    if not fits:
        raise ExportError(
            "--embed-preprocess: the recipe does more than normalise, which cannot become a part "
            "of this file",
            hint="Put it into the Keras model itself, e.g. keras.layers.Resizing.",
        )
    if surface.layouts[name] == "nhwc":
        offset, scale = (part.permute(0, 2, 3, 1) for part in (offset, scale))
    return scale.tolist(), offset.tolist()


def _first_place(values: torch.Tensor) -> torch.Tensor:
    """Return the first value of every channel, with axes of size 1 for the rest."""
    return values.flatten(2)[..., 0].reshape(*values.shape[:2], *(1,) * (values.ndim - 2))


def _write_feeds(surface: Surface, job: Job, calibration: Arrays, folder: Path) -> None:
    """Write the calibration samples, a batch of the file each, input by input."""
    for number, one in enumerate(job.inputs):
        batches = [feed[one.name] for feed in surface.feeds(calibration)]
        np.save(folder / f"calibration-{number}.npy", np.stack(batches))


def _converted(job: Job, network: KerasNetwork, folder: Path) -> list[str]:
    """Run the converter, and return its notes."""
    model = network.origin.model
    if model is not None:
        import keras

        if keras.backend.backend() == "tensorflow":
            # Here, because layers of the user's own are known to this program alone.
            try:
                return convert(job, folder, model)
            except Exception as error:  # of TensorFlow, MLIR and Keras: anything may happen
                raise _failed(described(error), job) from error
        saved = folder / "model.keras"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Keras about NumPy
            model.save(saved)
        job = Job(**{**vars(job), "path": str(saved)})
    job.write(folder)
    return _spawned(folder, job)


def _spawned(folder: Path, job: Job) -> list[str]:
    """Run the converter in a process of its own; it writes to this one's outputs.

    Raises:
        ExportError: it failed, or was killed.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    command = [sys.executable, "-W", "ignore", "-m", "edgekd.export.tf_convert", str(folder)]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
    reply_path = folder / "reply.json"
    reply = json.loads(reply_path.read_text(encoding="utf-8")) if reply_path.is_file() else {}
    if "error" in reply:
        raise _failed(reply["error"], job)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        loops = job.scheme == "int8" and job.kind == "saved-model"
        raise ExportError(
            f"{_WHAT} was killed by {name}",
            hint=_LOOPS if loops else "--debug shows the converter's own words.",
        )
    if done.returncode:
        raise ExportError(f"{_WHAT} ended with code {done.returncode}", hint="Look at --debug.")
    return list(reply["notes"])


def _failed(said: str, job: Job) -> ExportError:
    return ExportError(f"{_WHAT} failed: {said}", hint=_hint(said, job))


def _hint(message: str, job: Job) -> str:
    if "TensorList" in message and job.kind == "saved-model":
        return _LOOPS
    if "no such operators" in message:
        return "Replace them in the model by operators that TFLite has."
    if "deserialize" in message or "registered" in message or "Could not locate" in message:
        return (
            "Layers of its own are known only where they are defined: set KERAS_BACKEND=tensorflow "
            "there, and call edgekd.export(model, target='keras')."
        )
    return "--debug shows the converter's own words."
