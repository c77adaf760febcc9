"""Finding what the user means: a run, a checkpoint, a factory, or a network at hand."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekd.data.load import load_for_student
from edgekd.data.split import Dataset
from edgekd.errors import DataError, ExportError, ModelError, ModelFileError
from edgekd.export.ports import INPUT, Port, of_arrays, of_config, of_example
from edgekd.export.source import Source, Wanted
from edgekd.models.build import build
from edgekd.models.weights import load_weights
from edgekd.recipe import Recipe
from edgekd.registry import load_target, options_of
from edgekd.rundir import Run, file_record
from edgekd.runtimes.torch import network_of, restore

_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".th", ".ckpt", ".bin")
_EXPORTED = (".tflite", ".onnx", ".pte")


def find(source: str | Path | Run | nn.Module | None, wanted: Wanted) -> Source:
    """Find out what the user means.

    Args:
        source: see `edgekd.export.stage.export`.
        wanted: what else was said.

    Raises:
        RunError, ModelError, DataError: it cannot be found, built or trusted.
    """
    if isinstance(source, nn.Module):
        return _module(source, type(source).__name__, wanted)
    if isinstance(source, Run) or source is None:
        return _run(Run.open(source))
    if ":" in str(source) and not Path(source).exists():
        return _factory(str(source), wanted)
    path = Path(source)
    if path.suffix.lower() in _EXPORTED:
        raise ModelFileError(
            f"{path} is an exported file already", hint=f"Measure it: edgekd benchmark {path}"
        )
    if path.suffix.lower() in _CHECKPOINTS:
        return _checkpoint(path, wanted.recipe)
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
        ports=(Port(INPUT, dataset.sample_shape),),
        home=home,
        dataset=dataset,
        weights=record,
        run=run if weights == run.student_path else None,
        recipe_sha256=run.manifest.recipe_sha256,
        licence=run.recipe.licence,
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
        ports=(Port(INPUT, dataset.sample_shape),),
        home=_home(path.stem),
        dataset=dataset,
        weights=record,
        parents={"student": record.sha256},
    )


def _factory(name: str, wanted: Wanted) -> Source:
    # A factory draws random weights: seeded, so that the same export gives the same file.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted.seed)
        if wanted.recipe is not None:
            dataset = load_for_student(wanted.recipe)
            return _module(_student(name, wanted.recipe, dataset), name, wanted, dataset)
        factory = load_target(name, what=f"model {name!r}")
        shape = wanted.ports[0].shape if len(wanted.ports) == 1 else None
        model = _call(factory, name, shape)
    if not wanted.ports and wanted.samples is None:
        holder = sys.modules.get(name.partition(":")[0])
        stated = _stated(model, model) or _stated(holder, model)
        wanted = replace(wanted, ports=stated or ())
    return _module(model, name, wanted)


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


def _module(model: nn.Module, name: str, wanted: Wanted, dataset: Dataset | None = None) -> Source:
    if dataset is None and wanted.recipe is not None:
        dataset = load_for_student(wanted.recipe)
    ports: tuple[Port, ...] | None = wanted.ports
    if dataset is not None:
        ports = (Port(INPUT, dataset.sample_shape),)
    elif wanted.samples is not None:
        ports = of_arrays(wanted.samples.inputs)
    ports = ports or _stated(model, model)
    if not ports:
        raise ExportError(
            f"nothing says what shape the input of {name} has",
            hint="Give the shape of one sample, channels first: --input-shape 3,224,224; of "
            "several inputs, or of integers: --input input_ids=128:int64:0..30521.",
        )
    return Source(
        model=model,
        name=name,
        ports=ports,
        home=_home(name),
        dataset=dataset,
        samples=None if dataset is not None else wanted.samples,
    )


def _stated(holder: Any, model: nn.Module) -> tuple[Port, ...] | None:
    """Return the inputs that ``input_shape`` or ``example_inputs`` of a module or model states."""
    shape = getattr(holder, "input_shape", None)
    if isinstance(shape, tuple | list) and all(isinstance(size, int) for size in shape):
        return (Port(INPUT, tuple(shape)),)
    example = getattr(holder, "example_inputs", None)
    if inspect.isroutine(example):
        example = example()
    return of_example(model, example) or (of_config(model) if holder is model else None)


def _home(name: str) -> Path:
    return Path("artifacts") / re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
