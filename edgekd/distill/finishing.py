"""What a run leaves: weights, predictions, and the manifest that makes it whole."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from edgekd import provenance
from edgekd.data.split import Dataset
from edgekd.distill.ensemble import combine
from edgekd.distill.evaluate import answers_of, predict
from edgekd.distill.links import Links
from edgekd.distill.metering import energies
from edgekd.distill.online import Trained
from edgekd.distill.pruning import before_pruning
from edgekd.distill.session import Session
from edgekd.distill.taught import inner
from edgekd.distill.teacher import Teacher
from edgekd.distill.tutor import Tutor
from edgekd.losses.base import Outputs
from edgekd.models.count import macs, parameters
from edgekd.models.size import int8_tflite_bytes
from edgekd.models.weights import save_weights
from edgekd.recipe import EnsembleSpec, ModelSpec, Recipe, StudentSpec
from edgekd.records import ExitHeads, ModelFacts, Network, RunManifest, Score
from edgekd.rundir import (
    Run,
    atomic_write,
    file_record,
    set_latest,
    sha256_file,
    teacher_name,
    write_record,
)
from edgekd.runtimes.kinds import model_sha256


def answers_on(
    tutors: Sequence[Tutor], ensemble: EnsembleSpec, split: str, device: torch.device
) -> np.ndarray | None:
    """Return what all teachers together say of a split, (N, C) logits.

    None without teachers, and where what one of them says is not known. Labels weigh nobody here,
    and nobody is left out by chance: shares that depend on either are fixed.
    """
    if not tutors:
        return None
    if ensemble.weigh in ("random", "correctness"):
        ensemble = ensemble.model_copy(update={"weigh": "fixed"})
    said = {tutor.name: answers_of(tutor, split, device=device) for tutor in tutors}
    answers = {name: Outputs(torch.from_numpy(a)) for name, a in said.items() if a is not None}
    if len(answers) < len(said):
        return None
    weights = {tutor.name: tutor.weight for tutor in tutors}
    found: np.ndarray = combine(answers, weights, ensemble).logits.numpy()
    return found


def finish(
    session: Session,
    teachers: Sequence[Teacher],
    students: Sequence[Trained],
    baselines: Sequence[Trained],
    compared: Mapping[str, Sequence[Score]],
    links: Links,
    fabric: Fabric,
    began: float,
) -> Run:
    """Write weights and predictions, then the manifest that makes the run whole."""
    recipe, dataset, path = session.recipe, session.dataset, session.path
    student = students[0][0]
    run = Run(path, session.manifest)
    trained = {"student": student, **({"baseline": baselines[0][0]} if baselines else {})}
    networks = _keep(path, recipe.student, trained, teachers, dataset)
    peers = students[0].company.peers
    networks |= _keep_peers(path, recipe, peers)
    assistants = _keep_assistants(path, links.assistants)
    networks |= {name: network for name, (network, _) in assistants.items()}
    tutors = [teacher.tutor for teacher in teachers]
    together = answers_on(tutors, recipe.ensemble, "test", fabric.device)
    _save_predictions(run.predictions_path, trained, together, dataset, fabric)
    quantized = students[0].quantized
    if quantized is not None:
        save_weights(quantized.model, run.qat_path)
    names = ["recipe.toml", "doctor.json", "metrics.jsonl", run.predictions_path.name, *networks]
    names += [run.qat_path.name]
    taught = [(teacher_name(number), teacher) for number, teacher in enumerate(teachers)]
    facts = _facts(recipe.student.model, student, run.student_path, dataset.sample_shape)
    manifest = RunManifest(
        **{
            **dict(session.manifest),
            "status": "complete",
            "teachers": tuple(_teacher_facts(t, path / f"{n}.safetensors") for n, t in taught),
            "teacher_scores": tuple(teacher.score for teacher in teachers),
            "student": facts,
            "peers": _peer_facts(path, peers),
            "peer_scores": tuple(score for _, score in peers),
            "student_scores": tuple(made.score for made in students),
            "baseline_scores": tuple(made.score for made in baselines),
            "qat_score": None if quantized is None else quantized.score,
            "compared_scores": {name: tuple(scores) for name, scores in compared.items()},
            "links": links.records([known for _, known in assistants.values()], facts),
            "networks": networks,
            "energy": energies(session, [*teachers, *links.assistants], students=len(students)),
            "files": {name: file_record(path / name) for name in names if (path / name).exists()},
            "parents": {n: model_sha256(_source(t, path / f"{n}.safetensors")) for n, t in taught},
            "provenance": provenance.collect(
                seed=recipe.seed, wall_seconds=round(time.perf_counter() - began, 3)
            ),
        }
    )
    write_record(path / "manifest.json", manifest)
    set_latest(path)
    shutil.rmtree(path / "checkpoints", ignore_errors=True)
    return Run(path, manifest)


def _keep(
    path: Path,
    spec: ModelSpec,
    trained: Mapping[str, nn.Module],
    teachers: Sequence[Teacher],
    dataset: Dataset,
) -> dict[str, Network]:
    """Write all weights; return how to build each network again, by file."""
    networks = {}
    for role, model in trained.items():
        save_weights(model, path / f"{role}.safetensors")
        networks[f"{role}.safetensors"] = _network(spec, dataset)
    for number, teacher in enumerate(teachers):
        name = f"{teacher_name(number)}.safetensors"
        own = spec if teacher.tutor.average is not None else teacher.named.spec
        if own.model is not None:  # files stay where they are
            save_weights(teacher.network, path / name)
            networks[name] = _network(own, teacher.tutor.dataset, len(teacher.named.spec.classes))
    return networks


def _keep_peers(
    path: Path, recipe: Recipe, peers: Sequence[tuple[Tutor, Score]]
) -> dict[str, Network]:
    """Write the weights of peers; return how to build each again, by file."""
    networks = {}
    for spec, (peer, _), name in zip(recipe.peer, peers, _peer_files(peers), strict=True):
        save_weights(inner(peer.model), path / name)
        networks[name] = _network(spec, peer.dataset, len(spec.classes))
    return networks


def _peer_facts(path: Path, peers: Sequence[tuple[Tutor, Score]]) -> tuple[ModelFacts, ...]:
    """Return what is known of the peers, whose weights were kept."""
    return tuple(
        _facts(peer.name, inner(peer.model), path / name, peer.dataset.sample_shape)
        for (peer, _), name in zip(peers, _peer_files(peers), strict=True)
    )


def _peer_files(peers: Sequence[tuple[Tutor, Score]]) -> list[str]:
    """Return the files of the peers' weights."""
    return [f"peer-{number}.safetensors" for number in range(1, len(peers) + 1)]


