"""From a teacher to a training split without a single real sample.

Samples are made batch by batch, each from a seed of its own, and kept in
``runs/synthetic/KEY``, where the key is the hash of all that decides them. An interrupted making
goes on with the batches that are missing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from edgekd.data.split import Dataset, Part
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.synthesis import SYNTHESISERS
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError
from edgekd.models.weights import state_sha256
from edgekd.recipe import SynthesisSpec
from edgekd.rundir import atomic_file, runs_root, sha256_bytes
from edgekd.seeds import derive_seed
from edgekd.storage import process_lock


def without_data(session: Session, tutors: tuple[Tutor, ...], progress: Progress) -> Session:
    """Return the session as its students know it: without data, where the recipe says so.

    They train on samples made from the teacher alone. Validation and test stay real: they say how
    good a student is, and choose nothing, so that it keeps its last weights.

    Args:
        session: the run in the making.
        tutors: the teachers, trained.
        progress: told what is made.

    Raises:
        RecipeError: there is not exactly one teacher, or it sees the samples otherwise.
    """
    spec = session.recipe.synthesis
    if spec is None:
        return session
    if len(tutors) != 1:
        raise RecipeError("synthesis", [f"samples are made from one teacher, not {len(tutors)}"])
    dataset = made_from(session.dataset, tutors[0], spec, session.recipe.seed, progress)
    train = session.recipe.train.model_copy(update={"select": "last", "patience": 0})
    recipe = session.recipe.model_copy(update={"train": train})
    return replace(session, dataset=dataset, recipe=recipe)


def made_from(
    dataset: Dataset, tutor: Tutor, spec: SynthesisSpec, seed: int, progress: Progress
) -> Dataset:
    """Return the data with a training split that was made from a teacher alone.

    Args:
        dataset: as the student sees it.
        tutor: the teacher, trained.
        spec: how samples are made.
        seed: of their noise.
        progress: told what is made.

    Raises:
        RecipeError: the teacher sees the samples otherwise than the student.
        ModelError: the method needs what the teacher has not got.
    """
    if (tutor.dataset.input, tutor.dataset.preprocess) != (dataset.input, dataset.preprocess):
        raise RecipeError(
            "synthesis",
            ["samples are made in the teacher's input space, and the student's is another"],
            hint="Give both networks the same input.",
        )
    decides = {
        "format": 1,
        "teacher": state_sha256(tutor.model),
        "network": repr(tutor.model),
        "shape": dataset.sample_shape,
        "preprocess": dataset.preprocess.model_dump(mode="json"),
        "synthesis": spec.model_dump(mode="json"),
        "seed": seed,
    }
    key = sha256_bytes(json.dumps(decides, sort_keys=True).encode())
    folder = runs_root() / "synthetic" / key[:16]
    with process_lock(folder / ".lock", wait=True):
        raw, labels = _whole(folder, dataset, tutor, spec, seed, progress)
    part = Part(
        ids=tuple(f"synthetic/{number:06d}" for number in range(len(raw))),
        targets=labels,
        reader=lambda chosen: raw[chosen],
    )
    sha256 = sha256_bytes(f"{dataset.sha256} {key}".encode())
    return replace(dataset, splits={**dataset.splits, "train": part}, sha256=sha256)


def _whole(
    folder: Path,
    dataset: Dataset,
    tutor: Tutor,
    spec: SynthesisSpec,
    seed: int,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Make the batches that are missing; return all samples, raw, and their labels."""
    batches = -(-spec.samples // spec.batch_size)
    files = [folder / f"batch-{number:05d}.npz" for number in range(batches)]
    missing = [number for number, file in enumerate(files) if not _good(file)]
    if missing:
        progress.message(
            f"making samples of {tutor.name}: {len(missing)} of {batches} batches ({folder})"
        )
    method = SYNTHESISERS.resolve(spec.method)
    preprocess = dataset.preprocess
    for number in missing:
        inputs, labels = method(
            tutor.model,
            dataset.sample_shape,
            len(dataset.classes),
            spec,
            derive_seed(seed, "synthesis", number),
        )
        axes = (1, -1, *[1] * (inputs.ndim - 2))
        mean, std = (torch.tensor(v).reshape(axes) for v in (preprocess.mean, preprocess.std))
        raw = (inputs.cpu() * std + mean) / preprocess.scale
        with atomic_file(files[number]) as temporary, temporary.open("wb") as file:
            np.savez(file, raw=raw.numpy(), labels=labels.cpu().numpy())
    loaded = [np.load(file) for file in files]
    raw_all = np.concatenate([found["raw"] for found in loaded])[: spec.samples]
    labels_all = np.concatenate([found["labels"] for found in loaded])[: spec.samples]
    for found in loaded:
        found.close()
    return raw_all, labels_all.astype(np.int64)


def _good(file: Path) -> bool:
    """Say whether a batch is there and whole; a damaged one is made again."""
    if not file.exists():
        return False
    try:
        # NumPy leaves a file open that it cannot read; this way it is closed.
        with file.open("rb") as opened, np.load(opened) as found:
            return bool(np.isfinite(found["raw"]).all()) and len(found["labels"]) > 0
    except Exception:  # zipfile, zlib and NumPy raise many kinds for a damaged file
        return False
