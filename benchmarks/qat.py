"""Quantization-aware training with distillation, measured on the TFLite file.

A ResNet-8 that classifies the digits is given badly scaled channels: in every block, a random half
of the channels between the two convolutions leaves the first 256 times larger and enters the
second 256 times smaller. In float32 it computes the same. Its post-training int8 file, and files
after training with fake quantization under cross-entropy and distillation from the float network
itself, are scored on the whole test split.

    python benchmarks/qat.py [--out benchmarks/results/qat.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekd.data.load import load_for_student
from edgekd.distill.stage import distill
from edgekd.errors import ParityError
from edgekd.export.stage import export
from edgekd.metrics.classification import accuracy
from edgekd.models.weights import save_weights
from edgekd.recipe import Recipe
from edgekd.recordfile import read_record
from edgekd.records import ArtifactManifest, TensorSpec
from edgekd.rundir import Run
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.torch import restore

FACTOR = 256.0

#: What is compared: the keys of ``[quantize]``; none: the post-training file.
CASES: dict[str, dict[str, Any] | None] = {
    "post-training": None,
    "trained": {"equalize": False, "learning_rate": 1e-4, "epochs": 30},
    "trained, equalized first": {"equalize": True, "learning_rate": 5e-4, "epochs": 15},
}


def rescaled(network: nn.Module, factor: float = FACTOR, seed: int = 0) -> nn.Module:
    """Scale a random half of the channels inside every block of a ResNet, in place.

    Args:
        network: of `edgekd.models.resnet`, in eval mode.
        factor: a power of two, so that float32 gives the same bits.
        seed: decides which half.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, block in network.named_modules():
            if not name.startswith("layer") or not hasattr(block, "conv2"):
                continue
            norm, after = block.get_submodule("bn1"), block.get_submodule("conv2")
            channels = norm.get_parameter("weight").numel()
            order = torch.randperm(channels, generator=generator)
            sizes = torch.where(order < channels // 2, factor, 1.0)
            norm.get_parameter("weight").mul_(sizes)
            norm.get_parameter("bias").mul_(sizes)
            after.get_parameter("weight").div_(sizes.reshape(1, -1, 1, 1))
    return network


def recipe(weights: Path | None, quantize: dict[str, Any] | None, **train: Any) -> Recipe:
    """Return a recipe in which a network learns from labels, or from itself.

    Args:
        weights: of teacher and student; None: there is no teacher.
        quantize: ``[quantize]``, without ``qat``.
        train: keys of ``[train]``.
    """
    student: dict[str, Any] = {"model": "resnet8", "width": 0.5}
    losses: list[dict[str, Any]] = [{"name": "cross-entropy", "weight": 0.1}]
    raw: dict[str, Any] = {
        "name": "qat",
        "data": {"source": "digits", "split": {"validation": 0.15, "test": 0.3}},
        "student": student,
        "loss": losses,
        "train": {"batch_size": 32, "threads": 1, "doctor": "off", **train},
    }
    if weights is not None:
        student["weights"] = str(weights)
        raw["teacher"] = [{"model": "resnet8", "width": 0.5, "weights": str(weights)}]
        losses.append({"name": "kd", "weight": 0.9, "temperature": 4.0})
    if quantize is not None:
        raw["quantize"] = {"qat": True, "train": {"clip_norm": 1.0}, **quantize}
    return Recipe.from_dict(raw)


def score(path: Path, inputs: Sequence[TensorSpec], run: Run) -> float:
    """Return the test accuracy of a TFLite file, in LiteRT."""
    dataset = load_for_student(run.recipe)
    part = dataset.splits["test"]
    samples = dataset.normalised("test", np.arange(len(part)))
    session = RUNTIMES.resolve("litert")(path)
    outputs = [
        decode(session.run([encode(one[None], inputs[0])])[0], session.outputs[0])
        for one in samples
    ]
    return accuracy(np.concatenate(outputs), part.targets)


def measured(folder: Path, weights: Path, name: str, quantize: dict[str, Any] | None) -> Any:
    """Distil, export, and score one case."""
    # The float student is the teacher: it has learned already, and this moves nothing.
    run = distill(recipe(weights, quantize, epochs=1, learning_rate=1e-12), out=folder / name)
    began = time.perf_counter()
    place = folder / f"{name}-file"
    try:
        export(run, target="tflite", quantize="int8", out=place)
    except ParityError:
        place = place.with_name(f"{place.name}.failed")
    inputs = read_record(place / "manifest.json", ArtifactManifest).inputs
    seconds = time.perf_counter() - began
    student, qat = run.manifest.student_scores[0], run.manifest.qat_score
    return {
        "float32": round(student.test_accuracy, 4),
        "simulated": None if qat is None else round(qat.test_accuracy, 4),
        "file": round(score(place / "model.tflite", inputs, run), 4),
        "passed": not place.name.endswith(".failed"),
        "train_seconds": None if qat is None else qat.train_seconds,
        "export_seconds": round(seconds, 1),
    }


def measure(folder: Path, cases: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    """Return all figures.

    Args:
        folder: where runs and files go.
        cases: what to compare.
    """
    first = distill(
        recipe(None, None, epochs=20, learning_rate=4e-3, schedule="one-cycle"),
        out=folder / "float",
    )
    weights = folder / "rescaled.safetensors"
    save_weights(rescaled(restore(first, first.student_path)), weights)
    return {name: measured(folder, weights, name, quantize) for name, quantize in cases.items()}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/qat.json"))
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        cases = measure(Path(folder), CASES)
    packages = ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert")
    found = {
        "machine": f"2 {platform.machine()} cores",
        "versions": {name: version(name) for name in packages},
        "network": "resnet8, width 0.5, digits; half of each block's inner channels times 256",
        "cases": cases,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
