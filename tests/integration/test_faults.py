"""Real faults while files are measured: one clear message each, and nothing else is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekd.bench.devices import load_device
from edgekd.emulation import boxes
from edgekd.rundir import Run
from edgekd.transports.adb import AdbTransport
from edgekd.transports.base import Completed
from edgekd.transports.reach import Reach
from edgekd.transports.shell import ShellTransport
from edgekd.transports.ssh import SshTransport
from tests.bench import files
from tests.emulation.test_phone import adbd_of
from tests.integration.board import Board, benchmark, board_in, good_files

pytestmark = pytest.mark.device


@pytest.fixture(autouse=True)
def nothing_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files alone are measured here, not the one that does nothing and tells their memory."""
    monkeypatch.setattr("edgekd.bench.measure.null_memory", lambda *_: None)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    with board_in(tmp_path, monkeypatch) as found:
        yield found


def hungry_onnx(path: Path) -> Path:
    """Write an ONNX file of a few bytes that makes a tensor of 8 GiB."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 31, 1])
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["y"], axes=[0], keepdims=0),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "hungry", ends[:1], ends[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_a_file_that_kills_its_process(board: Board, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    told = board.benchmark(good, files.killer(tmp_path / "killer.tflite"), other, code=1)
    told.measured("good.tflite", "good.onnx")
    message = told.failed("killer.tflite")
    assert "the process was killed by SIGSEGV while running it\nThe file is damaged" in message


def test_a_file_that_does_not_fit(board: Board, small_disk: Path, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    weight = np.random.default_rng(0).standard_normal((1000, 500))
    large = files.mlp_onnx(tmp_path / "large.onnx", [(weight, np.zeros(1000))], (500,))
    board.profile(folder=str(small_disk))
    told = board.benchmark(good, large, other, code=1)
    told.measured("good.tflite", "good.onnx")
    message = told.failed("large.onnx")
    assert f"box has no room for large.onnx ({large.stat().st_size} bytes)" in message
    assert "Free some there, or name another folder" in message
    assert not [path for path in small_disk.iterdir() if path.name.startswith("edgekd-")]


def test_the_disk_fills_up_while_samples_are_answered(
    board: Board, small_disk: Path, run: Run, tmp_path: Path
) -> None:
    board.profile(folder=str(small_disk))
    board.hook(
        "if asked.get('chunks'):\n"
        "    with contextlib.suppress(OSError):\n"
        f"        file = open({str(small_disk / 'full')!r}, 'wb', 0)\n"
        "        while True: file.write(bytes(4096))\n"
    )
    (good, _) = good_files(tmp_path)
    told = board.benchmark(run.path, good, code=1)
    message = told.failed("onnx-fp32")
    assert "running the test samples failed: OSError: [Errno 28] No space left" in message
    assert message.endswith("The device's disk is full: free some room there.")
    assert "box has no room for good.tflite" in told.failed("good.tflite")


def test_the_connection_is_cut_once(board: Board, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    board.hook("if model == 'good.onnx' and once('cut'): cut()")
    told = board.benchmark(good, other, code=0)
    told.measured("good.tflite", "good.onnx")
    assert "good.onnx: box is gone: the connection broke; trying once more\n" in told.stderr
    assert "gone" not in told.stdout


def test_the_connection_is_cut_again_and_again(board: Board, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    board.hook("if model == 'good.onnx': cut()")
    told = board.benchmark(good, other, code=1)
    told.measured("good.tflite")
    assert "box is gone: the connection broke" in told.failed("good.onnx")


def test_sshd_is_stopped(board: Board, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    board.hook("if model == 'other.tflite': cut(wholly=True)")
    told = board.benchmark(good, files.add(tmp_path / "other.tflite"), other, code=1)
    told.measured("good.tflite")
    message = told.failed("other.tflite")
    assert message.startswith("box is gone: the connection broke; the second try: box cannot be")
    assert "Connection refused" in message and message.endswith("Try it by hand: ssh box")
    assert "good.onnx on board: failed: not tried: the device 'board' is gone\n" in told.stdout
    assert "good.onnx" not in told.records, "what an earlier call measured of it is left alone"


def test_the_host_key_changes_meanwhile(board: Board, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    known, stranger = board.sshd.root / "known", board.sshd.root / "other"
    board.hook(f"if model == 'good.onnx': os.replace({str(stranger)!r}, {str(known)!r}); cut()")
    told = board.benchmark(good, other, code=1)
    told.measured("good.tflite")
    assert "the second try: the host key of box has changed" in told.failed("good.onnx")


@pytest.mark.parametrize("count", [1, 2])
def test_the_host_key_has_changed(board: Board, tmp_path: Path, count: int) -> None:
    board.sshd.stop()
    config = board.sshd.root / "sshd_config"
    config.write_text(config.read_text().replace("/host\n", "/stranger\n"))
    board.sshd.start()
    told = board.benchmark(*good_files(tmp_path)[:count], code=2)
    assert not told.records and not told.stdout.strip()
    assert told.stderr.startswith("error: the host key of box has changed: it is another machine")
    # What the hint says to type helps, once one has compared the fingerprint.
    known = board.sshd.root / "known"
    command = told.stderr.partition("If you know why: ")[2].partition(", then ")[0]
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert known.read_text() == ""


def test_nobody_answers(board: Board, tmp_path: Path) -> None:
    board.sshd.stop()
    told = board.benchmark(*good_files(tmp_path), code=3)
    assert not told.records and not told.stdout.strip()
    assert told.stderr.startswith("error: box cannot be reached (ssh: connect to host 127.0.0.1")
    assert told.stderr.endswith("Try it by hand: ssh box\n")


def test_a_runtime_is_missing(board: Board, tmp_path: Path) -> None:
    board.profile(runtimes=["tflite-runtime", "onnxruntime"])
    told = board.benchmark(*good_files(tmp_path), code=1)
    told.measured("good.onnx")
    message = told.failed("good.tflite")
    assert "no runtime for tflite files: tflite-runtime (ModuleNotFoundError" in message
    assert "edgekd devices doctor" in message


#: What CPython 3.6 and 3.8 say of the agent; that of 3.8 is the agent's own word.
OLD = {
    "3.6": (
        "sys.exit('  File \"agent.py\", line 20\\n    from __future__ import annotations\\n'"
        " '    ^\\nSyntaxError: future feature annotations is not defined')",
        "the device's Python is too old to read the agent",
    ),
    "3.8": (
        "sys.version_info = (3, 8, 18); sys.argv = sys.argv[1:]; import platform, runpy;"
        "platform.python_version = lambda: '3.8.18'; runpy.run_path(sys.argv[0], None, '__main__')",
        "the device's Python is too old: it is 3.8.18",
    ),
}


@pytest.mark.parametrize("version", OLD)
def test_its_python_is_too_old(board: Board, tmp_path: Path, version: str) -> None:
    code, message = OLD[version]
    board.hook(code)
    told = board.benchmark(*good_files(tmp_path), code=3)
    assert told.said.count(message) == 2
    assert "Python 3.9 or newer is needed there: name another one" in told.stderr
    assert len(told.stderr.splitlines()) <= 6, told.stderr


def test_noise_before_the_answer(board: Board, tmp_path: Path) -> None:
    """Twenty megabytes on each stream, and the beginning of an answer on the answer's own line."""
    board.hook(
        "for stream in (sys.stdout, sys.stderr):\n"
        "    for _ in range(200):\n"
        "        stream.write('x' * 99_999 + chr(10))\n"
        '    stream.write(\'{"schema": "edgekd.run/1", and no end of line\')\n'
        "    stream.flush()\n"
    )
    told = board.benchmark(*good_files(tmp_path), code=0)
    told.measured("good.tflite", "good.onnx")
    assert "xxx" not in told.said