def _keep_assistants(
    path: Path, assistants: Sequence[Teacher]
) -> dict[str, tuple[Network, ModelFacts]]:
    """Write the weights of assistants; return what they are, by file."""
    found = {}
    for number, one in enumerate(assistants):
        name = f"assistant-{number + 1}.safetensors"
        save_weights(one.network, path / name)
        found[name] = (
            _network(one.named.spec, one.tutor.dataset),
            _facts(one.named.spec.title, one.network, path / name, one.tutor.dataset.sample_shape),
        )
    return found


def _source(teacher: Teacher, weights: Path) -> Path:
    """Return what a teacher is made of: its file, or the weights in the run."""
    given = teacher.named.spec.file or teacher.named.spec.outputs
    return weights if given is None else Path(given).expanduser()


def _teacher_facts(teacher: Teacher, weights: Path) -> ModelFacts:
    """Return what is known of a teacher; what only files of other runtimes hold is not."""
    shape, name = teacher.tutor.dataset.sample_shape, teacher.named.name
    if teacher.named.spec.model is not None or teacher.tutor.average is not None:
        return _facts(name, teacher.network, weights, shape)
    source = _source(teacher, weights)
    layers = any(True for _ in teacher.network.parameters())
    return ModelFacts(
        name=name,
        parameters=parameters(teacher.network) if layers else None,
        macs=macs(teacher.network, shape) if layers else None,
        size_bytes=source.stat().st_size if source.is_file() else None,
        sha256=model_sha256(source),
    )


def _network(spec: ModelSpec, dataset: Dataset, outputs: int = 0) -> Network:
    return Network(
        model=spec.model,
        options=spec.options,
        num_classes=outputs or len(dataset.classes),
        sample_shape=dataset.sample_shape,
        input=dataset.input,
        preprocess=dataset.preprocess,
        exits=_exits(spec),
        pruned=before_pruning(spec, dataset) if isinstance(spec, StudentSpec) else None,
    )


def _exits(spec: ModelSpec) -> ExitHeads | None:
    found = spec.exits if isinstance(spec, StudentSpec) else None
    return None if found is None else ExitHeads(at=found.at, head=found.head)


def _facts(name: str, model: nn.Module, weights: Path, shape: tuple[int, ...]) -> ModelFacts:
    return ModelFacts(
        name=name,
        parameters=parameters(model),
        macs=macs(model, shape),
        size_bytes=weights.stat().st_size,
        int8_bytes=int8_tflite_bytes(model, shape),
        sha256=sha256_file(weights),
    )


def _save_predictions(
    path: Path,
    trained: Mapping[str, nn.Module],
    teacher: np.ndarray | None,
    dataset: Dataset,
    fabric: Fabric,
) -> None:
    test = dataset.splits["test"]
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "ids": np.asarray(test.ids),
        "targets": test.targets,
    }
    for name, model in trained.items():
        arrays[f"{name}_logits"] = predict(model, dataset, "test", device=fabric.device)
    if teacher is not None:
        arrays["teacher_logits"] = teacher
    np.savez_compressed(buffer, **arrays)
    atomic_write(path, buffer.getvalue())
