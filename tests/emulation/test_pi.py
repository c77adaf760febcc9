"""A Raspberry Pi in a box, for real: up, what is inside, down, and after a crash."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.connect import connect
from edgekd.bench.devices import load_device
from edgekd.emulation import binfmt, boxes, leftovers, state
from edgekd.emulation.process import find
from edgekd.emulation.spec import Emulation
from edgekd.transports.base import Transport
from edgekd.transports.reach import Reach
from tests.fixtures_boxes import brought_up

pytestmark = pytest.mark.device

#: Runs files with their inputs, MODEL INPUT ...; prints a list of outputs a line.
RUN = """
import json, sys
import numpy as np
from {module} import Interpreter
for path, x in zip(sys.argv[1::2], sys.argv[2::2]):
    model = Interpreter(model_path=path, num_threads=1)
    model.allocate_tensors()
    model.set_tensor(model.get_input_details()[0]["index"], np.load(x))
    model.invoke()
    print(json.dumps(model.get_tensor(model.get_output_details()[0]["index"]).tolist()))
"""
#: A program of one instruction beyond the base: SDOT V0.4S, V1.16B, V2.16B; RET.
SDOT = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write((0x4E829420).to_bytes(4, "little") + (0xD65F03C0).to_bytes(4, "little"))
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print("done")
"""


