"""adb, played by a script: which device is meant, why it cannot be used, and losing it."""

from __future__ import annotations

import os
import signal
import socket
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
from edgekd.transports.adb import AdbTransport, Attached, parse_devices
from edgekd.transports.reach import Reach
from tests.transports.rigs import Phone

Eventually = Callable[[Callable[[], bool]], None]

#: As adb 29 and 34 print it; serial numbers are made up.
LISTING = """\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
R5CT30ABCDE            device usb:1-4 product:shiba model:Pixel_8 device:shiba transport_id:3
emulator-5554          offline transport_id:1
127.0.0.1:16555        device product:box model:Box device:box transport_id:2
0123456789ABCDEF       unauthorized usb:1-2 transport_id:5
8XV7N18328012345       no permissions (missing udev rules? user is in the plugdev group); see \
[http://developer.android.com/tools/device.html] usb:1-1 transport_id:6

"""


def test_what_adb_lists() -> None:
    assert parse_devices(LISTING) == [
        Attached("R5CT30ABCDE", "device", "Pixel_8"),
        Attached("emulator-5554", "offline"),
        Attached("127.0.0.1:16555", "device", "Box"),
        Attached("0123456789ABCDEF", "unauthorized"),
        Attached("8XV7N18328012345", "no permissions"),
    ]
    assert parse_devices("List of devices attached\n\n") == []
    assert parse_devices("") == []


def refused(phone: Phone, *lines: str, serial: str | None = None) -> EdgekdError:
    phone.attached(*lines)
    with pytest.raises(EdgekdError) as caught:
        AdbTransport(Reach(serial=serial))
    return caught.value


def test_no_device(phone: Phone) -> None:
    error = refused(phone)
    assert isinstance(error, MissingDeviceError) and error.exit_code == 3
    assert "USB debugging" in str(error.hint)


def test_one_device_is_found_and_then_always_named(phone: Phone, tmp_path: Path) -> None:
    transport = AdbTransport(Reach(folder=str(phone.root / "tmp")))
    assert transport.serial == "R5CT"
    transport.run(["true"], timeout=20)
    (tmp_path / "file").touch()
    transport.get(transport.put(tmp_path / "file"), tmp_path / "back")
    facts = transport.facts()
    assert facts["transport"] == "adb" and facts["serial"] == "R5CT"
    transport.close()
    first, *others = phone.calls
    assert first == "devices -l"
    assert all(call.startswith("-s R5CT ") for call in others)
    assert {call.split()[2] for call in others} == {"features", "shell", "push", "pull"}


def test_a_server_of_its_own(phone: Phone) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        AdbTransport(Reach(folder=str(phone.root / "tmp"), adb_port=port)).close()
    assert len(phone.calls) == 3
    assert all(call.startswith(f"-P {port} ") for call in phone.calls)
    with pytest.raises(MissingDeviceError, match=f"adb server on port {port} does not answer"):
        AdbTransport(Reach(adb_port=port))


def test_several_devices_must_be_told_apart(phone: Phone) -> None:
    lines = ["R5CT  device model:Pixel_8", "8XV7  device model:Galaxy", "AB  unauthorized"]
    error = refused(phone, *lines)
    assert isinstance(error, TransportError)
    assert "3 devices are attached: R5CT (Pixel_8), 8XV7 (Galaxy), AB (unauthorized)" in str(error)
    assert "--serial" in str(error.hint)
    transport = AdbTransport(Reach(serial="8XV7", folder=str(phone.root / "tmp")))
    assert transport.serial == "8XV7"
    transport.close()


def test_a_serial_that_is_not_there(phone: Phone) -> None:
    error = refused(phone, "R5CT  device model:Pixel_8", serial="WRONG")
    assert isinstance(error, MissingDeviceError)
    assert "adb knows no device WRONG" in error.message
    assert "R5CT (Pixel_8)" in str(error.hint)


@pytest.mark.parametrize(
    ("state", "kind", "message", "hint"),
    [
        ("unauthorized usb:1-2", TransportError, "does not trust this computer", "Unlock"),
        ("authorizing", TransportError, "still asking", "Unlock"),
        ("no permissions (user in plugdev group); see [x]", TransportError, "this user", "udev"),
        ("offline", MissingDeviceError, "is offline", "Plug it in"),
        ("recovery", MissingDeviceError, "state recovery", "adb reboot"),
        ("bootloader", MissingDeviceError, "state bootloader", "adb reboot"),
    ],
)
@pytest.mark.parametrize("serial", [None, "R5CT"])
def test_a_device_that_cannot_be_used(
    phone: Phone,
    serial: str | None,
    state: str,
    kind: type[EdgekdError],
    message: str,
    hint: str,
) -> None:
    error = refused(phone, f"R5CT  {state}", serial=serial)
    assert type(error) is kind
    assert message in error.message and "R5CT" in error.message
    assert hint in str(error.hint)


def test_a_device_of_the_network_is_connected(phone: Phone) -> None:
    phone.attached("10.0.0.7:5555  offline")
    phone.plays(
        f'[ "$1" != connect ] || echo "$2  device model:Box" >{phone.root}/devices\n'
        f'[ "$1" != disconnect ] || : >{phone.root}/devices'
    )
    transport = AdbTransport(Reach(serial="10.0.0.7:5555", folder=str(phone.root / "tmp")))
    assert transport.serial == "10.0.0.7:5555"
    transport.close()
    phone.plays("")
    assert "knows no device 10.0.0.8:5555" in refused(phone, serial="10.0.0.8:5555").message
    assert phone.calls[-3:] == ["disconnect 10.0.0.8:5555", "connect 10.0.0.8:5555", "devices -l"]


