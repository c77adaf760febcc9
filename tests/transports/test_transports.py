"""This machine and the fake: what the contract tests do not cover."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.errors import DeviceGoneError, EdgekdError, TransportError
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport
from edgekd.transports.reach import Reach
from edgekd.transports.shell import ShellTransport


@pytest.fixture
def local() -> Iterator[LocalTransport]:
    transport = LocalTransport()
    yield transport
    transport.close()


def test_output_that_is_no_text_is_no_trouble(local: LocalTransport) -> None:
    script = "import os; os.write(1, bytes([200, 255, 10])); os.kill(os.getpid(), 6)"
    done = local.run([sys.executable, "-c", script], timeout=30)
    assert done.returncode == -6
    assert done.stdout.endswith("\n")


def test_ctrl_c_ends_the_command(local: LocalTransport, tmp_path: Path) -> None:
    """It runs in a group of its own, which the terminal's Ctrl-C does not reach."""
    late = tmp_path / "late"
    script = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(late)!r}).touch()"
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        local.run([local.python, "-c", script], timeout=30)
    timer.join()
    time.sleep(1.3)
    assert not late.exists()


def test_a_daemon_that_holds_the_output_is_not_waited_for(
    local: LocalTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It left the group of its parent, so the timeout does not end it."""
    from edgekd.transports import processes

    monkeypatch.setattr(processes, "GRACE", 0.2)
    script = "setsid sleep 20 & echo $!; sleep 60"
    done = local.run(["sh", "-c", script], timeout=0.5)
    assert done.timed_out
    os.kill(int(done.stdout), signal.SIGKILL)


def test_the_folder_is_removed(tmp_path: Path) -> None:
    transport = LocalTransport()
    (Path(transport.folder) / "left").touch()
    transport.close()
    assert not Path(transport.folder).exists()


class Shell(ShellTransport):
    """The shortest transport to a shell: this machine's own."""

    def __init__(self, reach: Reach) -> None:
        super().__init__("shell", reach, base=reach.folder or "")

    def _argv(self, command: str, *, first: bool = False) -> list[str]:
        return ["sh", "-c", command]

    def _lost(self, completed: Completed, *, first: bool) -> EdgekdError:
        return DeviceGoneError("gone")


def test_a_transport_to_a_shell_is_two_functions(tmp_path: Path) -> None:
    transport = Shell(Reach(folder=str(tmp_path)))
    (tmp_path / "a b").write_bytes(b"\0\n" * 9)
    transport.get(transport.put(tmp_path / "a b"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"\0\n" * 9
    assert transport.run(["sh", "-c", "echo out; exit 3"], timeout=9) == Completed(3, "out\n")
    folder = Path(transport.folder)
    transport.close()
    assert not folder.exists()


def test_the_fake_keeps_a_record() -> None:
    def handler(argv: object, files: dict[str, bytes]) -> Completed:
        files["/fake/made"] = b"on the device"
        return Completed(0, "hello")

    fake = FakeTransport(handler)
    assert fake.run(["echo", "hello"], timeout=1).stdout == "hello"
    assert fake.commands == [("echo", "hello")]
    assert fake.files["/fake/made"] == b"on the device"
    assert FakeTransport().run(["true"], timeout=1) == Completed(0)
    fake.close()
    assert fake.closed
    with pytest.raises(TransportError, match="closed"):
        fake.run(["echo"], timeout=1)


def test_a_profile_may_name_the_fake() -> None:
    assert FakeTransport(Reach(address="nowhere")).run(["true"], timeout=1) == Completed(0)


def test_what_the_user_knows_of_this_machine_holds(tmp_path: Path) -> None:
    reach = Reach(python="/opt/python", folder=str(tmp_path), environment={"COLOUR": "blue green"})
    transport = LocalTransport(reach)
    assert transport.python == "/opt/python"
    assert Path(transport.folder).parent == tmp_path
    done = transport.run(["sh", "-c", "echo $COLOUR; echo $PATH"], timeout=9)
    assert done.stdout == f"blue green\n{os.environ['PATH']}\n"
    transport.close()
    with pytest.raises(TransportError, match="no folder"):
        LocalTransport(Reach(folder="/no/such"))
