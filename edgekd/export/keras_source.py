"""Keras models and SavedModels as sources: for teams whose pipeline is TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from edgekd.data.load import load_for_student
from edgekd.data.split import Dataset
from edgekd.errors import ExportError, ModelError, ModelFileError
from edgekd.export.keras_network import KerasNetwork, KerasOrigin, input_names
from edgekd.export.ports import INPUT, Port, of_arrays
from edgekd.export.seam import held_back
from edgekd.export.source import Source, Wanted
from edgekd.records import FileRecord, ModelFacts, TensorSpec
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.keras_tensors import output_names
from edgekd.runtimes.kinds import model_sha256, runtime_of
from edgekd.runtimes.module import with_layout
from edgekd.runtimes.session import Session

#: What targets there are for such a source, by its kind.
TARGETS_OF = {"keras": "keras", "object": "keras", "saved-model": "savedmodel"}

_SUFFIXES = (".keras", ".h5", ".hdf5")
_IMAGE_AXES = 4


@dataclass(frozen=True, eq=False)
class KerasSource(Source):
    """A Keras model, or a SavedModel, and all that is known of it.

    Attributes:
        count: its parameters.
    """

    count: int | None = None

    def facts(self) -> ModelFacts:
        """Return what is known without running it."""
        return ModelFacts(
            name=self.name,
            parameters=self.count,
            size_bytes=None if self.weights is None else self.weights.size_bytes,
            sha256=None if self.weights is None else self.weights.sha256,
        )


def is_keras(source: object) -> bool:
    """Say whether a source is a Keras model, a Keras file, or a SavedModel's folder.

    A model counts by its class, so that Keras is not imported for those that are none.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return path.suffix.lower() in _SUFFIXES or (path / "saved_model.pb").is_file()
    return any(one.__module__.partition(".")[0] == "keras" for one in type(source).__mro__)


def find_keras(source: Any, wanted: Wanted) -> KerasSource:
    """Load a Keras model or SavedModel, with the data that the user named.

    Args:
        source: the model, the file, or the folder.
        wanted: what else was said.

    Raises:
        ModelFileError: the file is missing, damaged, or cannot be run.
        ModelError: its inputs do not fit the data.
        MissingExtraError: Keras, or TensorFlow for a SavedModel, is not installed.
    """
    session, origin, name = _opened(source)
    model = getattr(session, "model", None)
    if not session.inputs:
        raise ModelError(
            f"the Keras model {name} has no inputs yet",
            hint="Start it with keras.Input(shape), or call it once on data before exporting it.",
        )
    dataset = None if wanted.recipe is None else load_for_student(wanted.recipe)
    inputs = _laid_out(session.inputs, name, dataset, wanted)
    outputs = output_names(model) if model is not None else [one.name for one in session.outputs]
    network = KerasNetwork(session, origin, inputs, outputs)
    record = None if origin.path is None else _record(origin.path)
    return KerasSource(
        model=network,
        name=name,
        ports=_ports(network, model, dataset, wanted),
        home=Path("artifacts") / re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-."),
        dataset=dataset,
        samples=None if dataset is not None else wanted.samples,
        weights=record,
        parents={} if record is None else {"model": record.sha256},
        count=None if model is None else int(model.count_params()),
    )


def _opened(source: Any) -> tuple[Session, KerasOrigin, str]:
    """Return the loaded model, where it came from, and what it is called."""
    if isinstance(source, str | Path):
        path = Path(source)
        kind = runtime_of(path)
        if kind not in TARGETS_OF:
            raise ModelFileError(f"{path} is neither a Keras file nor a SavedModel")
        with held_back():
            session: Session = RUNTIMES.resolve(kind)(path)
        return session, KerasOrigin(kind, path), path.stem
    RUNTIMES.resolve("keras")  # says which extra is missing
    from edgekd.runtimes.keras import KerasSession

    name = str(source.name)
    return KerasSession(Path(name), source), KerasOrigin("object", model=source), name