def ssh(name: str, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    noted = state.read(name)
    assert noted is not None
    return subprocess.run(
        ["ssh", "-F", str(noted.ssh_config), "-o", "BatchMode=yes", name, *argv],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def spec_of(name: str) -> Emulation:
    found = load_device(name).emulation
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pi4_box() -> Iterator[Reach]:
    yield from brought_up("pi4-emulated")


@pytest.fixture
def spare(pi_box: Reach) -> Iterator[str]:
    """Another box of the same root file system, for what would disturb others."""
    name = f"spare-{os.getpid()}"
    yield name
    boxes.down(name)
    state.device_folder(name).rmdir()


@pytest.fixture(scope="module")
def pi(pi_box: Reach) -> Iterator[Transport]:
    with contextlib.closing(connect(load_device("pi5-emulated"), pi_box)) as transport:
        yield transport


def members(name: str) -> list[int]:
    """Every process of this machine that stands in the box's own namespace."""
    noted = state.read(name)
    assert noted is not None and len(noted.processes) == 2
    inner = Path(f"/proc/{noted.processes[1].pid}/ns/pid").readlink()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "ns/pid").readlink() == inner:
                found.append(int(path.name))
    return found


def gone(numbers: list[int], patience: float = 5.0) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not any(find(number) for number in numbers):
            return True
        time.sleep(0.05)
    return False


def test_inside_it_is_the_raspberry_pi_5(pi: Transport) -> None:
    assert pi.run(["uname", "-mn"], timeout=60).stdout == "pi5-emulated aarch64\n"
    cpuinfo = pi.run(["cat", "/proc/cpuinfo"], timeout=60).stdout
    assert cpuinfo.count("CPU part\t: 0xd0b") == 4
    assert "asimddp" in cpuinfo and "emulated by QEMU (cortex-a76)" in cpuinfo
    possible = pi.run(["cat", "/sys/devices/system/cpu/possible"], timeout=60).stdout
    assert possible == "0-3\n"
    # The machine's own files and processes are not there, and the root cannot be written.
    assert pi.run(["ls", "/home"], timeout=60).stdout == ""
    assert "cannot touch" in pi.run(["touch", "/usr/x"], timeout=60).stderr
    seen = pi.run(["sh", "-c", "echo /proc/[0-9]*"], timeout=60).stdout.split()
    assert f"/proc/{os.getpid()}" not in seen and "/proc/1" in seen


def test_the_processor_has_the_instructions_of_its_name(pi_box: Reach, pi4_box: Reach) -> None:
    new = ssh("pi5-emulated", "/usr/bin/python3", "-S", "-c", f"'{SDOT}'")
    assert (new.returncode, new.stdout) == (0, "done\n"), new.stderr
    old = ssh("pi4-emulated", "/usr/bin/python3", "-S", "-c", f"'{SDOT}'")
    assert old.stdout == "" and old.returncode != 0, "a Cortex-A72 has no dot product"
    features = ssh("pi4-emulated", "grep", "-m1", "Features", "/proc/cpuinfo").stdout
    assert features.split(": ")[1].split() == ["fp", "asimd", "evtstrm", "crc32", "cpuid"]


def test_int8_outputs_equal_the_hosts_bit_for_bit(
    pi: Transport, data_root: Path, tmp_path: Path
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    rng = np.random.default_rng(7)
    expected, argv = [], []
    for name in ("kws_ref_model_int8", "ad01_int8", "ic_pretrainedResnet_int8"):
        path = data_root / "mlperf_tiny" / f"{name}.tflite"
        here = Interpreter(model_path=str(path), num_threads=1)
        here.allocate_tensors()
        detail = here.get_input_details()[0]
        x = rng.integers(-128, 128, detail["shape"]).astype(detail["dtype"])
        np.save(tmp_path / f"{name}.npy", x)
        here.set_tensor(detail["index"], x)
        here.invoke()
        expected.append(here.get_tensor(here.get_output_details()[0]["index"]))
        argv += [pi.put(path), pi.put(tmp_path / f"{name}.npy")]

    script = tmp_path / "run.py"
    script.write_text(RUN.format(module="ai_edge_litert.interpreter"))
    done = pi.run(["/usr/bin/python3", pi.put(script), *argv], timeout=120)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [y.tolist() for y in expected]
    assert all(len(np.unique(y)) > 1 for y in expected), "outputs that could be wrong"


def test_both_runtimes_are_those_of_this_machine(pi: Transport) -> None:
    from importlib import metadata

    code = (
        "import onnxruntime, ai_edge_litert.interpreter\n"
        "from importlib.metadata import version\n"
        "print(version('onnxruntime'), version('ai-edge-litert'))"
    )
    done = pi.run(["/usr/bin/python3", "-c", code], timeout=120)
    assert done.returncode == 0 and "Error in cpuinfo" not in done.stderr
    here = [metadata.version(name) for name in ("onnxruntime", "ai-edge-litert")]
    assert done.stdout.split() == here


def test_the_old_runtime_has_a_root_of_its_own(data_root: Path, tmp_path: Path) -> None:
    device = load_device("pi4-legacy-emulated")
    for reach in brought_up(device.name):
        with contextlib.closing(connect(device, reach)) as board:
            np.save(tmp_path / "x.npy", np.zeros((1, 640), np.int8))
            (tmp_path / "run.py").write_text(RUN.format(module="tflite_runtime.interpreter"))
            model = data_root / "mlperf_tiny" / "ad01_int8.tflite"
            argv = [board.put(p) for p in (tmp_path / "run.py", model, tmp_path / "x.npy")]
            done = board.run(["/usr/bin/python3", *argv], timeout=120)
            assert done.returncode == 0, done.stderr
            assert np.shape(json.loads(done.stdout.splitlines()[-1])) == (1, 640)
            code = "import numpy, tflite_runtime as t; print(numpy.__version__, t.__version__)"
            said = board.run(["/usr/bin/python3", "-c", code], timeout=60).stdout
            assert said == "1.26.4 2.14.0\n"
            missing = board.run(["/usr/bin/python3", "-c", "import ai_edge_litert"], timeout=60)
            assert "ModuleNotFoundError" in missing.stderr


def test_it_listens_on_this_machine_only(pi_box: Reach) -> None:
    noted = state.read("pi5-emulated")
    assert noted is not None and noted.port is not None
    said = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    listening = {line.split()[3] for line in said.splitlines()}
    assert f"127.0.0.1:{noted.port}" in listening
    assert not {a for a in listening if a.endswith(f":{noted.port}")} - {f"127.0.0.1:{noted.port}"}
    for family, own in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as probe, pytest.raises(OSError):
            probe.connect((own, noted.port))


def test_nobody_gets_in_without_the_key(pi_box: Reach) -> None:
    noted = state.read("pi5-emulated")
    assert noted is not None
    plain = Path(str(noted.ssh_config)).read_text().replace("IdentityFile", "# ")
    keyless = Path(str(noted.ssh_config)).with_name("keyless")
    keyless.write_text(plain)
    done = subprocess.run(
        ["ssh", "-F", keyless, "-o", "BatchMode=yes", "-i", "/dev/null", "pi5-emulated", "true"],
        capture_output=True,
        text=True,
    )
    keyless.unlink()
    assert done.returncode == 255 and "Permission denied (publickey)" in done.stderr


def test_up_again_changes_nothing(pi_box: Reach) -> None:
    before = state.read("pi5-emulated")
    again = boxes.up("pi5-emulated", spec_of("pi5-emulated"), say=pytest.fail)
    assert again == pi_box and state.read("pi5-emulated") == before


def test_down_leaves_nothing(spare: str) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    boxes.up(spare, spec_of("pi5-emulated"), say=print)
    inside = ssh(spare, "sh", "-c", "'setsid sleep 300 >/dev/null 2>&1 & echo started'")
    assert inside.stdout == "started\n"
    numbers = members(spare)
    assert len(numbers) >= 2
    private = leftovers.private(spare)
    assert leftovers.mounts(private) == [], "what it mounts is seen inside only"
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert boxes.down(spare)
    assert gone(numbers), "what was left running inside ends as well"
    assert not private.exists() and state.read(spare) is None
    assert not boxes.down(spare)


@pytest.mark.parametrize("which", [0, 1])
def test_down_after_a_crash(spare: str, which: int) -> None:
    boxes.up(spare, spec_of("pi5-emulated"), say=print)
    noted = state.read(spare)
    assert noted is not None
    numbers = members(spare)
    os.kill(noted.processes[which].pid, signal.SIGKILL)
    assert gone(numbers), "with either of its processes all of the box ends"
    assert state.reach(spare) is None
    # Up again works without down, and down clears what a crash left.
    assert boxes.up(spare, spec_of("pi5-emulated"), say=print).address == spare
    assert ssh(spare, "true").returncode == 0
    second = state.read(spare)
    assert second is not None
    os.kill(second.processes[which].pid, signal.SIGKILL)
    assert boxes.down(spare) and not leftovers.private(spare).exists()


def test_an_edgekd_that_is_killed_while_it_starts_one(spare: str) -> None:
    code = (
        "import os, signal, sys\n"
        "from edgekd.emulation import boxes, pi, state\n"
        "from edgekd.emulation.spec import Emulation\n"
        "state.write = lambda noted: os.kill(os.getpid(), signal.SIGKILL)\n"
        "boxes.up(sys.argv[1], Emulation.model_validate_json(sys.argv[2]), say=print)\n"
    )
    spec = spec_of("pi5-emulated").to_json()
    done = subprocess.run([sys.executable, "-c", code, spare, spec], timeout=120)
    assert done.returncode == -signal.SIGKILL
    found = find(int((leftovers.private(spare) / leftovers.STAT).read_text().split()[0]))
    assert found is not None, "the box runs, and nothing notes it"
    assert boxes.down(spare)
    assert gone([found.pid]) and not leftovers.private(spare).exists()


REGISTER = """
import subprocess, sys
from pathlib import Path
from edgekd.emulation import binfmt
binfmt._NOTES = Path(sys.argv[2])
names = lambda: sorted(path.name for path in binfmt._LIST.iterdir())
assert names() == []
with binfmt.arm64():
    assert names() == ["qemu-aarch64", "register", "status"]
    argv = ["chroot", sys.argv[1], "/bin/uname", "-m"]
    print(subprocess.run(argv, capture_output=True, text=True).stdout, end="")
assert names() == [] and not list(binfmt._NOTES.glob("*.json"))
print("as before")
"""


def test_what_is_registered_is_taken_away(pi_box: Reach, tmp_path: Path) -> None:
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if release < (6, 7):
        pytest.skip("this kernel has one list for all; since 6.7 a user namespace has its own")
    root = next(path for path in (state.folder() / "roots").glob("bookworm-*") if path.is_dir())
    # A list of its own that is not even mounted: what a machine without it looks like.
    script = 'mount -t tmpfs none /proc/sys/fs/binfmt_misc && exec "$@"'
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"),
            *(sys.executable, "-c", REGISTER, str(root), str(tmp_path)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "aarch64\nas before\n", done.stderr


def test_the_machines_list_of_programs_stays_as_it_was(spare: str, pi_box: Reach) -> None:
    before = binfmt.entries()
    boxes.up(spare, spec_of("pi5-emulated"), say=print)
    assert binfmt.entries() == before
    boxes.down(spare)
    assert binfmt.entries() == before, "other boxes are still up and need it"
