"""A phone in a box: Debian's adbd for arm64, Android's shell, and a Python of its own.

adbd asks nobody who they are. So it runs as Android's user ``shell``, in a box (`jail`) that has no
network, no rights and no files but its own; one port of 127.0.0.1 leads in. It is not Android:
there is no bionic, no SELinux, no thermal service and no app.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from edgekd.emulation import (
    adb_server,
    binfmt,
    bundle,
    counter,
    host,
    leftovers,
    phone_root,
    processors,
    starting,
    state,
)
from edgekd.emulation.process import Process
from edgekd.emulation.spec import Emulation
from edgekd.errors import MissingDeviceError, TransportError
from edgekd.storage import atomic_write, process_lock
from edgekd.transports.reach import Reach

Say = Callable[[str], None]

_JAIL = Path(__file__).with_name("jail.py")
_PROGRAMS = ("mmdebstrap", "qemu-aarch64-static", "chroot")
#: Where adbd listens, in a network that only the box has.
_INNER_PORT = 16555
_STARTER = f"{counter.FOLDER}/python3"
_STARTING_S = 60.0
_STEP_S = 0.02


def up(name: str, emulation: Emulation, *, say: Say) -> Reach:
    """Build the box if need be, and start it. The caller holds the device's lock.

    Args:
        name: the device.
        emulation: what it is made of.
        say: gets a line before what takes long.

    Raises:
        MissingDeviceError: this machine cannot hold a box.
        UnknownNameError: the processor is unknown.
        MeasurementError: it cannot be built.
        TransportError: it does not answer.
    """
    host.require(_PROGRAMS, what="an emulated phone")
    adb_server.require()
    processors.processor(emulation.cpu)
    root = phone_root.build(emulation.suite, say=say)
    python = bundle.build(emulation.packages, say=say)
    counted = _counted(root)
    with binfmt.arm64():
        return starting.begun(name, lambda: _begin(name, emulation, root, python, counted))


def _begin(name: str, emulation: Emulation, root: Path, python: Path, counted: str) -> Reach:
    leftovers.clear(name)
    private = leftovers.private(name)
    _furnish(private, emulation.cpu)
    server = adb_server.free_port()
    jail = _start(private, root, python, emulation.cpu, server)
    noted = state.State(
        device=name,
        kind="phone",
        processes=(jail,),
        private=str(private),
        since=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        spec=emulation.to_json(indent=None),
        ready=False,
        adb_port=server,
        python=counted,
    )
    state.write(noted)
    binfmt.hold(jail)
    port = _wait(private, jail)
    serial = f"127.0.0.1:{port}"
    home = private / "adb"
    adb_server.connect(server, serial, home=home, patience=_STARTING_S, alive=jail.alive)
    noted = noted.model_copy(update={"ready": True, "port": port, "serial": serial})
    state.write(noted)
    return noted.reach()


def _counted(root: Path) -> str:
    """Put the counter of instructions into the root; return the interpreter that it counts.

    It is the bundle's. QEMU counts programs, and the bundle's own starter is a script, which this
    one stands for.
    """
    here = phone_root.PYTHON
    with process_lock(root.with_name(f"{root.name}.lock"), wait=True):
        counter_script = counter.install(root, bundle.command(here))
        starter = root / _STARTER[1:]
        atomic_write(starter, bundle.starter(here, [counter_script]))
        starter.chmod(0o755)
    return _STARTER


def _furnish(private: Path, cpu: str) -> None:
    """Write everything that is a box's own."""
    private.mkdir(parents=True, mode=0o700)
    (private / "adb").mkdir()
    work = private / "data"
    work.mkdir()
    os.chown(work, phone_root.SHELL_USER, phone_root.SHELL_USER)
    work.chmod(0o771)
    (private / "cpuinfo").write_text(processors.cpuinfo(cpu))
    processors.write_sys(private / "sys", cpu)


def _start(private: Path, root: Path, python: Path, cpu: str, server: int) -> Process:
    spec = {
        "root": str(root),
        "argv": [phone_root.ADBD],
        "environment": {
            "PATH": "/system/bin",
            "TMPDIR": phone_root.WORK,
            "ADBD_PORT": str(_INNER_PORT),
            "QEMU_CPU": cpu,
        },
        "user": phone_root.SHELL_USER,
        "binds": [
            (str(private / "data"), phone_root.WORK),
            (str(python), phone_root.PYTHON),
            (str(private / "cpuinfo"), "/proc/cpuinfo"),
            (str(private / "sys"), "/sys"),
        ],
        "inner_port": _INNER_PORT,
        "ready": str(private / "ready.json"),
        "note": str(private / leftovers.STAT),
        "helper": adb_server.command(server),
        "helper_environment": adb_server.environment(private / "adb"),
    }
    command = [sys.executable, "-I", str(_JAIL), json.dumps(spec)]
    return starting.launch(command, private, what="the box")


def _wait(private: Path, jail: Process) -> int:
    """Return the port, as soon as the box is made.

    Raises:
        MissingDeviceError: the kernel refuses it a part.
        TransportError: it ended, or says nothing.
    """
    ready = private / "ready.json"
    deadline = time.monotonic() + _STARTING_S
    while time.monotonic() < deadline and not ready.exists() and jail.alive():
        time.sleep(_STEP_S)
    if not ready.exists():
        raise TransportError(f"the box does not start\n{starting.log(private)}")
    said = json.loads(ready.read_text())
    if "error" in said:
        raise MissingDeviceError(
            f"this machine does not let a box be made: {said['error']}",
            hint="It takes root with all its rights; in a container, start it with --privileged.",
        )
    return int(said["port"])
