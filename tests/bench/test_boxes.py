"""The benchmark on emulated devices: one table, real files, equal answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.bench.options import Options
from edgekd.bench.stage import benchmark
from edgekd.rundir import Run
from edgekd.transports.reach import Reach

pytestmark = [pytest.mark.device, pytest.mark.timeout(900)]


def test_a_run_on_this_machine_and_in_a_box(run: Run, pi_box: Reach) -> None:
    """Real data: the digits. float32 is within 1e-5 of the host, and gives the same classes."""
    here, there = benchmark(
        run.artifacts()[0].path,
        devices=["cpu", "pi5-emulated"],
        options=Options(seconds=0.2, samples=200),
    )
    assert there.status == "ok", there.error
    assert there.latency is None and "emulated" in there.unknown["latency"]
    assert there.instructions is not None and there.instructions.per_inference > 10_000
    assert there.memory is not None
    assert (there.samples, there.test_samples) == (200, here.test_samples)
    assert there.accuracy == here.accuracy and there.agreement == here.agreement
    (compared,) = there.compared
    assert compared.same_runtime and compared.same_class == compared.samples == 200
    assert compared.max_difference is not None and compared.max_difference < 1e-5


@pytest.mark.parametrize(
    "patterns",
    [
        ("mlperf_tiny/kws*.tflite",),
        pytest.param(
            ("mlperf_tiny/*.tflite", "ultraface/*.onnx", "coral/*.tflite"), marks=pytest.mark.slow
        ),
    ],
    ids=["two", "all"],
)
def test_other_peoples_files_answer_as_on_this_machine(
    data_root: Path, pi_box: Reach, patterns: tuple[str, ...]
) -> None:
    """They run in the box; int8 ones answer bit for bit."""
    files = [path for pattern in patterns for path in sorted(data_root.glob(pattern))]
    if not files:
        pytest.skip(f"no files in {data_root}")
    found = benchmark(
        *files, devices=["cpu", "pi5-emulated"], options=Options(mode="latency", seconds=0.1)
    )
    assert [(one.artifact, one.error) for one in found if one.status != "ok"] == []
    for one in found[len(files) :]:
        (compared,) = one.compared
        assert one.instructions is not None and compared.same_runtime
        if "int8" in one.artifact or "quant" in one.artifact:
            assert compared.identical == 1, one.artifact
