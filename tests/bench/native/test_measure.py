"""Benchmark programs on a device: checked, pushed, run, recorded."""

from __future__ import annotations

import hashlib
import shutil
import stat
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekd.bench.devices import Device
from edgekd.bench.measure import Course, Work, measure
from edgekd.bench.native import binary as binaries
from edgekd.bench.native.measure import latency, measure_native
from edgekd.bench.options import Options
from edgekd.bench.result import Bench
from edgekd.bench.settings import Settings
from edgekd.bench.subjects import find
from edgekd.cli.app import app
from edgekd.errors import MeasurementError
from edgekd.records import Measurement
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport
from tests.bench import files
from tests.bench.native.test_parsers import OUTPUTS, output

#: A program that prints a recording, and writes its arguments beside itself.
SCRIPT = """#!/bin/sh
printf '%s\\n' "$@" > "$0.args"
{extra}
cat '{recording}'
exit {code}
"""


def program(folder: Path, name: str, recording: str, *, code: int = 0, extra: str = "") -> Path:
    path = folder / name
    recorded = OUTPUTS / f"{recording}.txt"
    path.write_text(SCRIPT.format(recording=recorded, code=code, extra=extra))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tflite(tmp_path: Path) -> Path:
    path = tmp_path / "m.tflite"
    files.add(path)
    return path


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    files.linear_onnx(path)
    return path


def run(
    model: Path, path: Path, fast: Settings, *, profile_ops: bool = False, **device: object
) -> Measurement:
    transport = LocalTransport()
    profile = {"name": "here", "runtimes": ("litert", "onnxruntime"), **device}
    bench = Bench(Device.model_validate(profile), transport, fast)
    try:
        checked = binaries.check(path, sha256(path))
        (subject,) = find(model)
        return measure_native(subject, bench, checked, threads=1, profile_ops=profile_ops)
    finally:
        transport.close()


def test_benchmark_model(tmp_path: Path, tflite: Path, fast: Settings) -> None:
    path = program(tmp_path, "android_aarch64_benchmark_model", "tflite-median")
    found = run(tflite, path, fast)
    assert found.latency is not None
    assert found.latency.p50_ms == pytest.approx(141.253)
    assert found.latency.p90_ms is None
    assert found.latency.raw_ms == ()
    assert found.runtime == "benchmark_model"
    assert found.memory is None
    assert found.accuracy is None
    missing = {"accuracy", "agreement", "peak_rss_bytes", "latency.p90_ms", "latency.raw_ms"}
    assert missing <= set(found.unknown)
    told = found.environment["program"]
    assert told["sha256"] == sha256(path)
    assert told["memory_mb"] == {"init": 54.2852, "overall": 73.4102}
    arguments = path.with_name(path.name + ".args").read_text().splitlines()
    assert f"--graph={tflite.resolve()}" in arguments
    assert {"--num_threads=1", "--num_runs=20", "--min_secs=0.05"} <= set(arguments)
    # A record like any other: it survives being written and read.
    assert Measurement.model_validate_json(found.model_dump_json()) == found


def test_a_mean_is_no_median(tmp_path: Path, tflite: Path, fast: Settings) -> None:
    found = run(tflite, program(tmp_path, "benchmark_model", "tflite-2024"), fast)
    assert found.latency is None
    assert "13.52 ms over 74" in found.unknown["latency"]
    assert found.environment["program"]["mean_ms"] == pytest.approx(13.5202)


def test_perf_test_with_its_samples(tmp_path: Path, onnx: Path, fast: Settings) -> None:
    # The probe says 98.96 ms: 3 inferences warm up, 20 are timed, as the settings ask.
    times = [0.5] * 3 + [0.010 + 0.001 * i for i in range(20)]
    rows = "".join(f"m,{seconds:.6f},1000,50,{i}\\n" for i, seconds in enumerate(times))
    mean = sum(times) / len(times) * 1e3
    extra = (
        'for last; do :; done\ncase "$last" in *.csv) '
        f"printf '{rows}' > \"$last\"; "
        f"echo 'Total inference requests: 23'; "
        f"echo 'Average inference time cost total: {mean:.6f} ms'; exit 0;; esac"
    )
    path = program(tmp_path, "onnxruntime_perf_test", "ort-2025", extra=extra)
    found = run(onnx, path, fast)
    assert found.latency is not None
    assert found.latency.warmup_runs == 3
    assert found.latency.n == 20
    assert found.latency.p50_ms == pytest.approx(19.5)
    assert found.latency.p90_ms == pytest.approx(27.1)
    assert found.latency.raw_ms == pytest.approx([10 + i for i in range(20)])
    assert found.latency.load_ms is None  # the second call did not print it


