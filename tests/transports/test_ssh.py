"""ssh against a real sshd on the loopback: what it insists on, and every way to lose it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.errors import (
    DeviceGoneError,
    EdgekdError,
    MissingDeviceError,
    MissingRuntimeError,
    TransportError,
)
from edgekd.transports.reach import Reach
from edgekd.transports.ssh import Address, SshTransport
from tests.transports.rigs import Sshd, free_port

Eventually = Callable[[Callable[[], bool]], None]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pi5", Address("pi5")),
        ("pi@raspberrypi.local", Address("raspberrypi.local", "pi")),
        ("pi@10.0.0.7:2222", Address("10.0.0.7", "pi", 2222)),
        ("[fe80::1%eth0]", Address("fe80::1%eth0")),
        ("pi@[::1]:22", Address("::1", "pi", 22)),
        ("domain\\user@host", Address("host", "domain\\user")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert address.options[-2:] == ["--", address.host]


@pytest.mark.parametrize(
    "text",
    "|-oProxyCommand=id|pi@-host|-x@host|a b|::1|host:|host:0|host:99999|host:22x|@host|pi@"
    "|[::1|a@b@c|[]".split("|"),
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(TransportError, match=r"is no address|there is no port"):
        Address.parse(text)


def test_known_hosts_are_named_as_ssh_does() -> None:
    assert Address("pi").known_as == Address("pi", port=22).known_as == "pi"
    assert Address("::1", port=2222).known_as == "[::1]:2222"


def test_no_address_is_an_error_that_says_where_it_goes() -> None:
    with pytest.raises(TransportError, match="no address") as caught:
        SshTransport(Reach())
    assert "--address" in str(caught.value.hint)


def refused(sshd: Sshd, **configuration: str) -> EdgekdError:
    config = sshd.configure(**configuration)
    with pytest.raises(EdgekdError) as caught:
        SshTransport(Reach(address="box", ssh_config=config))
    return caught.value


def test_an_unknown_host_key_is_refused_and_not_learnt(sshd: Sshd) -> None:
    # A configuration that accepts everything is overruled.
    error = refused(sshd, known="empty", StrictHostKeyChecking="no")
    assert isinstance(error, TransportError)
    assert "the host key of box is not known" in error.message
    assert f"ssh -F {sshd.root}" in str(error.hint) and "fingerprint" in str(error.hint)
    assert (sshd.root / "empty").read_text() == ""


def test_a_changed_host_key_is_refused(sshd: Sshd) -> None:
    before = (sshd.root / "other").read_text()
    error = refused(sshd, known="other", StrictHostKeyChecking="accept-new")
    assert isinstance(error, TransportError)
    assert "the host key of box has changed" in error.message
    assert "ssh-keygen -R" in str(error.hint)
    assert (sshd.root / "other").read_text() == before


def test_a_login_that_is_refused(sshd: Sshd) -> None:
    for error in (refused(sshd, key="stranger"), refused(sshd, User="nobody-at-all")):
        assert isinstance(error, TransportError)
        assert "refuses the login" in error.message and "publickey" in error.message
        assert "ssh-copy-id" in str(error.hint)


def test_what_cannot_be_reached_at_all(sshd: Sshd) -> None:
    closed = refused(sshd, Port=str(free_port()))
    assert isinstance(closed, MissingDeviceError)
    assert closed.exit_code == 3
    assert "cannot be reached" in closed.message and "Connection refused" in closed.message
    unknown = refused(sshd, HostName="no-such-host.invalid")
    assert isinstance(unknown, MissingDeviceError)
    assert "resolve" in unknown.message


def test_a_configuration_that_ssh_cannot_read(sshd: Sshd, tmp_path: Path) -> None:
    error = refused(sshd, NoSuchOption="yes")
    assert isinstance(error, TransportError)
    assert "configuration" in error.message
    with pytest.raises(TransportError, match="configuration"):
        SshTransport(Reach(address="box", ssh_config=tmp_path / "none"))


def test_no_ssh_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDeviceError, match="ssh is not installed"):
        SshTransport(Reach(address="pi"))


def test_a_shell_that_is_none(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A router's menu, or a login shell that splits words in its own way."""
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho '% Unknown command: exec' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TransportError, match="Unknown command: exec") as caught:
        SshTransport(Reach(address="router"))
    assert "POSIX" in str(caught.value.hint)


