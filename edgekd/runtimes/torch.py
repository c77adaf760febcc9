"""PyTorch itself as a runtime: the network that a file was made of, to hold the file against."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from edgekd.errors import ModelFileError
from edgekd.models.build import build
from edgekd.models.exits import add_exits
from edgekd.models.shrink import shrink
from edgekd.models.weights import load_weights, read_state
from edgekd.records import Network, TensorSpec
from edgekd.rundir import Run
from edgekd.runtimes.session import Array, check_arrays

_RETURNED = "Return a tensor, or a tuple, dictionary or dataclass of tensors."


def load(path: str | Path, *, threads: int = 1) -> TorchSession:
    """Load the weights of a run, the architecture taken from the run beside them.

    Args:
        path: ``student.safetensors`` or ``teacher.safetensors`` in a run directory.
        threads: CPU threads of one operator.

    Raises:
        ModelFileError: no run stands beside the file, so that nothing says what to build.
        ModelError: the weights do not fit.
    """
    path = Path(path)
    if not (path.parent / "manifest.json").is_file():
        raise ModelFileError(
            f"{path}: weights alone are no model, and no run stands beside them",
            hint="Name the student.safetensors of a run directory.",
        )
    run = Run.open(path.parent)
    return TorchSession(restore(run, path), network_of(run, path).sample_shape, threads=threads)


def restore(run: Run, weights: Path) -> nn.Module:
    """Build the network of a run and load its weights.

    Args:
        run: says what to build.
        weights: the file.

    Raises:
        ModelError: the network cannot be built, or the weights do not fit.
    """
    known = network_of(run, weights)
    model = build(
        known.model,
        known.options,
        num_classes=known.num_classes,
        input_shape=known.sample_shape,
        where=weights.stem,
    )
    if known.pruned is not None:
        shrink(model, read_state(weights))
    if known.exits is not None:
        add_exits(
            model,
            known.exits.at,
            known.exits.head,
            num_classes=known.num_classes,
            input_shape=known.sample_shape,
        )
    load_weights(model, weights)
    return model


def network_of(run: Run, weights: Path) -> Network:
    """Return what a run knows of one of its networks; of weights it does not know, the student."""
    found = run.manifest.networks
    if weights.name in found or run.student_path.name in found:
        return found.get(weights.name) or found[run.student_path.name]
    # A run of before networks were recorded has one teacher, and one input for both.
    teacher = weights.name == run.teacher_path.name
    spec = run.recipe.teacher[0] if teacher else run.recipe.student
    return Network(
        model=spec.model,
        options=spec.options,
        num_classes=len(run.manifest.classes),
        sample_shape=run.manifest.sample_shape,
        preprocess=run.manifest.preprocess,
    )


class TorchSession:
    """A network in eval mode; see `edgekd.runtimes.session.Session`.

    Args:
        model: the network. Its mode is set to eval; a caller that minds gives a copy.
        input_shape: the shape of one sample, channels first.
        threads: CPU threads of one operator.
    """

    def __init__(self, model: nn.Module, input_shape: Sequence[int], *, threads: int = 1) -> None:
        """Switch to eval and look at what one sample gives."""
        self._model = model.eval()
        self._threads = threads
        self.runtime = f"torch {torch.__version__}"
        layout = "nchw" if len(input_shape) == 3 else None
        self.inputs = (
            TensorSpec(name="input", shape=(None, *input_shape), dtype="float32", layout=layout),
        )
        self.outputs: tuple[TensorSpec, ...] = ()
        outputs = self.run([torch.zeros(1, *input_shape).numpy()])
        self.outputs = tuple(
            TensorSpec(name=name, shape=(None, *y.shape[1:]), dtype=str(y.dtype))
            for name, y in zip(output_names(len(outputs)), outputs, strict=True)
        )

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run one batch.

        Raises:
            DataError: the arrays do not fit the inputs.
        """
        check_arrays(self.inputs, arrays)
        threads = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.no_grad():
                result = self._model(*(torch.from_numpy(array) for array in arrays))
        finally:
            torch.set_num_threads(threads)
        return [tensor.numpy() for tensor in flat_outputs(result).values()]


def output_names(count: int) -> tuple[str, ...]:
    """Return the names of outputs that have none of their own."""
    return ("output",) if count == 1 else tuple(f"output_{index}" for index in range(count))


def flat_outputs(result: object) -> dict[str, torch.Tensor]:
    """Return what a network gave as named tensors.

    A single tensor is ``output``; a tuple or list is ``output_0``, ``output_1``, ... A
    dictionary, a named tuple or a dataclass keeps its names, in alphabetical order, without those
    that are None; a tuple inside it becomes ``name_0``, ``name_1``, ...

    Raises:
        ModelFileError: something in it is not a tensor.
    """
    if isinstance(result, torch.Tensor):
        return {"output": result}
    tensors: dict[str, torch.Tensor] = {}
    for name, value in _named(result).items():
        several = list(value) if isinstance(value, tuple | list) else [value]
        for index, one in enumerate(several):
            if not isinstance(one, torch.Tensor):
                raise ModelFileError(
                    f"the network gives {type(one).__name__} as {name!r}, not a tensor",
                    hint=_RETURNED,
                )
            tensors[name if several[0] is value else f"{name}_{index}"] = one
    if not tensors:
        raise ModelFileError(
            f"the network gives {type(result).__name__}, not tensors", hint=_RETURNED
        )
    return tensors


def _named(result: object) -> dict[str, object]:
    """Return the parts of what a network gave, by name."""
    if dataclasses.is_dataclass(result) and not isinstance(result, dict):
        found = {one.name: getattr(result, one.name) for one in dataclasses.fields(result)}
    elif isinstance(result, dict):  # transformers' outputs are dataclasses too
        found = {str(name): value for name, value in result.items()}
    elif isinstance(result, tuple) and hasattr(result, "_asdict"):
        found = dict(result._asdict())
    elif isinstance(result, tuple | list):
        return dict(zip(output_names(len(result)), result, strict=True))
    else:
        return {}
    return {name: found[name] for name in sorted(found) if found[name] is not None}
