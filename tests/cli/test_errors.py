"""Bad input at the command line: one clear message, an exit code, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.toml import dump_toml


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEKD_RUNS", raising=False)
    return tmp_path


def edgekd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgekd", *arguments], capture_output=True, text=True, timeout=120
    )


def refused(code: int, message: str, *arguments: str) -> str:
    """Run a command that must fail, in this process, which has imported PyTorch long since."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 12
    return done.stderr


def write(path: Path, raw: dict[str, Any]) -> str:
    path.write_text(dump_toml(raw))
    return str(path)


def test_recipes(here: Path, tiny: dict[str, Any]) -> None:
    refused(2, "no such file", "distill", "nowhere.toml")
    refused(2, "Did you mean 'digits'", "distill", "digit")
    (here / "bad.toml").write_text("[train\n")
    refused(2, "not valid TOML", "distill", "bad.toml")
    tiny["train"]["epocs"] = 1
    tiny["train"]["batch_size"] = "big"
    tiny["loss"][0]["name"] = "cross-entropie"
    said = refused(2, "3 faults", "distill", write(here / "r.toml", tiny))
    for part in ("train.epocs", "train.batch_size", "loss[0].name", "'cross-entropy'"):
        assert part in said
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("change", "close"),
    [
        ({"student": {"model": "resnet7"}}, "resnet8"),
        ({"data": {"source": "digitz"}}, "digits"),
        ({"loss": [{"name": "kdd"}]}, "kd"),
        ({"export": [{"target": "onxx"}]}, "onnx"),
        ({"benchmark": {"devices": ["cpuu"]}}, "cpu"),
    ],
)
def test_unknown_names(
    here: Path, tiny: dict[str, Any], change: dict[str, Any], close: str
) -> None:
    refused(2, f"'{close}'", "distill", write(here / "r.toml", tiny | change))


def test_unknown_names_as_options(here: Path) -> None:
    refused(2, "'tflite'", "export", "--target", "tflight")
    refused(2, "'int8'", "export", "--target", "onnx", "--quantize", "int9")
    refused(2, "'cpu'", "devices", "show", "cpuu")
    refused(2, "'digits'", "recipes", "show", "digitss")


def test_no_run_yet(here: Path) -> None:
    for command in ("export", "benchmark", "check", "report"):
        arguments = ["--target", "onnx"] if command == "export" else []
        refused(2, "edgekd distill", command, *arguments)
    assert edgekd("runs", "list").returncode == 0


def test_data(here: Path, tiny: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)).astype(np.float32)
    y = np.arange(200) % 4
    np.savez("nan.npz", x_train=np.where(np.arange(200)[:, None] == 7, np.nan, x), y_train=y)
    np.savez("range.npz", x_train=x, y_train=y - 2)
    (here / "empty").mkdir()
    for data, message in (
        ({"source": "npz", "path": "nan.npz"}, "NaN"),
        ({"source": "npz", "path": "range.npz"}, "label"),
        ({"source": "npz", "path": "gone.npz"}, "gone.npz"),
        ({"source": "image-folder", "root": "empty"}, "empty"),
        ({"source": "idx", "root": "$NO_SUCH_VARIABLE/x"}, "NO_SUCH_VARIABLE"),
    ):
        refused(2, message, "distill", write(here / "r.toml", tiny | {"data": data}))
    assert not (here / "runs").exists()


def test_output(here: Path, tiny: dict[str, Any]) -> None:
    (here / "taken").mkdir()
    (here / "taken" / "thesis").write_text("precious")
    path = write(here / "r.toml", tiny)
    refused(2, "nothing was overwritten", "distill", path, "--out", "taken")
    assert (here / "taken" / "thesis").read_text() == "precious"
    refused(3, "cuda", "distill", path, "--accelerator", "cuda")
    refused(2, "exists already", "recipes", "init", "r.toml")


def test_json_errors(here: Path) -> None:
    done = edgekd("distill", "nowhere.toml", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == said["exit_code"] == 2
    assert said["schema"] == 1
    assert said["error"] == "RecipeError"
    assert len(said["faults"]) == 1


def test_debug_shows_the_traceback(here: Path) -> None:
    done = edgekd("distill", "nowhere.toml", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("pause", [0.5, 1.5, None])
def test_interrupted(here: Path, tiny: dict[str, Any], pause: float | None) -> None:
    """Ctrl-C while importing, while loading, and (None) in the middle of training."""
    tiny["train"]["epochs"] = 5000
    path = write(here / "r.toml", tiny)
    with subprocess.Popen(
        [sys.executable, "-m", "edgekd", "distill", path, "--out", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        if pause is None:
            deadline = time.monotonic() + 60
            log = here / "run" / "metrics.jsonl"
            while time.monotonic() < deadline and not (
                log.exists() and '"student"' in log.read_text()
            ):
                time.sleep(0.05)
        else:
            time.sleep(pause)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if "interrupted" in said else -signal.SIGINT), said
    assert "Traceback" not in said, said
    if pause is None:
        assert process.returncode == 130
        assert "edgekd distill --resume run" in said
        assert not list((here / "run").rglob(".edgekd-tmp-*"))
