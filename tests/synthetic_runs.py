"""A whole run directory, written through the records in milliseconds; nothing is trained.

The numbers are made up and round, so that a test can say what must come out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.recipe import Recipe
from edgekd.records import (
    ArtifactManifest,
    Calibration,
    FileRecord,
    Latency,
    Measurement,
    Memory,
    ModelFacts,
    Parity,
    Preprocess,
    Provenance,
    RunManifest,
    Score,
    TensorSpec,
)
from edgekd.rundir import Run, atomic_write, file_record, write_record
from edgekd.storage import sha256_bytes

PROVENANCE = Provenance(
    created="2025-11-20T10:00:00+00:00",
    edgekd="0.1.0",
    python="3.11.9",
    platform="Linux-6.1-x86_64",
    packages={"torch": "2.13.0", "numpy": "2.1.0", "ai-edge-litert": "2.3.0"},
    cpu="Example CPU @ 2.50GHz",
    cores=2,
    governor="performance",
    git_commit="0123456789abcdef0123456789abcdef01234567",
    git_dirty=True,
    command=("edgekd", "distill"),
    seed=0,
    wall_seconds=41.25,
)

TEACHER = ModelFacts(name="wideresnet", parameters=300_000, macs=9_000_000, size_bytes=1_200_000)
STUDENT = ModelFacts(name="resnet8", parameters=20_000, macs=650_000, size_bytes=82_000)

#: Name -> (suffix, size in bytes, p50 in ms, peak RSS in bytes, accuracy, agreement).
ARTIFACTS: dict[str, tuple[str, int, float, int, float, float]] = {
    "tflite-fp32": (".tflite", 84_000, 0.060, 1_300_000, 0.970, 0.975),
    "tflite-int8": (".tflite", 30_000, 0.032, 900_000, 0.968, 0.972),
    "onnx-fp32": (".onnx", 90_000, 0.080, 3_100_000, 0.970, 0.975),
    "onnx-int8": (".onnx", 41_000, 0.110, 3_600_000, 0.966, 0.970),
}

RECIPE: dict[str, Any] = {
    "name": "digits",
    "teacher": [{"model": "wideresnet"}],
    "student": {"model": "resnet8"},
    "loss": [
        {"name": "cross-entropy", "weight": 0.3},
        {"name": "kd", "weight": 0.7, "temperature": 4.0},
    ],
    "train": {"epochs": 30, "seeds": [0, 1, 2], "baseline": True},
}


def make_run(
    path: Path,
    *,
    name: str = "digits",
    artifacts: Sequence[str] = tuple(ARTIFACTS),
    devices: Sequence[str] = ("cpu",),
    budget: Mapping[str, Any] | None = None,
    scale: Mapping[str, float] | None = None,
    seeds: int = 3,
    baseline: bool = True,
    metrics: bool = True,
) -> Run:
    """Write a complete run and open it.

    Args:
        path: its folder.
        name: the run's name.
        artifacts: keys of `ARTIFACTS`.
        devices: what everything is measured on; empty: nothing is measured.
        budget: the recipe's ``[budget]``.
        scale: number (``size_bytes``, ``p50_ms``, ``peak_rss_bytes``, ``accuracy``) -> factor.
        seeds: number of students.
        baseline: students without a teacher, too.
        metrics: write ``metrics.jsonl``.
    """
    path.mkdir(parents=True)
    recipe = Recipe.from_dict({**RECIPE, "name": name, "budget": dict(budget or {})}, options=False)
    atomic_write(path / "recipe.toml", recipe.to_toml())
    files = {"recipe.toml": file_record(path / "recipe.toml")}
    if metrics:
        lines = [json.dumps(line) for line in metric_lines(seeds, baseline)]
        atomic_write(path / "metrics.jsonl", "\n".join(lines) + "\n")
        files["metrics.jsonl"] = file_record(path / "metrics.jsonl")
    manifest = RunManifest(
        status="complete",
        id=path.name,
        name=name,
        recipe_sha256=files["recipe.toml"].sha256,
        data_sha256=sha256_bytes(b"data"),
        classes=tuple("0123456789"),
        splits={"train": 900, "calibration": 128, "validation": 230, "test": 539},
        sample_shape=(1, 8, 8),
        preprocess=Preprocess(scale=1 / 255),
        teachers=(TEACHER,),
        teacher_scores=(Score(seed=0, epochs=30, validation_accuracy=0.985, test_accuracy=0.983),),
        student=STUDENT,
        student_scores=tuple(
            Score(
                seed=seed,
                epochs=30,
                validation_accuracy=0.972,
                test_accuracy=round(0.970 + 0.002 * seed, 6),
                test_agreement=0.975,
                train_seconds=9.5,
            )
            for seed in range(seeds)
        ),
        baseline_scores=tuple(
            Score(seed=s, epochs=30, validation_accuracy=0.965, test_accuracy=0.960 + 0.004 * s)
            for s in range(seeds if baseline else 0)
        ),
        files=files,
        provenance=PROVENANCE,
    )
    write_record(path / "manifest.json", manifest)
    run = Run(path, manifest)
    for key in artifacts:
        add_artifact(run, key, devices=devices, scale=scale or {})
    for device in devices:
        for key, facts, p50, hit in (
            ("teacher", TEACHER, 1.9, 0.983),
            ("student", STUDENT, 0.45, 0.970),
        ):
            agrees = 1.0 if key == "teacher" else 0.975
            record = measurement(key, device, facts.size_bytes or 0, p50, 9_000_000, hit, agrees)
            write_record(run.measurements_dir / f"{device}--{key}.json", record)
    return Run.open(path)


def add_artifact(
    run: Run, key: str, *, devices: Sequence[str], scale: Mapping[str, float] | None = None
) -> None:
    """Add an exported file, and a measurement of it on each device."""
    scale = scale or {}
    suffix, size, p50, peak, hit, agrees = ARTIFACTS[key]
    folder = run.artifacts_dir / key
    payload = model_bytes(suffix, round(size * scale.get("size_bytes", 1.0)))
    atomic_write(folder / f"model{suffix}", payload)
    target, _, scheme = key.partition("-")
    write_record(folder / "manifest.json", _artifact(key, target, scheme, suffix, payload))
    for device in devices:
        record = measurement(
            key,
            device,
            len(payload),
            p50 * scale.get("p50_ms", 1.0),
            round(peak * scale.get("peak_rss_bytes", 1.0)),
            round(hit * scale.get("accuracy", 1.0), 9),
            agrees,
            sha256=sha256_bytes(payload),
            suffix=suffix,
        )
        write_record(run.measurements_dir / f"{device}--{key}.json", record)


def model_bytes(suffix: str, size: int) -> bytes:
    """Bytes that pass for a model file of a format, of exactly this size."""
    if suffix == ".tflite":
        return b"\x1c\x00\x00\x00TFL3".ljust(size, b"\0")
    head = b"\x08\x08"  # ir_version = 8; then the graph, field 7, with its length in three bytes
    length = size - len(head) - 4
    return head + b"\x3a" + _varint3(length) + bytes(length)


def _varint3(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14])


def _artifact(key: str, target: str, scheme: str, suffix: str, payload: bytes) -> ArtifactManifest:
    int8 = scheme == "int8"
    spec = TensorSpec(name="x", shape=(1, 1, 8, 8), dtype="int8" if int8 else "float32")
    calibration = Calibration(
        split="calibration", samples=128, seed=0, method="min-max", ids_sha256="0" * 64
    )
    return ArtifactManifest(
        name=key,
        target=target,
        quantize="int8" if int8 else "none",
        file=f"model{suffix}",
        inputs=(spec,),
        outputs=(TensorSpec(name="logits", shape=(1, 10), dtype=spec.dtype),),
        model=STUDENT,
        calibration=calibration if int8 else None,
        parity=Parity(
            passed=True,
            samples=256,
            sample_source="test",
            tolerance=None if int8 else 1e-4,
            max_drop=1.0 if int8 else None,
            max_abs_error=0.31 if int8 else 2.4e-6,
            max_rel_error=0.02 if int8 else 1.1e-6,
            snr_db=31.0 if int8 else 120.0,
            agreement=0.996 if int8 else 1.0,
            accuracy_model=0.970,
            accuracy_file=0.968 if int8 else 0.970,
            worst_output="logits",
            worst_sample="digits-17",
            runtime="litert 2.3.0" if target == "tflite" else "onnxruntime 1.31.1",
        ),
        files={f"model{suffix}": FileRecord(sha256=sha256_bytes(payload), size_bytes=len(payload))},
        provenance=PROVENANCE,
    )


def measurement(
    artifact: str,
    device: str,
    size: int,
    p50: float,
    peak: int,
    accuracy: float | None,
    agreement: float | None,
    *,
    sha256: str | None = None,
    suffix: str = "",
    **changes: Any,
) -> Measurement:
    """A measurement with round numbers; ``changes`` replaces any field."""
    fields: dict[str, Any] = {
        "status": "ok",
        "device": device,
        "artifact": artifact,
        "path": f"model{suffix}",
        "model_sha256": sha256,
        "size_bytes": size,
        "runtime": {".tflite": "litert", ".onnx": "onnxruntime"}.get(suffix, "torch"),
        "runtime_version": {".tflite": "2.3.0", ".onnx": "1.31.1"}.get(suffix, "2.13.0"),
        "threads": 1,
        "latency": latency(p50),
        "memory": Memory(
            peak_rss_bytes=peak, anonymous_bytes=peak // 2, process_peak_rss_bytes=peak + 10**7
        ),
        "accuracy": accuracy,
        "agreement": agreement,
        "samples": 539,
        "provenance": PROVENANCE,
    }
    return Measurement(**{**fields, **changes})


def latency(p50: float) -> Latency:
    """One hundred samples around a median, with a tail."""
    raw = [p50 * (1 + 0.1 * ((index * 37 % 100) / 100 - 0.5)) for index in range(100)]
    return Latency(
        n=100,
        load_ms=3.2,
        first_ms=p50 * 1.6,
        min_ms=min(raw),
        p50_ms=p50,
        p90_ms=p50 * 1.12,
        p99_ms=p50 * 1.3,
        mean_ms=p50 * 1.01,
        outliers=2,
        warmup_runs=120,
        raw_ms=tuple(raw),
    )


def metric_lines(seeds: int, baseline: bool) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``: smooth curves that end where such runs end."""
    phases = [("teacher", 0)] + [("student", seed) for seed in range(seeds)]
    if baseline:
        phases += [("baseline", seed) for seed in range(seeds)]
    ends = {"teacher": 0.985, "student": 0.972, "baseline": 0.965}
    lines = []
    for phase, seed in phases:
        for epoch in range(1, 31):
            fall = math.exp(-epoch / (5 + seed))
            wobble = 0.004 * math.sin(epoch * 2.1 + seed)
            terms = {"cross-entropy": 0.08 + 0.6 * fall}
            if phase == "student":
                terms["kd"] = 0.45 + 4.0 * fall
            lines.append(
                {
                    "phase": phase,
                    "seed": seed,
                    "epoch": epoch,
                    "step": epoch * 15,
                    "loss": sum(terms.values()),
                    "terms": terms,
                    "validation_accuracy": min(1.0, ends[phase] - 0.75 * fall + wobble),
                    "learning_rate": 1e-3,
                    "seconds": 0.31,
                }
            )
    return lines
