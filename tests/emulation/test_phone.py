"""A phone in a box: what gets in, what gets out, and what is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekd.bench import agent
from edgekd.bench.devices import load_device
from edgekd.emulation import adb_server, boxes, leftovers, phone_root, state
from edgekd.emulation.process import Process
from edgekd.errors import DeviceGoneError, MissingDeviceError, TransportError
from edgekd.transports.adb import AdbTransport
from edgekd.transports.reach import Reach

pytestmark = pytest.mark.device

#: Tries to make a socket of a family, and to reach an address, in the box.
OUTSIDE = """\
import json, socket, sys
def attempt(what):
    try:
        what()
        return "done"
    except OSError as error:
        return error.strerror or str(error)
def reach(host, port):
    with socket.socket() as way:
        way.settimeout(5)
        way.connect((host, port))
found = {"vsock": attempt(lambda: socket.socket(40)), "packet": attempt(lambda: socket.socket(17))}
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    found[place] = attempt(lambda: reach(host, int(port)))
print(json.dumps(found))
"""


def adb(box: Reach, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert box.serial is not None
    return subprocess.run(
        ["adb", "-P", str(box.adb_port), "-s", box.serial, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def shell(box: Reach, command: str) -> str:
    done = adb(box, "shell", command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def children(pid: int) -> list[int]:
    """Return all that a process started, and what that started."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [n for number in found for n in (int(number), *children(int(number)))]


def box_process(name: str) -> Process:
    noted = state.read(name)
    assert noted is not None
    return noted.processes[0]


