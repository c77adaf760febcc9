"""What every transport of the table must keep, and the two that are there."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.errors import TransportError
from edgekd.registry import Row
from edgekd.transports import TRANSPORTS
from edgekd.transports.base import Completed, Transport
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport

ROWS = pytest.mark.parametrize("row", list(TRANSPORTS), ids=lambda row: row.name)


@pytest.fixture
def local() -> Iterator[LocalTransport]:
    transport = LocalTransport()
    yield transport
    transport.close()


@ROWS
def test_a_file_comes_back_as_it_went(row: Row, tmp_path: Path) -> None:
    transport: Transport = row.load()()
    content = bytes(range(256)) * 99
    source = tmp_path / "with space & 'quotes'.bin"
    source.write_bytes(content)
    transport.get(transport.put(source), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    transport.close()
    transport.close()


@ROWS
def test_missing_files_are_errors_of_the_transport(row: Row, tmp_path: Path) -> None:
    transport: Transport = row.load()()
    with pytest.raises(TransportError, match="gone"):
        transport.put(tmp_path / "gone")
    with pytest.raises(TransportError, match="gone"):
        transport.get(f"{transport.folder}/gone", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    transport.close()


@ROWS
def test_says_where_things_are(row: Row) -> None:
    transport: Transport = row.load()()
    assert transport.python
    assert transport.folder and not transport.folder.endswith("/")
    transport.close()


def test_arguments_arrive_as_they_are(local: LocalTransport) -> None:
    odd = ["a b", "$HOME", "'", '"', "*", "; exit 3", "ü", ""]
    script = "import sys; print(sys.argv[1:]); print('note', file=sys.stderr); sys.exit(7)"
    done = local.run([local.python, "-c", script, *odd], timeout=30)
    assert done == Completed(7, f"{odd}\n", "note\n")


def test_output_that_is_no_text_is_no_trouble(local: LocalTransport) -> None:
    script = "import os; os.write(1, bytes([200, 255, 10])); os.kill(os.getpid(), 6)"
    done = local.run([sys.executable, "-c", script], timeout=30)
    assert done.returncode == -6
    assert done.stdout.endswith("\n")


def test_a_program_that_is_not_there(local: LocalTransport) -> None:
    with pytest.raises(TransportError, match="no-such-program"):
        local.run(["no-such-program"], timeout=1)


def test_a_timeout_ends_the_children_too(local: LocalTransport, tmp_path: Path) -> None:
    """The child would write a file after the timeout; it holds the pipe open as well."""
    late = tmp_path / "late"
    child = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(late)!r}).touch()"
    parent = (
        "import subprocess, sys, time; print('begun', flush=True);"
        f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    )
    began = time.monotonic()
    done = local.run([sys.executable, "-c", parent], timeout=0.7)
    assert time.monotonic() - began < 1.4
    assert done.timed_out and done.stdout == "begun\n"
    time.sleep(1.2)
    assert not late.exists()


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


def test_the_folder_is_removed(tmp_path: Path) -> None:
    transport = LocalTransport()
    (Path(transport.folder) / "left").touch()
    transport.close()
    assert not Path(transport.folder).exists()


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
