"""Files of the ``npu`` profile through Arm's own compiler: nothing is left to the processor."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import edgekd
from edgekd.models.build import build

#: ``ethos-u-vela``, in an environment of its own (EDGEKD_VELA) or in this one.
VELA = os.environ.get("EDGEKD_VELA") or shutil.which("vela")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(VELA is None, reason="no vela: pip install ethos-u-vela, or EDGEKD_VELA"),
]

NETWORKS = {
    "mobilenetv2": ((3, 32, 32), {"width": 0.35, "depth": 0.5}),
    "ds-cnn": ((1, 49, 10), {}),
    "conv1d": ((1, 8000), {}),
    "resnet8": ((3, 32, 32), {}),
    "gru": ((16, 16), {"hidden": 16, "layers": 1}),
}


def percentages(path: Path, folder: Path) -> dict[str, float]:
    """Return the share of operators that Vela places on each, in percent."""
    done = subprocess.run(
        [str(VELA), str(path), "--output-dir", str(folder), "--show-cpu-operations"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"(CPU|NPU) operators = \d+ \((\d+\.\d+)%\)", done.stdout)
    assert found, done.stdout
    return {where: float(share) for where, share in found}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_operators_of_the_npu_profile_run_on_the_npu(name: str, tmp_path: Path) -> None:
    shape, options = NETWORKS[name]
    torch.manual_seed(0)
    model = build(name, options, num_classes=10, input_shape=shape).eval()
    samples = np.random.default_rng(0).standard_normal((64, *shape), dtype=np.float32)
    artifact = edgekd.export(
        model,
        target="tflite",
        profile="npu",
        samples={"input": samples},
        out=tmp_path / "artifact",
    )
    assert {spec.dtype for spec in (*artifact.manifest.inputs, *artifact.manifest.outputs)} == {
        "int8"
    }
    shares = percentages(artifact.path, tmp_path)
    assert shares == {"CPU": 0.0, "NPU": 100.0}
