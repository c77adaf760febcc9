"""Every profile that ships: loads, says what it is, and gives nobody's address away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekd.bench.devices import Device, builtin_names, builtin_profile
from edgekd.toml import read_toml
from edgekd.transports import TRANSPORTS

FOLDER = Path(__file__).parents[2] / "devices"
NAMES = builtin_names()
PROFILES = pytest.mark.parametrize("name", NAMES)

#: user@host, four numbers with dots, a MAC address, a .local name, a private key.
PRIVATE = re.compile(
    r"\b[\w.-]+@[\w-]+|\b\d{1,3}(\.\d{1,3}){3}\b|\b([0-9a-f]{2}:){3,}[0-9a-f]{2}\b|\b[\w-]+\.local\b"
    r"|BEGIN [A-Z ]*PRIVATE KEY|password|passphrase",
    re.IGNORECASE,
)
#: What a comment may cite.
LINK = re.compile(r"https?://\S+")


def test_the_devices_of_the_documentation_are_there() -> None:
    assert set(NAMES) >= {
        "cpu",
        "raspberrypi-zero2w",
        "raspberrypi4",
        "raspberrypi5",
        "android",
        "pixel8",
    }


@PROFILES
def test_it_loads_and_says_what_it_is(name: str) -> None:
    raw = read_toml(FOLDER / f"{name}.toml")
    device = Device.model_validate({"name": name, **raw})
    assert len(device.description) > 10
    assert device.transport in TRANSPORTS.names, "a row of the table, or nobody can use it"
    assert builtin_profile(name) == device


@PROFILES
def test_it_holds_no_address_and_no_secret(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    found = PRIVATE.search(LINK.sub("", text))
    assert found is None, found
    assert not set(read_toml(FOLDER / f"{name}.toml")) & {"address", "serial", "python", "folder"}


@PROFILES
def test_its_comments_say_why(name: str) -> None:
    lines = (FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert len(" ".join(comments)) > 80
    for number, line in enumerate(lines):
        key = line.partition("=")[0].strip()
        if key in ("power_watts", "max_temperature", "governor"):
            above = "\n".join(lines[max(0, number - 6) : number])
            assert "#" in above, f"{key} without a word"


@PROFILES
def test_its_keys_go_together(name: str) -> None:
    device = builtin_profile(name)
    assert len(set(device.affinity)) == len(device.affinity)
    assert not device.affinity or device.threads <= len(device.affinity)
    assert device.emulated == (device.emulation is not None)
    if device.transport != "local" and not device.emulated:
        assert device.arch == "aarch64"
        assert device.cooldown > 0
    if device.max_temperature is not None:
        assert 30 <= device.max_temperature < 80, "a Raspberry Pi slows down at 80 degrees"
    if device.power_watts is not None:
        assert 0.5 <= device.power_watts <= 15


def test_the_private_things_that_the_contract_looks_for_are_found() -> None:
    for text in ("pi@board", "10.0.0.7", "pi5.local", "password = 1", "AA:bb:cc:00:11:22"):
        assert PRIVATE.search(text), text
    assert not PRIVATE.search("4x Cortex-A76 at 2.4 GHz, https: 1.5 or 1.8 GHz")