def test_what_is_asked_of_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked, learnt or forwarded, whatever the user's configuration says."""
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/asked\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MissingDeviceError):
        SshTransport(Reach(address="pi@[::1]:2222"))
    asked = (tmp_path / "asked").read_text()
    options = asked.partition("\n--\n")[0].splitlines()
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "ForwardAgent=no"} <= set(options)
    assert options[-4:] == ["-l", "pi", "-p", "2222"]
    assert asked.partition("\n--\n")[2].startswith("::1\nexec sh -c ")
    (socket,) = [o.partition("=")[2] for o in options if o.startswith("ControlPath=")]
    # sun_path has 104 bytes on macOS and 108 on Linux; ssh adds a dot and 16 letters for a while.
    assert len(socket) + 17 < 104


def test_the_way_is_short_and_cleaned_up(sshd: Sshd) -> None:
    transport = sshd.connect()
    socket = Path(transport._socket)
    assert socket.is_socket() and socket.stat().st_mode & 0o777 == 0o600
    assert os.path.lexists(sshd.lock)
    assert transport.facts()["address"] == "box"
    transport.close()
    assert not socket.exists() and not os.path.lexists(sshd.lock)
    assert list(sshd.temporary.iterdir()) == []


def test_a_file_is_copied_once(sshd: Sshd, tmp_path: Path) -> None:
    transport = sshd.connect()
    (tmp_path / "model").write_bytes(b"x" * 1000)
    remote = Path(transport.put(tmp_path / "model"))
    arrived = remote.stat().st_mtime_ns
    assert transport.put(tmp_path / "model") == str(remote)
    assert remote.stat().st_mtime_ns == arrived
    remote.unlink()  # the agent removes inputs that it has used
    transport.put(tmp_path / "model")
    assert remote.read_bytes() == b"x" * 1000
    transport.close()


def test_a_full_disk_is_said_and_leaves_nothing(
    sshd: Sshd, small_disk: Path, tmp_path: Path
) -> None:
    transport = SshTransport(
        Reach(address="box", ssh_config=sshd.root / "config", folder=str(small_disk))
    )
    (tmp_path / "model.tflite").write_bytes(os.urandom(2 << 20))
    with pytest.raises(TransportError, match=r"box has no room for model\.tflite") as caught:
        transport.put(tmp_path / "model.tflite")
    assert "2097152 bytes" in caught.value.message and "folder" in str(caught.value.hint)
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    (tmp_path / "small").write_text("fits")
    assert transport.put(tmp_path / "small")
    transport.close()
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_is_not_there(sshd: Sshd) -> None:
    with pytest.raises(TransportError, match=r"no folder to work in .*/no/such"):
        SshTransport(Reach(address="box", ssh_config=sshd.root / "config", folder="/no/such"))
    assert not os.path.lexists(sshd.lock)


def test_what_the_user_knows_of_the_device_holds(sshd: Sshd) -> None:
    home = sshd.root / "home"
    (home / "work here").mkdir(exist_ok=True)
    transport = SshTransport(
        Reach(
            address="box",
            ssh_config=sshd.root / "config",
            python="~/venv/bin/python",
            folder="~/work here",
            environment={"COLOUR": "blue; green", "OMP_NUM_THREADS": "1"},
        )
    )
    assert transport.python == f"{home}/venv/bin/python"
    assert Path(transport.folder).parent == home / "work here"
    done = transport.run(["sh", "-c", 'echo "$COLOUR $OMP_NUM_THREADS"'], timeout=20)
    assert done.stdout == "blue; green 1\n"
    with pytest.raises(TransportError, match="no program nope"):
        transport.run(["nope"], timeout=20)
    transport.close()