def test_perf_test_without_its_samples(tmp_path: Path, onnx: Path, fast: Settings) -> None:
    found = run(onnx, program(tmp_path, "onnxruntime_perf_test", "ort-2025"), fast)
    assert found.latency is not None
    assert found.latency.p99_ms == pytest.approx(101.519)
    assert found.latency.raw_ms == ()
    assert found.latency.outliers is None


def test_emulated_devices_have_no_milliseconds(
    tmp_path: Path, tflite: Path, fast: Settings
) -> None:
    path = program(tmp_path, "benchmark_model", "tflite-median")
    found = run(tflite, path, fast, emulated=True, profile_ops=True)
    assert found.latency is None
    assert "emulated" in found.unknown["latency"]
    assert "emulated" in found.unknown["operators"]


def test_profile_of_benchmark_model(tmp_path: Path, tflite: Path, fast: Settings) -> None:
    recorded = (OUTPUTS / "ops-xnnpack.txt").as_posix()
    extra = f"case \"$*\" in *op_profiling*) cat '{recorded}';; esac"
    path = program(tmp_path, "benchmark_model", "tflite-median", extra=extra)
    found = run(tflite, path, fast, profile_ops=True)
    assert found.operators[0].kind == "QUANTIZE"
    assert "operators" not in found.unknown


def test_profile_of_perf_test(tmp_path: Path, onnx: Path, fast: Settings) -> None:
    trace = (
        '[{"cat":"Session","name":"model_run","ts":0,"dur":9,"tid":1},'
        '{"cat":"Node","name":"n_kernel_time","ts":1,"dur":4,"tid":1,"args":{"op_name":"Gemm"}}]'
    )
    extra = (
        'while [ $# -gt 0 ]; do if [ "$1" = -p ]; then '
        f"printf '%s' '{trace}' > \"$2_2026.json\"; fi; shift; done"
    )
    path = program(tmp_path, "onnxruntime_perf_test", "ort-2025", extra=extra)
    found = run(onnx, path, fast, profile_ops=True)
    assert [(o.name, o.kind, o.mean_ms, o.share) for o in found.operators] == [
        ("n", "Gemm", 0.004, 1.0)
    ]


def test_a_profile_that_fails_leaves_the_latency(
    tmp_path: Path, tflite: Path, fast: Settings
) -> None:
    extra = 'case "$*" in *op_profiling*) exit 7;; esac'
    path = program(tmp_path, "benchmark_model", "tflite-median", extra=extra)
    found = run(tflite, path, fast, profile_ops=True)
    assert found.latency is not None
    assert "exit code 7" in found.unknown["operators"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("echo 'Failed to load model'; exit 1", r"exit code 1\n(.*\n)*.*Failed to load model"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("exit 0", "printed no result that is known"),
    ],
)
def test_a_program_that_fails(
    tmp_path: Path, tflite: Path, fast: Settings, extra: str, message: str
) -> None:
    path = program(tmp_path, "benchmark_model", "tflite-median", extra=extra)
    with pytest.raises(MeasurementError, match=message):
        run(tflite, path, fast)


def test_a_copy_is_made_executable_and_bound(tmp_path: Path, tflite: Path, fast: Settings) -> None:
    def answer(argv: object, files: dict[str, bytes]) -> Completed:
        return Completed(0, output("tflite-median"))

    transport = FakeTransport(answer)
    device = Device(name="phone", runtimes=("litert",), affinity=(4, 5))
    path = program(tmp_path, "benchmark_model", "tflite-median")
    checked = binaries.check(path, sha256(path).upper())
    (subject,) = find(tflite)
    measure_native(subject, Bench(device, transport, fast), checked, threads=2)
    assert ("chmod", "755", "/fake/benchmark_model") in transport.commands
    assert transport.files["/fake/benchmark_model"] == path.read_bytes()
    assert transport.commands[-1][:3] == ("taskset", "30", "/fake/benchmark_model")


