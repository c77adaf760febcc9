"""A tiny run with exported files, made once, and settings that measure briefly."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekd import provenance
from edgekd.bench.settings import Settings
from edgekd.recipe import Recipe
from edgekd.records import ArtifactManifest, Parity, TensorSpec
from edgekd.rundir import Run, file_record, write_record
from tests.bench import files

FAST = Settings(
    warmup_runs=3,
    warmup_seconds=0.01,
    min_runs=20,
    min_seconds=0.05,
    max_seconds=3.0,
    max_samples=1000,
    timeout=60.0,
)


@pytest.fixture
def fast() -> Settings:
    """Brief measurements."""
    return FAST


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the tiny recipe; do not change it."""
    from edgekd.distill.stage import distill
    from tests.fixtures_tiny import TINY

    folder = tmp_path_factory.mktemp("bench-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKD_RUNS", str(folder / "runs"))
        run = distill(Recipe.from_dict(copy.deepcopy(TINY)), out=folder / "run")
    _add_artifact(run)
    return run


@pytest.fixture
def run(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A copy of the run, with one ONNX file of the student."""
    import shutil

    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    shutil.copytree(trained.path, tmp_path / "run")
    yield Run.open(tmp_path / "run")


def student_layers(run: Run) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weight and bias of each linear layer of the student."""
    from safetensors.numpy import load_file

    weights = load_file(run.student_path)
    names = sorted({name.rpartition(".")[0] for name in weights}, key=int)
    return [(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names]


def _add_artifact(run: Run) -> None:
    """Export the student by hand: what is tested here must not depend on the exporters."""
    folder = run.artifacts_dir / "onnx-fp32"
    folder.mkdir(parents=True)
    shape = run.manifest.sample_shape
    path = files.mlp_onnx(folder / "model.onnx", student_layers(run), shape)
    assert run.manifest.student is not None
    parity = Parity(
        passed=True,
        samples=1,
        sample_source="validation",
        max_abs_error=0.0,
        max_rel_error=0.0,
        worst_output="logits",
        worst_sample="none",
        runtime="by hand",
    )
    manifest = ArtifactManifest(
        name="onnx-fp32",
        target="onnx",
        quantize="none",
        file="model.onnx",
        inputs=(TensorSpec(name="x", shape=(None, *shape), dtype="float32", layout="nchw"),),
        outputs=(TensorSpec(name="logits", shape=(None, 10), dtype="float32"),),
        model=run.manifest.student,
        parity=parity,
        files={"model.onnx": file_record(path)},
        provenance=provenance.collect(),
    )
    write_record(folder / "manifest.json", manifest)