def test_a_device_without_python(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = SshTransport(Reach(address="box", ssh_config=sshd.root / "config"))
    assert transport.python == "python3"
    transport._told["python"] = ""
    with pytest.raises(MissingRuntimeError, match="box has no python3") as caught:
        _ = transport.python
    assert "apt-get install python3" in str(caught.value.hint)
    transport.close()


def test_a_program_for_another_processor(sshd: Sshd, tmp_path: Path) -> None:
    transport = sshd.connect()
    program = tmp_path / "benchmark_model"
    native = bytearray(Path("/bin/true").read_bytes())
    native[18:20] = (43).to_bytes(2, "little")  # e_machine: SPARC
    program.write_bytes(native)
    remote = transport.put(program)
    transport.run(["chmod", "755", remote], timeout=20)
    with pytest.raises(TransportError, match=r"cannot run .* another processor") as caught:
        transport.run([remote], timeout=20)
    assert os.uname().machine in str(caught.value.hint)
    transport.close()


def test_a_shell_that_prints_at_every_login(sshd: Sshd, tmp_path: Path) -> None:
    """Files and outputs come without it: it breaks scp."""
    settings = sshd.root / "home" / ".bashrc"
    settings.write_text("echo Welcome to this board; echo mind the cable >&2\n")
    try:
        transport = sshd.connect()
        assert transport.run(["echo", "hello"], timeout=20).stdout == "hello\n"
        content = os.urandom(3 << 20)
        (tmp_path / "model").write_bytes(content)
        transport.get(transport.put(tmp_path / "model"), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        transport.close()
    finally:
        settings.unlink()


def in_background(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Call something in a thread; return that, and what will come out: a value or an error."""
    found: list[object] = []

    def target() -> None:
        try:
            found.append(call())
        except EdgekdError as error:
            found.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    return thread, found


def running(sshd: Sshd) -> bool:
    return any(sshd.temporary.glob("*/.running.*"))


def test_sshd_stopped_in_the_middle(own_sshd: Sshd, eventually: Eventually) -> None:
    """One clear error; the device clears up by itself; and it works again when it is back."""
    transport = own_sshd.connect()
    late = own_sshd.root / "late"
    script = ["sh", "-c", f"sleep 2; echo >{late}"]
    thread, found = in_background(lambda: transport.run(script, timeout=60))
    eventually(lambda: running(own_sshd))
    began = time.monotonic()
    own_sshd.stop()
    thread.join(10)
    assert time.monotonic() - began < 1.5
    (error,) = found
    assert isinstance(error, DeviceGoneError)
    assert error.message.startswith("box is gone")
    eventually(lambda: list(own_sshd.temporary.iterdir()) == [])
    eventually(lambda: not os.path.lexists(own_sshd.lock))
    with pytest.raises(DeviceGoneError, match="box is gone"):
        transport.run(["true"], timeout=9)
    with pytest.raises(DeviceGoneError, match="box is gone"):
        transport.put(own_sshd.root / "config")
    transport.close()
    own_sshd.start()
    again = own_sshd.connect()
    assert again.run(["echo", "back"], timeout=20).stdout == "back\n"
    again.close()
    assert not late.exists(), "what ran was ended with the connection"


def test_a_device_that_loses_its_power(own_sshd: Sshd, tmp_path: Path) -> None:
    """What it left is found, and cleared up, by the next one that comes."""
    transport = own_sshd.connect()
    old = Path(transport.folder)
    own_sshd.stop(power=False)
    transport.close()
    assert old.is_dir() and os.path.lexists(own_sshd.lock)
    own_sshd.start()
    said: list[str] = []
    again = own_sshd.connect(say=said.append, wait=5)
    assert said == [] and not old.exists()
    again.close()


def test_sshd_stopped_while_a_file_travels(own_sshd: Sshd, tmp_path: Path) -> None:
    transport = own_sshd.connect()
    fifo = tmp_path / "endless"
    os.mkfifo(fifo)

    def feed() -> None:
        with fifo.open("wb") as file:
            file.write(b"x" * 100_000)
            file.flush()
            own_sshd.stop()

    feeder = threading.Thread(target=feed)
    feeder.start()
    with pytest.raises(DeviceGoneError):
        transport._send(fifo, f"{transport.folder}/part", 20)
    feeder.join()
    transport.close()


def test_the_lock_is_taken_back_after_a_cut_connection(own_sshd: Sshd) -> None:
    """The device still believes in the old connection: it is ours, so nothing is waited for."""
    first = own_sshd.connect()
    assert first._keeper is not None
    first._keeper._process.send_signal(signal.SIGSTOP)  # this side is silent, and not gone
    old = Path(first.folder)
    try:
        from edgekd.transports import lock

        lock.forget(first._owner)
        said: list[str] = []
        second = own_sshd.connect(say=said.append, wait=5)
        assert said == []
        assert not old.exists()
        second.close()
    finally:
        first._keeper._process.send_signal(signal.SIGCONT)
        first.close()


def test_a_second_edgekd_waits_for_the_device(sshd: Sshd) -> None:
    first = sshd.connect()
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        first.close()

    try:
        with pytest.raises(TransportError, match="box is in use"):
            sshd.connect(wait=0)
        sshd.connect(say=hear, wait=20).close()
    finally:
        first.close()
    assert len(said) == 1 and "box: waiting for the edgekd of" in said[0]


MEASURE = """
import sys, pathlib
from edgekd.transports.reach import Reach
from edgekd.transports.ssh import SshTransport
config = pathlib.Path(sys.argv[1])
transport = SshTransport(Reach(address="box", ssh_config=config))
try:
    transport.run(["sh", "-c", "sleep 60; true"], timeout=60)
finally:
    transport.close()
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.device),
        pytest.param(signal.SIGTERM, marks=pytest.mark.device),
    ],
)
def test_an_edgekd_that_is_ended_leaves_nothing_there(
    sshd: Sshd, eventually: Eventually, number: int
) -> None:
    argv = [sys.executable, "-c", MEASURE, str(sshd.root / "config")]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: running(sshd))
            sleeping = next(sshd.temporary.glob("*/.running.*")).name.split(".")[2]
            process.send_signal(number)
            process.wait(10)
        finally:
            process.kill()
    eventually(lambda: not os.path.lexists(sshd.lock))
    eventually(lambda: list(sshd.temporary.iterdir()) == [])
    eventually(lambda: not Path(f"/proc/{sleeping}").exists())
    eventually(lambda: sshd.sessions() == [])


@pytest.mark.device
def test_a_device_that_freezes_is_given_up(
    own_sshd: Sshd, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told apart from a command that takes too long: that one is killed, and answers."""
    from edgekd.transports import keeper, processes

    monkeypatch.setattr(processes, "GRACE", 0.3)
    monkeypatch.setattr(keeper, "GRACE", 0.3)
    transport = own_sshd.connect()
    ask = transport._keeper.ask  # type: ignore[union-attr]
    monkeypatch.setattr(transport._keeper, "ask", lambda word, timeout: ask(word, timeout=0.3))
    thread, found = in_background(lambda: transport.run(["sleep", "60"], timeout=1))
    eventually(lambda: running(own_sshd))
    for pid in own_sshd.sessions():
        os.kill(pid, signal.SIGSTOP)
    thread.join(10)
    (error,) = found
    assert isinstance(error, DeviceGoneError)
    assert "does not answer any more" in error.message
    began = time.monotonic()
    transport.close()
    assert time.monotonic() - began < 5