def test_the_benchmark_takes_the_program_of_the_format(
    tmp_path: Path, tflite: Path, fast: Settings
) -> None:
    path = program(tmp_path, "benchmark_model", "tflite-median")
    options = Options(binaries=binaries.check_all([path], [sha256(path)]))
    (subject,) = find(tflite)
    device = Device(name="phone", runtimes=("litert",))
    transport = FakeTransport(lambda argv, files: Completed(0, output("tflite-median")))
    work = Work(subject, 1, "no labels", options)
    found, kept = measure(work, Bench(device, transport, fast), Course())
    assert found.runtime == "benchmark_model"
    assert kept is None


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"mode": "accuracy"}, "--mode accuracy"),
        ({"samples": 5}, "--samples"),
        ({"scenario": "offline"}, "--scenario offline"),
        ({"soak": 3.0}, "--soak"),
    ],
)
def test_what_a_program_cannot_do_is_refused(
    tmp_path: Path, asked: dict[str, object], named: str
) -> None:
    path = program(tmp_path, "benchmark_model", "tflite-median")
    checked = binaries.check_all([path], [sha256(path)])
    with pytest.raises(MeasurementError, match=f"{named}: a --binary measures latency"):
        Options(binaries=checked, **asked)  # type: ignore[arg-type]


def test_the_command_line(tmp_path: Path, tflite: Path, onnx: Path) -> None:
    recorded = (OUTPUTS / "ops-litert.txt").as_posix()
    extra = f"case \"$*\" in *op_profiling*) cat '{recorded}';; esac"
    path = program(tmp_path, "benchmark_model", "tflite-median", extra=extra)
    arguments = ["--binary", str(path), "--binary-sha256", sha256(path), "--profile-ops"]
    result = CliRunner().invoke(app, ["benchmark", str(tflite), str(onnx), *arguments])
    assert result.exit_code == 0, result.output
    assert "141" in result.output
    assert "13 operators" in result.output
    assert "m.onnx: not measured, no --binary runs it: benchmark_model" in result.output


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("benchmark_model", "0" * 64, "another file"),
        ("benchmark_model", "abc", "64 hexadecimal digits"),
        ("measure", None, "no program that is known"),
    ],
)
def test_programs_that_are_refused(
    tmp_path: Path, name: str, given: str | None, message: str
) -> None:
    path = program(tmp_path, name, "tflite-median")
    with pytest.raises(MeasurementError, match=message):
        binaries.check(path, given or sha256(path))


def test_each_program_has_its_hash(tmp_path: Path) -> None:
    path = program(tmp_path, "benchmark_model", "tflite-median")
    with pytest.raises(MeasurementError, match="1 --binary and 0 --binary-sha256"):
        binaries.check_all([path], [])
    with pytest.raises(MeasurementError, match="two --binary"):
        binaries.check_all([path, path], [sha256(path)] * 2)
    with pytest.raises(MeasurementError, match="no such file"):
        binaries.check(tmp_path / "benchmark_model.exe", "0" * 64)


def test_latency_of_aggregates_only() -> None:
    from edgekd.bench.native import benchmark_model

    found, missing = latency(benchmark_model.parse(output("litert-2026")))
    assert found is None
    assert "7430 ms over 10" in missing["latency"]


@pytest.mark.slow
def test_litert_benchmark_itself(fast: Settings, data_root: Path) -> None:
    path = shutil.which("litert-benchmark", path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip("litert-benchmark is not installed")
    model = data_root / "mlperf_tiny" / "kws_ref_model_int8.tflite"
    found = run(model, Path(path), fast)
    assert found.latency is not None
    assert 0 < found.latency.p50_ms < 100
    assert found.latency.n == 500
