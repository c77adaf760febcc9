"""Instructions per inference, counted in the emulated Raspberry Pi."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from edgekd.bench import agent
from edgekd.bench.connect import connect
from edgekd.bench.devices import load_device
from edgekd.bench.protocol import build_request, parse_reply
from edgekd.bench.settings import Settings
from edgekd.transports.base import Transport
from edgekd.transports.reach import Reach
from tests.bench import files

pytestmark = pytest.mark.device

Count = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def transport(pi_box: Reach) -> Iterator[Transport]:
    """The way into the box."""
    found = connect(load_device("pi5-emulated"), pi_box)
    yield found
    found.close()


@pytest.fixture
def count(transport: Transport, tmp_path: Path) -> Count:
    """Runs the agent on a file in a fresh process that counts five inferences."""
    request = tmp_path / "request.json"

    def run(path: Path, *, threads: int = 1, python: str | None = None) -> dict[str, Any]:
        kind = path.suffix.lstrip(".")
        asked = build_request(
            Settings(), model=transport.put(path), kind=kind, threads=threads, runtimes=()
        )
        request.write_text(json.dumps({**asked, "instructions": {"runs": 5}}))
        argv = [
            python or transport.python,
            transport.put(Path(agent.__file__)),
            transport.put(request),
        ]
        return parse_reply(transport.run(argv, timeout=240), what=path.name)

    return run


def per_inference(reply: dict[str, Any]) -> float:
    counted = reply["instructions"]
    assert len(counted["raw"]) == 5, counted
    return median(counted["raw"])


def test_two_fresh_processes_count_the_same_and_leave_nothing(
    count: Count, transport: Transport, data_root: Path
) -> None:
    path = data_root / "mlperf_tiny" / "kws_ref_model_int8.tflite"
    first, second = count(path), count(path)
    assert per_inference(second) == pytest.approx(per_inference(first), rel=3e-4)
    assert first["instructions"]["cpu"] == "cortex-a76"
    assert first["instructions"]["counter"].startswith("qemu-user ")
    listed = transport.run(["ls", "/tmp"], timeout=60)
    assert listed.returncode == 0
    assert "edgekd-counter" not in listed.stdout


def test_the_counted_python_answers_as_the_plain_one_bit_for_bit(
    count: Count, data_root: Path
) -> None:
    path = data_root / "mlperf_tiny" / "ic_pretrainedResnet_fp32.tflite"
    counted, plain = count(path), count(path, python="/usr/bin/python3")
    assert per_inference(counted) > 0
    assert set(plain["instructions"]) == {"missing"}
    assert plain["output_sha256"] == counted["output_sha256"]


def test_twice_the_layers_are_about_twice_the_instructions(count: Count, tmp_path: Path) -> None:
    size, few = 256, 16
    layer = (np.eye(size), np.zeros(size))
    once = files.mlp_onnx(tmp_path / "once.onnx", [layer] * few, (size,))
    twice = files.mlp_onnx(tmp_path / "twice.onnx", [layer] * (2 * few), (size,))
    small, large = per_inference(count(once)), per_inference(count(twice))
    # A vector instruction multiplies four pairs of floats at most.
    assert small > few * size * size / 4
    assert large / small == pytest.approx(2, abs=0.15)
