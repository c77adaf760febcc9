"""The user's own devices: where they are, what they change, and what is wrong with the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.bench import config
from edgekd.bench.devices import (
    Device,
    builtin_names,
    builtin_profile,
    device_names,
    load_device,
)
from edgekd.errors import EdgekdError, MeasurementError, MissingDeviceError, UnknownNameError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's file stands in this test."""
    monkeypatch.setenv("EDGEKD_CONFIG", str(tmp_path))
    return tmp_path / "devices.toml"


#: One of each way, so that these tests ask for no transport but the two that are always there.
BOARD = """
[devices.board]
transport = "local"
runtimes = ["litert", "onnxruntime"]
governor = "performance"
"""


def test_where_the_file_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEKD_CONFIG", "/etc/edgekd")
    assert config.path() == Path("/etc/edgekd/devices.toml")
    monkeypatch.delenv("EDGEKD_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert config.path() == Path("/x/edgekd/devices.toml")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.path() == tmp_path / ".config/edgekd/devices.toml"


def test_without_a_file_there_is_nothing_of_the_users(file: Path) -> None:
    assert config.entries() == {}
    assert device_names() == builtin_names()


def test_a_whole_device_of_ones_own(file: Path) -> None:
    file.write_text(BOARD)
    board = load_device("board")
    assert board == Device(name="board", runtimes=("litert", "onnxruntime"), governor="performance")
    assert "board" in device_names()


def test_a_device_on_the_base_of_another(file: Path) -> None:
    file.write_text(BOARD + '[devices.second]\nbase = "board"\nthreads = 2\n')
    second = load_device("second")
    assert (second.name, second.threads, second.governor) == ("second", 2, "performance")


def test_a_change_to_a_built_in_profile_is_said(file: Path) -> None:
    file.write_text("[devices.cpu]\nthreads = 3\n")
    said: list[str] = []
    cpu = load_device("cpu", say=said.append)
    assert cpu.threads == 3
    assert cpu.runtimes == builtin_profile("cpu").runtimes
    assert builtin_profile("cpu").threads == 1
    assert len(said) == 1
    assert "cpu" in said[0] and str(file) in said[0] and "threads" in said[0]


def test_an_address_alone_changes_no_profile(file: Path) -> None:
    file.write_text('[devices.cpu]\nfolder = "/tmp/x"\n')
    said: list[str] = []
    assert load_device("cpu", say=said.append) == builtin_profile("cpu")
    assert said == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[devices.a\n", ["devices.toml", "not valid TOML"]),
        ("[device.a]\n", ["device: unknown key; did you mean 'devices'?"]),
        ('[devices]\na = "pi@host"\n', ["devices.a: write a table, [devices.a]"]),
        ("[devices.a]\naddress = 5\n", ["devices.a.address: write it in quotes"]),
        ('[devices.a]\naddress = "-oProxyCommand=x"\n', ["devices.a.address", "cannot be one"]),
        ('[devices.a]\nserial = "x\\ny"\n', ["devices.a.serial"]),
        (
            '[devices.a]\nadress = "x"\nruntimes = ["litert"]\n',
            ["devices.toml", "devices.a.adress: unknown key; did you mean 'address'?"],
        ),
        (
            '[devices.a]\npassword = "x"\nruntimes = ["litert"]\n',
            ["devices.a.password", "no key for a secret"],
        ),
        ('[devices.a]\naddress = "pi@host"\n', ["runtimes: needed", "base"]),
        ('[devices.a]\nbase = "b"\n[devices.b]\nbase = "a"\n', ["leads back"]),
    ],
)
def test_what_is_wrong_names_file_key_and_the_closest_one(
    file: Path, text: str, parts: list[str]
) -> None:
    file.write_text(text)
    with pytest.raises(MeasurementError) as caught:
        load_device("a")
    for part in parts:
        assert part in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_fault_of_one_device_does_not_stop_another(file: Path) -> None:
    file.write_text("[devices.broken]\nthreds = 1\n")
    assert load_device("cpu").name == "cpu"
    with pytest.raises(MeasurementError, match="did you mean 'threads'"):
        load_device("broken")


def test_an_unknown_base_gets_the_closest(file: Path) -> None:
    file.write_text('[devices.a]\nbase = "raspberypi5"\n')
    with pytest.raises(UnknownNameError, match="raspberrypi5"):
        load_device("a")


def device(transport: str, **changes: object) -> Device:
    given = {"name": "it", "transport": transport, "runtimes": ("litert",), **changes}
    return Device.model_validate(given)


def test_an_option_counts_before_the_file(file: Path) -> None:
    file.write_text('[devices.it]\naddress = "pi@one"\npython = "/opt/py"\nfolder = "/fast/"\n')
    reach = config.find_reach(device("ssh"))
    assert (reach.address, reach.python, reach.folder) == ("pi@one", "/opt/py", "/fast/")
    assert reach.environment == {"EDGEKD_RUNTIME": "/fast/edgekd-runtime"}
    assert config.find_reach(device("ssh"), address="pi@two:2222").address == "pi@two:2222"
    assert config.find_reach(device("ssh"), address="pi@two").python == "/opt/py"


def test_nothing_says_where_it_is(file: Path) -> None:
    with pytest.raises(MissingDeviceError) as caught:
        config.find_reach(device("ssh"))
    assert "--address" in str(caught.value) and "[devices.it]" in str(caught.value)
    assert config.find_reach(device("adb")).serial is None  # adb finds the only one itself


@pytest.mark.parametrize(
    ("transport", "options"),
    [("local", {"address": "x"}), ("adb", {"address": "x"}), ("ssh", {"serial": "x"})],
)
def test_an_option_that_the_transport_does_not_take(
    file: Path, transport: str, options: dict[str, str]
) -> None:
    with pytest.raises(MeasurementError, match="takes no --"):
        config.find_reach(device(transport), **options)


def test_a_transport_of_ones_own_takes_what_it_likes(file: Path) -> None:
    reach = config.find_reach(device("my_package:Serial"), address="/dev/ttyUSB0")
    assert reach.address == "/dev/ttyUSB0"


def test_an_emulated_device_that_is_down(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_EMULATION", str(file.parent / "boxes"))
    box = device("ssh", emulated=True, emulation={"kind": "pi", "cpu": "cortex-a76"})
    assert config.state_of(box) == "down"
    with pytest.raises(EdgekdError, match="edgekd devices up it"):
        config.find_reach(box)


def test_states_that_cost_nothing(file: Path) -> None:
    file.write_text('[devices.it]\naddress = "pi@one"\n')
    assert config.state_of(device("ssh")) == "address known"
    assert config.state_of(device("ssh", name="other")) == "no address"
    assert config.state_of(device("local")) == "here"
