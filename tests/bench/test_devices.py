"""Device profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.bench.devices import Device, builtin_names, faults_in, load_device
from edgekd.errors import MeasurementError, UnknownNameError
from edgekd.toml import dump_toml


@pytest.mark.parametrize("name", builtin_names())
def test_every_profile_is_valid_and_says_what_it_is(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    assert device.description


def test_the_local_cpu_can_run_everything() -> None:
    cpu = load_device("cpu")
    assert cpu.transport == "local"
    assert not cpu.emulated
    assert {"litert", "onnxruntime", "torch"} <= set(cpu.runtimes)


def test_an_unknown_name_gets_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cpu'"):
        load_device("cpuu")


def test_a_file_of_ones_own_survives_being_shown(tmp_path: Path) -> None:
    path = tmp_path / "desk.toml"
    path.write_text('runtimes = ["onnxruntime"]\nthreads = 2\naffinity = [0, 1]\ncooldown = 1\n')
    device = load_device(path)
    assert (device.name, device.threads, device.affinity) == ("desk", 2, (0, 1))
    path.write_text(dump_toml(device.model_dump(mode="json", exclude_none=True)))
    assert load_device(path) == device


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('runtimes = ["tflight"]\nthreads = 0\ngovernour = "x"\n')
    with pytest.raises(MeasurementError) as caught:
        load_device(path)
    said = str(caught.value)
    for part in ("runtimes.0", "threads", "governour: unknown key; did you mean 'governor'?"):
        assert part in said
    path.write_text("threads = = 2")
    with pytest.raises(MeasurementError, match="not valid TOML"):
        load_device(path)
    with pytest.raises(MeasurementError, match="cannot read it"):
        load_device(tmp_path / "gone.toml")


def test_an_unknown_transport(tmp_path: Path) -> None:
    path = tmp_path / "far.toml"
    path.write_text('runtimes = ["litert"]\ntransport = "locl"\n')
    with pytest.raises(UnknownNameError, match="'local'"):
        load_device(path)


def test_faults_of_a_recipe_have_their_index() -> None:
    assert faults_in(["cpu"]) == []
    assert faults_in("cpu") == []  # a wrong type is the recipe's own to report
    (fault,) = faults_in(["cpu", "cqu"])
    assert fault.startswith("[1]: unknown device 'cqu'") and "'cpu'" in fault


def test_a_device_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_device("cpu").threads = 4  # type: ignore[misc]
    assert "name" in Device.model_fields
