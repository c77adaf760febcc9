"""A whole session at the command line, as a user would type it, on real data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekd.rundir import sha256_file

FASHION = """\
name = "fashion"

[data]
source = "idx"
root = "$EDGEKD_DATA/fashion_mnist"

[data.split]
train = 4000
validation = 1000

[[teacher]]
model = "resnet8"
width = 0.5

[student]
model = "ds-cnn"
width = 0.5

[[loss]]
name = "cross-entropy"
weight = 0.1

[[loss]]
name = "kd"
weight = 0.9

[train]
epochs = 2
batch_size = 32
learning_rate = 8e-3
schedule = "one-cycle"
threads = 1
augment = ["flip"]

[[export]]
target = "tflite"
quantize = "int8"

[[export]]
target = "onnx"

[budget]
size_bytes = 200_000
accuracy = 0.5
"""


class Session:
    """Runs commands in one folder."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if k != "EDGEKD_RUNS"}
        self.environment |= environment

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "edgekd", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self(*arguments, "--json", code=code))
        assert said["schema"] == 1
        return said


@pytest.mark.slow
def test_digits_from_teacher_to_report(tmp_path: Path) -> None:
    """The built-in recipe, shortened: every command, and every hash from file to recipe."""
    edgekd = Session(tmp_path)
    short = ["train.epochs=4", "train.seeds=[0]", "train.baseline=false", "data.split.train=800"]
    overrides = [part for key in short for part in ("--set", key)]
    run = edgekd.json("distill", *overrides)
    folder = tmp_path / run["run"]
    assert (tmp_path / "runs" / "latest").resolve() == folder.resolve()

    exported = edgekd.json("export")["artifacts"]
    assert [a["name"] for a in exported] == ["tflite-fp32", "tflite-int8", "onnx-fp32", "onnx-int8"]
    by_name = {a["name"]: a for a in exported}
    assert by_name["tflite-fp32"]["parity"]["max_abs_error"] <= 1e-4
    assert by_name["onnx-fp32"]["parity"]["max_abs_error"] <= 1e-4
    sizes = {name: (tmp_path / a["path"]).stat().st_size for name, a in by_name.items()}
    assert sizes["tflite-int8"] <= 0.40 * sizes["tflite-fp32"]
    edgekd("export", code=2)  # nothing is overwritten silently
    edgekd("export", "--target", "onnx", "--overwrite")

    measured = edgekd.json("benchmark")["measurements"]
    by_artifact = {m["artifact"]: m for m in measured}
    assert set(by_artifact) == {"teacher", "student", *by_name}
    for found in measured:
        assert found["status"] == "ok"
        assert found["latency"]["n"] == len(found["latency"]["raw_ms"]) >= 100
        assert found["samples"] == 539
    student = run["manifest"]["student_scores"][0]
    for name in ("student", "tflite-fp32"):
        assert by_artifact[name]["accuracy"] == pytest.approx(student["test_accuracy"], abs=0.002)
        assert by_artifact[name]["agreement"] == pytest.approx(student["test_agreement"], abs=0.002)

    # provenance: measurement -> artifact -> student -> run
    found = by_artifact["tflite-int8"]
    assert found["model_sha256"] == by_name["tflite-int8"]["files"]["model.tflite"]["sha256"]
    assert by_name["tflite-int8"]["parents"]["student"] == sha256_file(
        folder / "student.safetensors"
    )
    assert by_name["tflite-int8"]["parents"]["run"] == sha256_file(folder / "manifest.json")

    checked = edgekd.json("check", "--budget", str(budget(tmp_path, accuracy=0.3)))
    assert checked["passed"] is True
    failed = edgekd.json("check", "--budget", str(budget(tmp_path, accuracy=0.9999)), code=1)
    assert {v["status"] for v in failed["verdicts"]} == {"fail"}
    page = Path(tmp_path, edgekd.json("report")["path"])
    assert page.stat().st_size < 2_000_000

    shown = edgekd.json("runs", "show")
    assert shown["faults"] == []
    text = edgekd("runs", "show")
    assert "tflite-int8" in text
    assert "report.html" in text

    (tmp_path / by_name["onnx-int8"]["path"]).write_bytes(b"tampered")
    assert "onnx-int8" in json.dumps(edgekd.json("runs", "show", code=1)["faults"])


def budget(folder: Path, **limits: float) -> Path:
    path = folder / "budget.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in limits.items()))
    return path


@pytest.mark.slow
def test_fashion_mnist_by_a_users_recipe(tmp_path: Path, data_root: Path) -> None:
    """All four commands on IDX files, with nothing but a TOML file."""
    edgekd = Session(tmp_path, EDGEKD_DATA=str(data_root))
    (tmp_path / "fashion.toml").write_text(FASHION)
    run = edgekd.json("distill", "fashion.toml")
    assert run["manifest"]["splits"]["test"] == 10_000
    assert len(run["manifest"]["classes"]) == 10
    assert run["manifest"]["student_scores"][0]["test_accuracy"] > 0.5
    edgekd("export")
    measured = {m["artifact"]: m for m in edgekd.json("benchmark")["measurements"]}
    assert measured["tflite-int8"]["samples"] == 10_000
    drop = measured["student"]["accuracy"] - measured["tflite-int8"]["accuracy"]
    assert abs(drop) < 0.02
    assert edgekd.json("check")["passed"] is True


def test_a_users_own_model_and_data(tmp_path: Path) -> None:
    """Import paths, found in the current folder."""
    (tmp_path / "mine.py").write_text(
        "import numpy as np, torch\n"
        "from torch import nn\n"
        "def blobs(spread=1.0):\n"
        "    rng = np.random.default_rng(0)\n"
        "    y = np.arange(900) % 3\n"
        "    x = rng.normal(size=(900, 6)).astype(np.float32) * spread\n"
        "    x[:, :3] += 3 * np.eye(3, dtype=np.float32)[y]\n"
        "    return {'x_train': x, 'y_train': y, 'classes': ['a', 'b', 'c']}\n"
        "def net(width=8):\n"
        "    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))\n"
    )
    (tmp_path / "mine.toml").write_text(
        "[data]\nsource = 'mine:blobs'\nspread = 0.8\n"
        "[[teacher]]\nmodel = 'mine:net'\nwidth = 64\n"
        "[student]\nmodel = 'mine:net'\n"
        "[[loss]]\nname = 'kd'\ntemperature = 2.0\n"
        "[train]\nepochs = 8\nlearning_rate = 0.02\n"
    )
    edgekd = Session(tmp_path)
    run = edgekd.json("distill", "mine.toml")
    assert run["manifest"]["student_scores"][0]["test_accuracy"] > 0.9
    artifact = edgekd.json("export", "--target", "onnx")["artifacts"][0]
    assert artifact["classes"] == ["a", "b", "c"]
    bare = tmp_path / "bare.onnx"
    bare.write_bytes((tmp_path / artifact["path"]).read_bytes())
    found = edgekd.json("benchmark", "bare.onnx")["measurements"][0]
    assert found["latency"]["p50_ms"] > 0
    assert found["accuracy"] is None
    assert "accuracy" in found["unknown"]