def adbd_of(name: str) -> int:
    for pid in children(box_process(name).pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if phone_root.ADBD.encode() in command and b"jail.py" not in command:
            return pid
    raise AssertionError("there is no adbd")


def own_addresses() -> list[str]:
    said = subprocess.run(
        ["hostname", "-I"], capture_output=True, text=True, check=False
    ).stdout.split()
    return [address for address in said if not address.startswith(("127.", "::1"))]


def test_it_answers_like_a_phone(phone_box: Reach) -> None:
    assert shell(phone_box, "id -un") == "shell"
    assert shell(phone_box, "uname -m") == "aarch64"
    assert shell(phone_box, "getprop ro.product.cpu.abi") == "arm64-v8a"
    assert "ro.product.model" in shell(phone_box, "getprop")
    assert shell(phone_box, "grep -c 'CPU part.*0xd0b' /proc/cpuinfo") == "4"
    assert shell(phone_box, 'echo "$KSH_VERSION"').startswith("@(#)MIRBSD KSH")
    assert shell(phone_box, "readlink $(which tar)") == "toybox"
    for code in (0, 1, 3, 255):
        assert adb(phone_box, "shell", f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["a b", "it's", 'quote"d', "semi;colon", "ünïcode-漢字", "$HOME"])
def test_files_come_and_go_under_odd_names(phone_box: Reach, name: str, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / name).write_bytes(content)
    remote = f"{phone_root.WORK}/{name}"
    assert adb(phone_box, "push", str(tmp_path / name), remote).returncode == 0
    assert adb(phone_box, "pull", remote, str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == content


def test_nothing_leads_in_but_127_0_0_1(phone_box: Reach) -> None:
    pids = {box_process("phone-emulated").pid, *children(box_process("phone-emulated").pid)}
    listening = subprocess.run(
        ["ss", "-H", "-l", "-n", "-p", "-A", "inet,vsock"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ours = [line for line in listening.splitlines() if any(f"pid={p}," in line for p in pids)]
    places = {line.split()[4] for line in ours}
    assert places == {str(phone_box.serial), f"127.0.0.1:{phone_box.adb_port}"}
    assert not any(line.startswith("v_") and ":16555" in line for line in listening.splitlines())
    for address in own_addresses():
        for place in places:
            port = int(place.rpartition(":")[2])
            with pytest.raises(OSError, match=r"refused|unreachable"):
                socket.create_connection((address, port), timeout=5)
    assert place_port(phone_box) not in adb_server.EMULATOR_PORTS


def place_port(box: Reach) -> int:
    return int(str(box.serial).rpartition(":")[2])


def test_af_vsock_is_not_answered(phone_box: Reach) -> None:
    with contextlib.ExitStack() as stack:
        try:
            way = stack.enter_context(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
        except OSError:
            pytest.skip("this machine has no AF_VSOCK")
        way.settimeout(5)
        for number in (1, 2, 3):  # this machine, its host, a guest
            with pytest.raises(OSError, match=r"\w"):
                way.connect((number, 16555))


def test_nothing_leads_out(phone_box: Reach, tmp_path: Path) -> None:
    script = tmp_path / "outside.py"
    script.write_text(OUTSIDE)
    assert adb(phone_box, "push", str(script), phone_root.WORK).returncode == 0
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        places = [f"{host}:{port}" for host in ("127.0.0.1", *own_addresses()) if ":" not in host]
        command = f"{phone_box.python} {phone_root.WORK}/outside.py {' '.join(places)}"
        found = json.loads(shell(phone_box, command))
    assert found.pop("vsock") == found.pop("packet") == "Address family not supported by protocol"
    assert set(found) == set(places)
    assert set(found.values()) <= {"Connection refused", "Network is unreachable"}


def test_the_shell_has_no_rights(phone_box: Reach) -> None:
    status = dict(
        line.split(":\t", 1) for line in shell(phone_box, "cat /proc/self/status").splitlines()
    )
    assert status["Uid"].split() == ["2000"] * 4
    capabilities = {key: value for key, value in status.items() if key.startswith("Cap")}
    assert {int(value, 16) for value in capabilities.values()} == {0}, capabilities
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    # Four processes see themselves and nobody else: init, adbd, shell, ps.
    assert len(shell(phone_box, "ps -A -o PID=").split()) <= 5
    for command in ("touch /x", "unshare -n true", "mount -t tmpfs tmpfs /tmp", "ls /root/.ssh"):
        assert adb(phone_box, "shell", command).returncode != 0, command
    folders = set(shell(phone_box, "ls /").split())
    assert not folders & {"home", "root", "work", "etc/apt"}


def request_for(model: str) -> dict[str, object]:
    limits = {"warmup_runs": 1, "warmup_seconds": 0.0, "min_runs": 3, "min_seconds": 0.0}
    return {
        "schema": agent.SCHEMA,
        "model": model,
        "format": "tflite",
        "threads": 1,
        "mode": "latency",
        "seed": 0,
        "limits": {**limits, "max_seconds": 60.0, "max_samples": 100},
    }


def reply_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_agents_answer_comes_back(phone_box: Reach, data_root: Path, tmp_path: Path) -> None:
    script = Path(agent.__file__)
    replies = {}
    for name in ("ad01_fp32", "ad01_int8"):
        model = data_root / "mlperf_tiny" / f"{name}.tflite"
        request = request_for(f"{phone_root.WORK}/{model.name}") | {"instructions": {"runs": 3}}
        (tmp_path / "request.json").write_text(json.dumps(request))
        for path in (model, script, tmp_path / "request.json"):
            assert adb(phone_box, "push", str(path), phone_root.WORK).returncode == 0
        words = [phone_box.python, f"{phone_root.WORK}/agent.py", f"{phone_root.WORK}/request.json"]
        replies[name] = reply_of(adb(phone_box, "shell", *map(str, words)))
        assert replies[name]["machine"] == "aarch64"
    # 0.26 M multiply-accumulates; an instruction does 4 of them in float32, 16 in int8.
    for name, least in (("ad01_fp32", 264_000 / 4), ("ad01_int8", 264_000 / 16)):
        raw = replies[name]["instructions"]["raw"]
        assert len(raw) == 3
        assert all(least < count < 10 * least for count in raw)
    (tmp_path / "request.json").write_text(json.dumps(request_for(str(model))))
    here = reply_of(
        subprocess.run(
            [sys.executable, str(script), str(tmp_path / "request.json")],
            capture_output=True,
            text=True,
            check=False,
        )
    )
    there = replies["ad01_int8"]
    assert (here["runtime"], here["version"]) == (there["runtime"], there["version"])
    assert here["output_sha256"] == there["output_sha256"], "int8 is the same bit for bit"


@contextlib.contextmanager
def another(name: str) -> Iterator[Reach]:
    """A phone for one test that ends it."""
    emulation = load_device("phone-emulated").emulation
    assert emulation is not None
    try:
        yield boxes.up(name, emulation, say=print)
    finally:
        boxes.down(name)


def gone(pids: list[int], patience: float = 10.0) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}/exe").is_symlink() and _runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"


def test_an_adbd_that_was_killed_comes_back() -> None:
    with another("phone-restarted") as box:
        before = adbd_of("phone-restarted")
        way = AdbTransport(box)
        timer = threading.Timer(1.0, os.kill, (before, signal.SIGKILL))
        timer.start()
        try:
            with pytest.raises(DeviceGoneError, match=r"127\.0\.0\.1"):
                way.run(["sleep", "60"], timeout=90)
        finally:
            timer.join()
            with contextlib.suppress(TransportError):
                way.close()
        assert gone([before])
        with contextlib.closing(AdbTransport(box)) as again:
            assert again.run(["echo", "after"], timeout=60).stdout == "after\n"
        assert adbd_of("phone-restarted") != before
        assert shell(box, f"ls {phone_root.WORK}").split() in ([], ["edgekd.lock"])


def test_no_adb_server_is_started_for_a_phone_that_is_gone() -> None:
    with another("phone-lost") as box:
        port = int(box.adb_port or 0)
        with contextlib.closing(AdbTransport(box)) as way:
            os.kill(box_process("phone-lost").pid, signal.SIGKILL)
            assert gone([box_process("phone-lost").pid])
            with pytest.raises(DeviceGoneError):
                way.run(["true"], timeout=60)
        with pytest.raises(MissingDeviceError):
            AdbTransport(box)
        assert not _listens(port)


def test_without_its_adb_server_a_phone_is_down() -> None:
    with another("phone-serverless"):
        first = box_process("phone-serverless").pid
        everything = [first, *children(first)]
        commands = {
            pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in everything
        }
        (server,) = [pid for pid, words in commands.items() if b"nodaemon" in words]
        os.kill(server, signal.SIGKILL)
        assert gone(everything)
        assert state.reach("phone-serverless") is None


def test_a_port_that_is_taken_meanwhile_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        right = adb_server.free_port
        ports = iter([taken.getsockname()[1], right()])
        monkeypatch.setattr(adb_server, "free_port", lambda: next(ports))
        with another("phone-late") as box:
            assert box.adb_port != taken.getsockname()[1]
            assert shell(box, "echo here") == "here"


def test_with_its_first_process_everything_ends() -> None:
    with another("phone-crashed") as box:
        first = box_process("phone-crashed").pid
        everything = [first, *children(first)]
        assert len(everything) >= 4, "the box, its init, adbd and the adb server"
        assert boxes.up("phone-crashed", load_device("phone-emulated").emulation, say=print) == box  # type: ignore[arg-type]
        os.kill(first, signal.SIGKILL)
        assert gone(everything)
        assert state.reach("phone-crashed") is None
        assert leftovers.private("phone-crashed").exists()
        assert leftovers.mounts(leftovers.private("phone-crashed")) == []
        assert boxes.down("phone-crashed")
        assert not leftovers.private("phone-crashed").exists()
        assert not boxes.down("phone-crashed")


def test_down_ends_all_and_the_users_server_is_left_alone() -> None:
    users = _listens(adb_server.USERS_PORT)
    with another("phone-ended") as box:
        first = box_process("phone-ended").pid
        everything = [first, *children(first)]
        ports = [place_port(box), int(box.adb_port or 0)]
        assert all(_listens(port) for port in ports)
        assert boxes.down("phone-ended")
        assert gone(everything)
        assert not any(_listens(port) for port in ports)
    assert _listens(adb_server.USERS_PORT) == users


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False