def _laid_out(
    specs: Sequence[TensorSpec], name: str, dataset: Dataset | None, wanted: Wanted
) -> list[TensorSpec]:
    """Return the inputs with their layouts: as the data has them, else images NHWC.

    Raises:
        ModelError: the data's samples do not fit.
    """
    if dataset is not None and len(specs) != 1:
        raise ModelError(
            f"{name} takes {len(specs)} inputs, a sample of the recipe's data is one",
            hint="Give samples of every input: --samples samples.npz.",
        )
    found = []
    for spec, port in zip(specs, _said(specs, dataset, wanted), strict=True):
        if port is None:
            layout = "nhwc" if len(spec.shape) == _IMAGE_AXES else None
            found.append(spec.model_copy(update={"layout": layout}))
            continue
        # Axes of equal size: the data's images and signals have channels first, the user's own
        # sequences are taken as they are.
        last = dataset is not None or len(port.shape) == _IMAGE_AXES - 1
        fitting = with_layout(spec, port.shape, last)
        if fitting is None:
            wants = ", ".join("any" if size is None else str(size) for size in spec.shape[1:])
            raise ModelError(
                f"the input {spec.name!r} of {name} takes samples of shape ({wants}), "
                f"the data's are {port.shape}, channels first",
                hint="Give data of its shape; Keras has channels last, edgekd channels first.",
            )
        found.append(fitting)
    return found


def _said(
    specs: Sequence[TensorSpec], dataset: Dataset | None, wanted: Wanted
) -> list[Port | None]:
    """Return what the user said of every input: by its name, or of the only one."""
    if dataset is not None:
        return [Port(INPUT, dataset.sample_shape)]
    ports = wanted.ports if wanted.samples is None else of_arrays(wanted.samples.inputs)
    if not ports:
        return [None] * len(specs)
    if len(specs) == 1 and len(ports) == 1:
        return [replace(ports[0], name=INPUT)]
    by_name = {port.name: port for port in ports}
    names = input_names(specs)
    if set(by_name) != set(names):
        raise ModelError(
            f"the inputs are {', '.join(names)}, not {', '.join(by_name)}",
            hint="Name them so in --input or --samples.",
        )
    return [by_name[name] for name in names]


def _ports(
    network: KerasNetwork, model: Any, dataset: Dataset | None, wanted: Wanted
) -> tuple[Port, ...]:
    """Return the inputs as the rest of edgekd has them, channels first.

    Raises:
        ExportError: a size is free, and nothing says what it is to be.
    """
    said = _said(network.inputs, dataset, wanted)
    if None not in said:
        return tuple(port for port in said if port is not None)
    words = _vocabulary(model)
    ports = []
    for name, spec in zip(network.input_names, network.inputs, strict=True):
        sizes = spec.shape[1:]
        shape = tuple(size for size in sizes if size is not None)
        if len(shape) < len(sizes):
            raise ExportError(
                f"the input {name!r} leaves a size free: {spec.shape}",
                hint="Give the shape of one sample, channels first: --input-shape 3,224,224.",
            )
        if spec.layout == "nhwc":
            shape = (shape[-1], *shape[:-1])
        whole = np.dtype(spec.dtype).kind in "iub"
        ports.append(Port(name, shape, spec.dtype if whole else "float32", 0, words - 1))
    return tuple(ports)


def _vocabulary(model: Any) -> int:
    """Return how many words the smallest embedding knows; 2 where there is none."""
    layers = [] if model is None else model._flatten_layers()
    return min((int(one.input_dim) for one in layers if hasattr(one, "input_dim")), default=2)


def _record(path: Path) -> FileRecord:
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    size = sum(item.stat().st_size for item in files)
    return FileRecord(sha256=model_sha256(path), size_bytes=size)


def check_target(model: nn.Module, target: str) -> None:
    """Refuse a target that cannot take such a network, before any work is done.

    Raises:
        ExportError: a Keras model is to go through PyTorch's exporters, or the reverse.
    """
    found = [one for one in model.modules() if isinstance(one, KerasNetwork)]
    fitting = TARGETS_OF[found[0].origin.kind] if found else None
    if fitting == target or (fitting is None and target not in TARGETS_OF.values()):
        return
    if fitting is None:
        raise ExportError(
            f"--target {target} takes a Keras model or a SavedModel, not a PyTorch network",
            hint="Use --target tflite: it makes the same kind of file of a PyTorch network.",
        )
    raise ExportError(
        f"--target {target} cannot take this source",
        hint=f"It goes through TensorFlow's own converter: --target {fitting}.",
    )
