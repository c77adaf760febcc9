"""What to export: a run, a checkpoint, the user's own factory, or a network at hand."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekd.data.load import load_for_student
from edgekd.data.split import Dataset
from edgekd.errors import DataError, ExportError, ModelError, ModelFileError
from edgekd.export.parity import Floats, HeldOut
from edgekd.models.build import build
from edgekd.models.count import macs, parameters
from edgekd.models.modes import evaluating
from edgekd.models.parts import Part
from edgekd.models.weights import load_weights
from edgekd.recipe import Recipe
from edgekd.records import FileRecord, ModelFacts, Preprocess
from edgekd.registry import load_target, options_of
from edgekd.rundir import Run, file_record
from edgekd.runtimes.torch import network_of, restore

_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".th", ".ckpt", ".bin")
_EXPORTED = (".tflite", ".onnx")

#: The split that a file is held against: training only used it to choose the epoch.
SPLIT = "validation"


@dataclass(frozen=True, eq=False)
class Source:
    """A network and all that is known of it.

    Attributes:
        model: the network.
        name: its name in the zoo, its import path, or its class.
        input_shape: the shape of one sample, channels first.
        home: where its artifacts go unless the user says otherwise.
        dataset: the data, or None where no recipe names it.
        weights: the hash and size of the file that its weights came from.
        parents: hashes of what it descends from.
        before: what turns samples into its input, where it is a later segment of a network.
        exit: the early exit that it ends at, from 1 on; None: at the network's own end.
        segment: it begins where the exit before it ends.
    """

    model: nn.Module
    name: str
    input_shape: tuple[int, ...]
    home: Path
    dataset: Dataset | None = None
    weights: FileRecord | None = None
    parents: dict[str, str] = field(default_factory=dict)
    before: Part | None = None
    exit: int | None = None
    segment: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in label order."""
        return () if self.dataset is None else self.dataset.classes

    @property
    def preprocess(self) -> Preprocess:
        """How raw samples become network input; a later segment takes no samples."""
        if self.dataset is None or self.before is not None:
            return Preprocess()
        return self.dataset.preprocess

    def fed(self, inputs: Floats) -> Floats:
        """Return the source's own input for input of the whole network."""
        if self.before is None:
            return inputs
        with evaluating(self.before), torch.no_grad():
            found: Floats = self.before(torch.from_numpy(inputs)).numpy()
        return found

    def facts(self) -> ModelFacts:
        """Count parameters and multiply-accumulates."""
        return ModelFacts(
            name=self.name,
            parameters=parameters(self.model),
            macs=macs(self.model, self.input_shape),
            size_bytes=None if self.weights is None else self.weights.size_bytes,
            sha256=None if self.weights is None else self.weights.sha256,
        )

    def held_out(self, samples: int, seed: int) -> HeldOut:
        """Return samples to hold a file against: of the validation split, or random ones.

        Args:
            samples: take at most this many, drawn with the seed.
            seed: decides which.
        """
        generator = np.random.default_rng(seed)
        if self.dataset is None:
            shape = self.input_shape if self.before is None else self.before.input_shape
            inputs = generator.standard_normal((samples, *shape), dtype=np.float32)
            ids = tuple(f"random/{index:04d}" for index in range(samples))
            return HeldOut(self.fed(inputs), ids, None, "random")
        part = self.dataset.splits[SPLIT]
        chosen = np.arange(len(part))
        if len(part) > samples:
            chosen = np.sort(generator.choice(len(part), samples, replace=False))
        return HeldOut(
            inputs=self.fed(self.dataset.normalised(SPLIT, chosen)),
            ids=tuple(part.ids[index] for index in chosen),
            targets=part.targets[chosen],
            source=SPLIT,
        )


def find(
    source: str | Path | Run | nn.Module | None,
    *,
    recipe: Recipe | None,
    input_shape: tuple[int, ...] | None,
    seed: int,
) -> Source:
    """Find out what the user means.

    Args:
        source: see `edgekd.export.stage.export`.
        recipe: gives data, and the architecture of a checkpoint.
        input_shape: the shape of one sample, where no recipe gives it.
        seed: of a factory's random weights.

    Raises:
        RunError, ModelError, DataError: it cannot be found, built or trusted.
    """
    if isinstance(source, nn.Module):
        return _module(source, type(source).__name__, recipe, input_shape)
    if isinstance(source, Run) or source is None:
        return _run(Run.open(source))
    if ":" in str(source) and not Path(source).exists():
        return _factory(str(source), recipe, input_shape, seed)
    path = Path(source)
    if path.suffix.lower() in _EXPORTED:
        raise ModelFileError(
            f"{path} is an exported file already", hint=f"Measure it: edgekd benchmark {path}"
        )
    if path.suffix.lower() in _CHECKPOINTS:
        return _checkpoint(path, recipe)
    return _run(Run.open(source))


