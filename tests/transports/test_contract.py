"""What every transport of the table must keep: here, over ssh, over adb, and in the boxes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekd.errors import TransportError
from edgekd.transports import TRANSPORTS
from edgekd.transports.adb import AdbTransport
from edgekd.transports.base import Completed, Transport
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport
from edgekd.transports.ssh import SshTransport
from tests.transports.rigs import DEVICES, connected

#: A file's name; one word each of an argument list.
NAME = "-n a  b 'c' \"d\"; `id` $HOME && | > \n 模型 ü 🤖 \\n * ? [a] %s ! # ~"
WORDS = ["", " ", "a b", "'", '"', "; exit 3", "$(exit 3)", "`id`", "$HOME", "new\nline", "a\tb"]
WORDS += [
    "ünïcödé 模型 🤖",
    "-n",
    "--",
    "-",
    "back\\slash\\n",
    "*",
    "?",
    "[a]",
    "%s",
    "!",
    "~",
    "a=b",
]
WORDS += ["\x01", "end"]


@pytest.fixture(params=[*DEVICES, "fake"], scope="module")
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """One for all tests here: connecting takes longer than most of them."""
    with connected(request.param, request) as found:
        yield found


@pytest.fixture
def device(transport: Transport) -> Transport:
    """A transport that runs commands."""
    if isinstance(transport, FakeTransport):
        pytest.skip("it runs nothing")
    return transport


def test_every_row_is_here() -> None:
    rows = {row.name: row.load() for row in TRANSPORTS if row.target.startswith("edgekd.")}
    assert rows == {
        "local": LocalTransport,
        "ssh": SshTransport,
        "adb": AdbTransport,
        "fake": FakeTransport,
    }


def test_odd_names_go_and_come(transport: Transport, tmp_path: Path) -> None:
    source = tmp_path / NAME
    source.write_bytes(b"content")
    remote = transport.put(source)
    assert remote.rpartition("/")[2] == NAME
    transport.get(remote, tmp_path / f"back {NAME}")
    assert (tmp_path / f"back {NAME}").read_bytes() == b"content"


def test_arguments_arrive_as_they_are(device: Transport) -> None:
    done = device.run(["sh", "-c", 'printf "<%s>" "$@"; echo', "sh", *WORDS], timeout=60)
    assert done == Completed(0, "".join(f"<{word}>" for word in WORDS) + "\n", "")


def test_three_megabytes_go_and_come(transport: Transport, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "model.bin").write_bytes(content)
    transport.get(transport.put(tmp_path / "model.bin"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


def test_files_of_one_name_do_not_overwrite_each_other(
    transport: Transport, tmp_path: Path
) -> None:
    remotes = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.tflite").write_text(folder)
        remotes.append(transport.put(tmp_path / folder / "model.tflite"))
    for folder, remote in zip(("a", "b"), remotes, strict=True):
        transport.get(remote, tmp_path / "back")
        assert (tmp_path / "back").read_text() == folder


def test_a_changed_file_arrives_changed(transport: Transport, tmp_path: Path) -> None:
    for text in ("one", ""):
        (tmp_path / "request.json").write_text(text)
        transport.get(transport.put(tmp_path / "request.json"), tmp_path / "back")
        assert (tmp_path / "back").read_text() == text


def test_missing_files_are_errors_of_the_transport(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="gone"):
        transport.put(tmp_path / "gone")
    with pytest.raises(TransportError, match="gone"):
        transport.get(f"{transport.folder}/gone", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_says_where_things_are(transport: Transport) -> None:
    assert transport.python
    assert transport.folder.startswith("/") and not transport.folder.endswith("/")
    facts = transport.facts()
    assert facts["transport"] in TRANSPORTS
    assert all(isinstance(value, str) and value for value in facts.values())


def test_exit_codes_are_the_commands_own(device: Transport) -> None:
    for code in (0, 3, 7, 255):
        assert device.run(["sh", "-c", f"exit {code}"], timeout=60).returncode == code


def test_a_signal_is_a_negative_code(device: Transport) -> None:
    for number in (6, 9):
        done = device.run(["sh", "-c", f"echo before; kill -{number} $$"], timeout=60)
        assert done.returncode == -number
        assert done.stdout == "before\n"


def test_output_and_complaints_are_kept_apart(device: Transport) -> None:
    done = device.run(["sh", "-c", "echo out; echo err >&2; printf end; exit 4"], timeout=60)
    if getattr(device, "merged", False):
        assert done == Completed(4, "out\nerr\nend", "")
    else:
        assert done == Completed(4, "out\nend", "err\n")


def test_five_megabytes_of_output_arrive(device: Transport) -> None:
    if getattr(device, "merged", False):
        pytest.skip("the sed that plays it reads one byte at a time")
    script = (
        'i=0; line=$(printf "%01023d" 7); while [ $i -lt 5000 ]; do echo "$line"; i=$((i+1)); done'
    )
    done = device.run(["sh", "-c", script], timeout=120)
    assert done.returncode == 0
    assert done.stdout == ("7".zfill(1023) + "\n") * 5000


def test_a_program_that_is_not_there(device: Transport) -> None:
    with pytest.raises(TransportError, match="no-such-program"):
        device.run(["no-such-program"], timeout=60)


def test_standard_input_is_empty(device: Transport) -> None:
    assert device.run(["cat"], timeout=60) == Completed(0)


def test_a_timeout_ends_all_that_was_started(
    device: Transport,
    request: pytest.FixtureRequest,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    """A child too, which holds the output open."""
    began = time.monotonic()
    # A device in a box takes a second to start anything.
    timeout = 4.0 if "box" in request.node.name else 0.7
    done = device.run(["sh", "-c", "sleep 60 & echo $!; sleep 60"], timeout=timeout)
    assert time.monotonic() - began < timeout + 10
    assert done.timed_out
    child = done.stdout.strip()
    assert child.isdigit()
    # One that has ended and was not waited for still has a number, but no command line.
    look = ["sh", "-c", f"cat /proc/{child}/cmdline 2>&1"]
    eventually(lambda: "sleep" not in device.run(look, timeout=60).stdout)
