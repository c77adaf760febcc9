"""A real sshd on the loopback, and an adb that plays a phone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgekd.transports.adb import AdbTransport
from edgekd.transports.base import Transport
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport
from edgekd.transports.reach import Reach
from edgekd.transports.ssh import SshTransport

#: The rows on this machine, an adb as of before Android 7, and the devices in a box.
DEVICES = [
    "local",
    "ssh",
    "adb",
    "adb-merged",
    pytest.param("pi_box", marks=pytest.mark.device),
    pytest.param("phone_box", marks=pytest.mark.device),
]
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def make_key(path: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@dataclass
class Sshd:
    """An sshd of this user, who may log in with a key made on the spot.

    Attributes:
        root: everything of it: keys, configurations, the home and the temporary folder.
        port: its port on 127.0.0.1.
        lock: the lock of this "device".
    """

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def reach(self) -> Reach:
        return Reach(address="box", ssh_config=self.root / "config", python=sys.executable)

    def connect(self, **options: object) -> SshTransport:
        return SshTransport(self.reach, **options)  # type: ignore[arg-type]

    def configure(self, key: str = "user", known: str = "known", **extra: str) -> Path:
        """Write a configuration of ssh; return its path."""
        lines = {
            "HostName": "127.0.0.1",
            "Port": str(self.port),
            "IdentityFile": str(self.root / key),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.root / known),
            "GlobalKnownHostsFile": "/dev/null",
            **extra,
        }
        path = self.root / f"config-{key}-{known}"
        path.write_text("Host box\n" + "".join(f"  {k} {v}\n" for k, v in lines.items()))
        return path

    def start(self) -> None:
        command = [SSHD, "-D", "-e", "-f", str(self.root / "sshd_config")]
        with (self.root / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.skip(f"sshd does not start here: {(self.root / 'log').read_text()[-300:]}")

    def sessions(self) -> list[int]:
        """Return its processes that serve connections, without what they run."""
        assert self.process is not None
        return [pid for pid in children(self.process.pid) if name_of(pid).startswith("sshd")]

    def stop(self, *, power: bool = True) -> None:
        """End it with all its connections; without power what they run ends as well."""
        if self.process is None:
            return
        for pid in [*(self.sessions() if power else children(self.process.pid)), self.process.pid]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = None


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def children(parent: int) -> list[int]:
    """Return all processes that descend from one."""
    found: list[int] = []
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        try:
            found += [int(child), *children(int(child))]
        except FileNotFoundError:
            found.append(int(child))
    return found


def make_sshd(root: Path) -> Sshd:
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh: apt-get install openssh-server openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True, mode=0o755)  # sshd insists, where root starts it
    root.mkdir(exist_ok=True)
    (root / "tmp").mkdir()
    (root / "home").mkdir()
    host = make_key(root / "host")
    make_key(root / "stranger")
    (root / "authorized").write_text(make_key(root / "user").with_suffix(".pub").read_text())
    sshd = Sshd(root)
    (root / "sshd_config").write_text(
        f"Port {sshd.port}\nListenAddress 127.0.0.1\nHostKey {host}\nPidFile none\n"
        f"AuthorizedKeysFile {root}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        # A home of its own: a login shell reads its settings even where it runs one command.
        f"SetEnv EDGEKD_LOCK={sshd.lock} TMPDIR={sshd.temporary} HOME={root}/home\n"
    )
    public = host.with_suffix(".pub").read_text()
    (root / "known").write_text(f"[127.0.0.1]:{sshd.port} {public}")
    (root / "empty").touch()
    other = (root / "stranger").with_suffix(".pub").read_text()
    (root / "other").write_text(f"[127.0.0.1]:{sshd.port} {other}")
    sshd.configure().rename(root / "config")
    return sshd


#: What `adb` does where the device is this machine. ``situation`` is sourced first.
ADB = r"""#!/bin/sh
here=@HERE@
printf '%s\n' "$*" | head -n 1 >>"$here/log"
serial=
while :; do
  case $1 in -s) serial=$2; shift 2 ;; -P) shift 2 ;; *) break ;; esac
done
[ ! -f "$here/situation" ] || . "$here/situation"
case $1 in
  devices) echo "List of devices attached"; cat "$here/devices" ;;
  features) printf 'cmd\n%s\n' "$(cat "$here/features")" ;;
  get-state) echo device ;;
  connect|disconnect) ;;
  push) mkdir -p "${3%/*}" && cp -- "$2" "$3" ;;
  pull) cp -- "$2" "$3" ;;
  shell)
    shift
    echo $$ >>"$here/shells"
    if [ "$(cat "$here/features")" = shell_v2 ]; then exec sh -c "$*"; fi
    sh -c "$*" 2>&1 | sed -u 's/$/\r/' ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


@dataclass
class Phone:
    """A program called adb, which runs everything on this machine, and what it shall play."""

    root: Path

    @property
    def reach(self) -> Reach:
        folder = self.root / "tmp"
        return Reach(serial="R5CT", folder=str(folder), python=sys.executable)

    def attached(self, *lines: str) -> None:
        (self.root / "devices").write_text("".join(line + "\n" for line in lines))

    def plays(self, script: str) -> None:
        """Have every call of adb run this first, in sh."""
        (self.root / "situation").write_text(script)

    @property
    def calls(self) -> list[str]:
        return (self.root / "log").read_text().splitlines()

    def unplug(self) -> None:
        """Have it vanish, with every shell that is open."""
        self.plays("echo \"adb: device '$serial' not found\" >&2; exit 1")
        for pid in (self.root / "shells").read_text().split():
            for process in (*children(int(pid)), int(pid)) if Path(f"/proc/{pid}").exists() else ():
                os.kill(process, 9)


def make_phone(root: Path, environment: pytest.MonkeyPatch) -> Phone:
    root.mkdir()
    (root / "tmp").mkdir()
    (root / "features").write_text("shell_v2")
    program = root / "adb"
    program.write_text(ADB.replace("@HERE@", str(root)))
    program.chmod(0o755)
    environment.setenv("PATH", f"{root}{os.pathsep}{os.environ['PATH']}")
    found = Phone(root)
    found.attached("R5CT  device usb:1-1 product:shiba model:Pixel_8 device:shiba transport_id:1")
    return found


@contextmanager
def connected(name: str, request: pytest.FixtureRequest) -> Iterator[Transport]:
    folders = request.getfixturevalue("tmp_path_factory")
    with pytest.MonkeyPatch.context() as environment:
        found: Transport
        match name:
            case "local":
                found = LocalTransport()
            case "fake":
                found = FakeTransport()
            case "ssh":
                found = request.getfixturevalue("sshd").connect()
            case "pi_box":
                found = SshTransport(request.getfixturevalue("pi_box"))
            case "phone_box":
                found = AdbTransport(request.getfixturevalue("phone_box"))
            case _:
                phone = make_phone(folders.mktemp("phone") / "adb", environment)
                (phone.root / "features").write_text("" if name == "adb-merged" else "shell_v2")
                found = AdbTransport(phone.reach)
        try:
            yield found
        finally:
            found.close()
