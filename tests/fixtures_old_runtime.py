"""The real tflite-runtime 2.14.0, in an environment of its own (`make old-runtime`)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parent.parent
RUNNER = REPOSITORY / "benchmarks" / "oldruntime" / "forked.py"

#: Takes a file and its inputs by name (n, ...); gives how far it came, and its outputs (n, values).
Old = Callable[[bytes, dict[str, NDArray]], tuple[str, NDArray[np.float64] | None]]


@pytest.fixture(scope="session")
def old_python() -> Path:
    """The Python that has tflite-runtime 2.14: $EDGEKD_OLD_PYTHON, or that of .venv-old."""
    given = os.environ.get("EDGEKD_OLD_PYTHON")
    found = Path(given) if given else REPOSITORY / ".venv-old" / "bin" / "python"
    if not found.exists():
        pytest.skip("no tflite-runtime 2.14 here: `make old-runtime`, or set EDGEKD_OLD_PYTHON")
    return found


@pytest.fixture
def old_runtime(old_python: Path, tmp_path: Path) -> Old:
    """Run a file in tflite-runtime 2.14, in a process of its own."""

    def run(content: bytes, inputs: dict[str, NDArray]) -> tuple[str, NDArray[np.float64] | None]:
        model = tmp_path / "model.tflite"
        model.write_bytes(content)
        np.savez(tmp_path / "in.npz", **inputs)
        out = tmp_path / "out"
        jobs = tmp_path / "jobs.json"
        job = {"model": str(model), "inputs": str(tmp_path / "in.npz"), "outputs": str(out)}
        jobs.write_text(json.dumps([job]))
        done = subprocess.run(
            [old_python, RUNNER, jobs], capture_output=True, text=True, check=True, timeout=120
        )
        state = json.loads(done.stdout.splitlines()[-1])[0]["default"]["state"]
        outputs = np.load(f"{out}.default.npy") if state == "right" else None
        return state, outputs

    return run