def test_noise_and_no_answer(board: Board, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    board.hook(
        "if model == 'good.onnx':\n"
        "    for _ in range(200): sys.stderr.write('x' * 99_999 + chr(10))\n"
        "    sys.exit('the board has other plans')\n"
    )
    told = board.benchmark(good, other, code=1)
    told.measured("good.tflite")
    message = told.failed("good.onnx")
    assert "ended with exit code 1 and no answer" in message
    assert message.endswith("| the board has other plans") and len(message) < 1500


def test_its_memory_runs_out(board: Board, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    board.hook("resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))")
    told = board.benchmark(good, hungry_onnx(tmp_path / "hungry.onnx"), other, code=1)
    told.measured("good.tflite", "good.onnx")
    message = told.failed("hungry.onnx")
    assert "running it failed" in message and message.endswith("\nIts memory ran out.")


def test_files_at_fault_on_a_raspberry_pi(pi_box: Reach, tmp_path: Path) -> None:
    good, other = good_files(tmp_path)
    pointer = tmp_path / "pointer.tflite"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    wrong = [
        files.killer(tmp_path / "killer.tflite"),
        files.out_of_bounds(tmp_path / "outside.tflite"),
        files.unknown_operator_onnx(tmp_path / "odd.onnx"),
        pointer,
    ]
    device, out = ("--device", "pi5-emulated"), tmp_path / "out"
    told = benchmark(*map(str, [good, *wrong, other]), *device, out=out, code=1)
    told.measured("good.tflite", "good.onnx", by="instructions")
    assert "killed by SIGSEGV while running it" in told.failed("killer.tflite")
    assert "running it failed: RuntimeError: gather index out of bounds" in told.failed(
        "outside.tflite"
    )
    assert "org.example.Teleport" in told.failed("odd.onnx").replace(":", ".")
    assert "Git LFS" in told.failed("pointer.tflite")


@contextlib.contextmanager
def own_box(name: str, base: str, folder: Path, environment: pytest.MonkeyPatch) -> Iterator[None]:
    """A box for one test that ends it."""
    emulation = load_device(base).emulation
    assert emulation is not None
    (folder / "devices.toml").write_text(f'[devices.{name}]\nbase = "{base}"\n')
    environment.setenv("EDGEKD_CONFIG", str(folder))
    try:
        boxes.up(name, emulation, say=print)
        yield
    finally:
        boxes.down(name)


def meanwhile(
    transport: type[ShellTransport], do: Callable[[], object], environment: pytest.MonkeyPatch
) -> None:
    """Do something a second after the second file was begun."""
    real, calls = transport.run, itertools.count(1)

    def run(self: ShellTransport, argv: Sequence[str], *, timeout: float) -> Completed:
        if next(calls) == 2:
            timer = threading.Timer(1.0, do)
            timer.start()
        return real(self, argv, timeout=timeout)

    environment.setattr(transport, "run", run)


def test_a_raspberry_pi_is_taken_away(
    pi_box: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, (good, other) = "pi-lost", good_files(tmp_path)
    with own_box(name, "pi5-emulated", tmp_path, monkeypatch):
        meanwhile(SshTransport, lambda: boxes.down(name), monkeypatch)
        second = files.add(tmp_path / "second.tflite")
        sources = map(str, [good, second, other])
        told = benchmark(*sources, "--device", name, out=tmp_path / "out", code=1)
    told.measured("good.tflite", by="instructions")
    message = told.failed("second.tflite")
    assert message.startswith(f"{name} is gone: the connection broke")
    assert f"good.onnx on {name}: failed: not tried: the device '{name}' is gone\n" in told.stdout


def test_adbd_is_restarted(
    phone_box: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, (good, other) = "phone-cut", good_files(tmp_path)
    with own_box(name, "phone-emulated", tmp_path, monkeypatch):
        meanwhile(AdbTransport, lambda: os.kill(adbd_of(name), signal.SIGKILL), monkeypatch)
        sources = map(str, [good, other])
        told = benchmark(*sources, "--device", name, out=tmp_path / "out", code=0)
    told.measured("good.tflite", "good.onnx", by="instructions")
    assert "is gone: the connection broke (" in told.stderr and "trying once more" in told.stderr
    assert "(edgekd-" not in told.stderr, "a mark is no reason"
