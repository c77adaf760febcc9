"""A Raspberry Pi in a box: arm64 Debian behind an sshd of its own, on 127.0.0.1.

The sshd is itself an arm64 program that QEMU runs, so that every session lands inside. It stands
in namespaces of its own: its mounts are not seen outside, and with its first process everything
that was started inside ends.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from edgekd.emulation import binfmt, boxssh, host, leftovers, processors, rootfs, starting, state
from edgekd.emulation.process import Process, find
from edgekd.emulation.spec import Emulation
from edgekd.errors import TransportError
from edgekd.storage import process_lock
from edgekd.transports.reach import Reach

Say = Callable[[str], None]

_STARTING_S = 60.0
_SETUP = Path(__file__).with_name("box.sh")
#: A process notes itself before it becomes another program: so it is found after any crash.
_NOTE = 'read -r line < /proc/self/stat; echo "$line" > "$0"; exec "$@"'
#: adb takes these ports for emulators of its own.
_ADB_PORTS = range(5550, 5600)
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


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
    host.require()
    host.require_namespaces()
    processors.processor(emulation.cpu)
    root = rootfs.build(emulation, say=say)
    python = _python(root)
    with binfmt.arm64():
        return starting.begun(name, lambda: _begin(name, emulation, root, python))


def _begin(name: str, emulation: Emulation, root: Path, python: str) -> Reach:
    leftovers.clear(name)
    private = leftovers.private(name)
    port = _free_port()
    _furnish(private, name, emulation.cpu, port)
    box = _start(private, root, name, emulation.cpu)
    noted = state.State(
        device=name,
        kind="pi",
        processes=(box,),
        private=str(private),
        since=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        spec=emulation.to_json(indent=None),
        ready=False,
        port=port,
        address=name,
        ssh_config=str(private / "client" / boxssh.CONFIG),
        python=python,
    )
    state.write(noted)
    binfmt.hold(box)
    _wait(private, box, port)
    boxssh.prove(private / "client" / boxssh.CONFIG, name)
    state.write(noted.model_copy(update={"ready": True, "processes": (box, *_children(box))}))
    return noted.reach()


def _furnish(private: Path, name: str, cpu: str, port: int) -> None:
    """Write everything that is a box's own."""
    private.mkdir(parents=True, mode=0o700)
    for folder in ("root", "home", "run/sshd"):
        (private / folder).mkdir(parents=True, mode=0o755)
    (private / "tmp").mkdir()
    (private / "tmp").chmod(0o1777)
    (private / "cpuinfo").write_text(processors.cpuinfo(cpu))
    processors.write_sys(private / "sys", cpu)
    ssh, client = private / "ssh", private / "client"
    boxssh.server(ssh, client, port=port, environment={"QEMU_CPU": cpu})
    boxssh.client(client, ssh, name=name, port=port)


def _start(private: Path, root: Path, name: str, cpu: str) -> Process:
    command: list[str | Path] = [
        *("/bin/sh", "-c", _NOTE, private / leftovers.STAT),
        *("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork"),
        *("--kill-child", "--propagation", "private"),
        *("/bin/sh", _SETUP, root, private, name),
        *("/usr/sbin/sshd", "-D", "-e"),
    ]
    variables = {"PATH": _PATH, "QEMU_CPU": cpu}
    return starting.launch(command, private, what=name, environment=variables)


def _wait(private: Path, box: Process, port: int) -> None:
    """Wait until the sshd says who it is.

    Raises:
        TransportError: it ended, or says nothing.
    """
    deadline = time.monotonic() + _STARTING_S
    while time.monotonic() < deadline:
        if not box.alive():
            raise TransportError(
                f"the sshd of {private.parent.name} ended\n{starting.log(private)}"
            )
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if connection.recv(8).startswith(b"SSH-"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise TransportError(
        f"{private.parent.name} does not answer on 127.0.0.1:{port}\n{starting.log(private)}"
    )


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _ADB_PORTS:
            return port


def _children(parent: Process) -> tuple[Process, ...]:
    try:
        numbers = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    except OSError:  # a kernel without it: they end with their parent anyway
        return ()
    return tuple(found for number in numbers if (found := find(int(number))) is not None)


def _python(root: Path) -> str:
    """Return the interpreter inside: one that counts instructions, where the counter is there."""
    if find_spec("edgekd.emulation.counter") is None:
        return "/usr/bin/python3"
    with process_lock(root.with_name(f"{root.name}.lock"), wait=True):
        return str(import_module("edgekd.emulation.counter").install(root))