def test_no_adb_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDeviceError, match="adb is not installed") as caught:
        AdbTransport(Reach())
    assert "apt-get install adb" in str(caught.value.hint)


def test_a_server_that_does_not_start(phone: Phone) -> None:
    phone.plays(
        "echo '* daemon not running; starting now at tcp:5037' >&2\n"
        "echo 'ADB server did not ACK' >&2\necho '* failed to start daemon' >&2\n"
        "echo 'adb: failed to check server version: cannot connect to daemon' >&2\nexit 1"
    )
    with pytest.raises(TransportError, match="cannot connect to daemon") as caught:
        AdbTransport(Reach())
    assert "adb kill-server" in str(caught.value.hint)


def test_a_device_without_python_names_the_other_ways(phone: Phone) -> None:
    transport = AdbTransport(Reach(folder=str(phone.root / "tmp")))
    assert transport.python == "python3"
    transport._told["python"] = ""
    with pytest.raises(MissingRuntimeError, match="R5CT has no python3") as caught:
        _ = transport.python
    assert "--binary" in str(caught.value.hint) and "--bundle" in str(caught.value.hint)
    transport.close()


def test_a_device_that_vanishes_in_the_middle(phone: Phone, eventually: Eventually) -> None:
    transport = AdbTransport(phone.reach)
    found: list[EdgekdError] = []

    def measure() -> None:
        try:
            transport.run(["sleep", "60"], timeout=60)
        except EdgekdError as error:
            found.append(error)

    thread = threading.Thread(target=measure)
    thread.start()
    eventually(lambda: any((phone.root / "tmp").glob("*/.running.*")))
    began = time.monotonic()
    phone.unplug()
    thread.join(10)
    assert time.monotonic() - began < 5
    (error,) = found
    assert isinstance(error, DeviceGoneError)
    assert "R5CT is gone" in error.message and "not found" in error.message
    with pytest.raises(DeviceGoneError):
        transport.run(["true"], timeout=9)
    transport.close()


def test_a_device_that_vanishes_while_a_file_travels(phone: Phone, tmp_path: Path) -> None:
    transport = AdbTransport(phone.reach)
    (tmp_path / "model").write_text("x")
    phone.plays(
        "[ $1 != push ] || { echo 'adb: error: failed to read copy response: EOF'; exit 1; }\n"
        "[ $1 != get-state ] || { echo 'error: device offline' >&2; exit 1; }"
    )
    with pytest.raises(DeviceGoneError, match=r"EOF.*device offline"):
        transport.put(tmp_path / "model")
    phone.plays(":")
    transport.close()


def test_a_copy_that_fails_is_no_lost_device(phone: Phone, tmp_path: Path) -> None:
    """adb returns 1 for both."""
    transport = AdbTransport(phone.reach)
    (tmp_path / "model").write_text("x")
    full = "adb: error: failed to copy 'model' to 'x': remote write failed: No space left on device"
    phone.plays(f'[ $1 != push ] || {{ echo "{full}"; exit 1; }}')
    with pytest.raises(TransportError, match="R5CT has no room for model") as caught:
        transport.put(tmp_path / "model")
    assert not isinstance(caught.value, DeviceGoneError)
    phone.plays("[ $1 != push ] || { echo 'adb: error: failed to copy: denied'; exit 1; }")
    with pytest.raises(TransportError, match=r"cannot copy model to R5CT: .*denied"):
        transport.put(tmp_path / "model")
    phone.plays(":")
    transport.close()


def test_a_full_device_is_said(phone: Phone, small_disk: Path, tmp_path: Path) -> None:
    transport = AdbTransport(Reach(serial="R5CT", folder=str(small_disk)))
    (tmp_path / "model.tflite").write_bytes(os.urandom(2 << 20))
    with pytest.raises(TransportError, match=r"R5CT has no room for model\.tflite"):
        transport.put(tmp_path / "model.tflite")
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    transport.close()


def test_a_file_that_came_in_part_is_not_used(phone: Phone, tmp_path: Path) -> None:
    transport = AdbTransport(phone.reach)
    (tmp_path / "model").write_text("all of it")
    phone.plays('[ $1 != push ] || { mkdir -p "${3%/*}"; printf all >"$3"; exit 0; }')
    with pytest.raises(TransportError, match="3 of 9 bytes arrived"):
        transport.put(tmp_path / "model")
    assert [path for path in Path(transport.folder).rglob("*") if path.is_file()] == []
    phone.plays(":")
    remote = transport.put(tmp_path / "model")
    phone.plays('[ $1 != pull ] || { printf all >"$3"; exit 0; }')
    with pytest.raises(TransportError, match="did not come whole"):
        transport.get(remote, tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adb", "model"]
    transport.close()


def test_a_second_edgekd_waits_for_the_phone(
    phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_LOCK", str(tmp_path / "lock"))  # the phone is this machine
    first = AdbTransport(phone.reach)
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        first.close()

    try:
        AdbTransport(phone.reach, say=hear, wait=20).close()
    finally:
        first.close()
    assert len(said) == 1 and said[0].startswith("R5CT: waiting for the edgekd of")
    assert not os.path.lexists(tmp_path / "lock")


def test_a_shell_that_is_ended_is_a_lost_connection(phone: Phone, eventually: Eventually) -> None:
    """adbd was restarted: it is there again, but the keeper is not."""
    transport = AdbTransport(phone.reach)
    assert transport._keeper is not None
    transport._keeper._process.send_signal(signal.SIGTERM)
    eventually(lambda: transport._keeper is not None and transport._keeper.gone is not None)
    with pytest.raises(DeviceGoneError, match="it is back already"):
        transport.run(["true"], timeout=9)
    transport.close()