def _run(run: Run) -> Source:
    return _of_run(run, run.student_path, run.artifacts_dir)


def _of_run(run: Run, weights: Path, home: Path) -> Source:
    dataset = load_for_student(run.recipe)
    if run.manifest.data_sha256 not in (None, dataset.sha256):
        raise DataError(
            f"the data of the run {run.path} is not what it was when it was distilled",
            hint="Put the data back as it was, or distil again.",
        )
    record = file_record(weights)
    teacher = weights.name.startswith("teacher")
    return Source(
        model=restore(run, weights),
        name=network_of(run, weights).model,
        input_shape=dataset.sample_shape,
        home=home,
        dataset=dataset,
        weights=record,
        parents={
            "run": run.manifest_sha256,
            weights.stem if teacher else "student": record.sha256,
        },
    )


def _checkpoint(path: Path, recipe: Recipe | None) -> Source:
    if not path.is_file():
        raise ModelFileError(f"{path}: there is no such file")
    folder = path.parent
    if recipe is None and (folder / "manifest.json").is_file():
        run = Run.open(folder)
        own = path.name == run.student_path.name
        return _of_run(run, path, run.artifacts_dir if own else _home(path.stem))
    if recipe is None and (folder / "recipe.toml").is_file():
        recipe = Recipe.load(folder / "recipe.toml")
    if recipe is None:
        raise ModelError(
            f"{path} holds weights; nothing says what network they belong to",
            hint="Give the recipe: --recipe recipe.toml, or put recipe.toml beside it.",
        )
    dataset = load_for_student(recipe)
    model = _student(recipe.student.model, recipe, dataset)
    load_weights(model, path)
    record = file_record(path)
    return Source(
        model=model,
        name=recipe.student.model,
        input_shape=dataset.sample_shape,
        home=_home(path.stem),
        dataset=dataset,
        weights=record,
        parents={"student": record.sha256},
    )


def _factory(
    name: str, recipe: Recipe | None, input_shape: tuple[int, ...] | None, seed: int
) -> Source:
    # A factory draws random weights: seeded, so that the same export gives the same file.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if recipe is not None:
            dataset = load_for_student(recipe)
            return _module(_student(name, recipe, dataset), name, recipe, input_shape, dataset)
        factory = load_target(name, what=f"model {name!r}")
        model = _call(factory, name, input_shape)
    if input_shape is None:
        holder = sys.modules.get(name.partition(":")[0])
        input_shape = _stated_shape(model) or _stated_shape(holder)
    return _module(model, name, None, input_shape)


def _student(name: str, recipe: Recipe, dataset: Dataset) -> nn.Module:
    return build(
        name,
        recipe.student.options if name == recipe.student.model else {},
        num_classes=len(dataset.classes),
        input_shape=dataset.sample_shape,
        where="student",
    )


def _call(factory: Any, name: str, input_shape: tuple[int, ...] | None) -> nn.Module:
    if not isinstance(factory, nn.Module):
        try:
            takes_shape = "input_shape" in options_of(factory) and input_shape is not None
            factory = factory(input_shape=input_shape) if takes_shape else factory()
        except Exception as error:
            raise ModelError(
                f"model {name!r} could not be built: {type(error).__name__}: {error}",
                hint="The function must need no argument, or --recipe must give them.",
            ) from error
    if not isinstance(factory, nn.Module):
        raise ModelError(
            f"model {name!r} gave a {type(factory).__name__}, not a torch.nn.Module",
            hint="Name a function that returns the network.",
        )
    return factory


def _module(
    model: nn.Module,
    name: str,
    recipe: Recipe | None,
    input_shape: tuple[int, ...] | None,
    dataset: Dataset | None = None,
) -> Source:
    if dataset is None and recipe is not None:
        dataset = load_for_student(recipe)
    shape = dataset.sample_shape if dataset is not None else input_shape or _stated_shape(model)
    if shape is None:
        raise ExportError(
            f"nothing says what shape the input of {name} has",
            hint="Give the shape of one sample, channels first: --input-shape 3,224,224.",
        )
    return Source(model=model, name=name, input_shape=shape, home=_home(name), dataset=dataset)


def _stated_shape(holder: Any) -> tuple[int, ...] | None:
    """Return the shape of one sample that ``input_shape`` or ``example_inputs`` states."""
    shape = getattr(holder, "input_shape", None)
    if isinstance(shape, tuple | list) and all(isinstance(size, int) for size in shape):
        return tuple(shape)
    example = getattr(holder, "example_inputs", None)
    if inspect.isroutine(example):
        example = example()
    if isinstance(example, tuple | list) and len(example) == 1:
        example = example[0]
    return tuple(example.shape[1:]) if isinstance(example, torch.Tensor) else None


def _home(name: str) -> Path:
    return Path("artifacts") / re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
