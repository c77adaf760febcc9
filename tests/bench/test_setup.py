"""Runtimes brought to a device: planned, downloaded, unpacked, found by the agent, taken away."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekd.bench import agent, setup
from edgekd.bench.devices import Device
from edgekd.errors import MeasurementError, MissingRuntimeError, TransportError
from edgekd.transports.local import LocalTransport
from tests.bench.test_doctor import PI, Pi

HERE = Device(name="here", runtimes=("litert", "onnxruntime"))
MINOR = f"py{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Make a wheel of a package by hand."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    tag = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {**files, f"{info}/METADATA": meta, f"{info}/WHEEL": tag}
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in content.items():
            archive.writestr(inner, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{n},,\n" for n in content))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home on the device, and an index of wheels that is no network."""
    home, wheels = tmp_path / "home with space", tmp_path / "wheels"
    home.mkdir()
    wheels.mkdir()
    body = {
        "onnxruntime/__init__.py": "SessionOptions = InferenceSession = None\nMINE = True\n",
        "onnxruntime-99.0.data/purelib/of_the_data.py": "",
        "onnxruntime-99.0.data/scripts/run": "",
    }
    wheel(wheels, "onnxruntime", "99.0", body)
    # NumPy stays the machine's own: what is brought needs none here.
    wheel(wheels, "numpy", "99.0", {"numpy_is_not_in_here.py": ""})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return home


def test_installed_found_and_removed(home: Path) -> None:
    transport = LocalTransport()
    said: list[str] = []
    try:
        plan = setup.plan(HERE, transport, ["onnxruntime"])
        place = home / ".local/share/edgekd/runtime" / MINOR
        assert plan.folder == str(place)
        found = setup.install(plan, transport, say=said.append)
        assert (found["onnxruntime"].version, found["onnxruntime"].error) == ("99.0", None)
        assert (place / "of_the_data.py").is_file()
        assert not list(place.rglob("run")), "scripts are none of it"
        assert json.loads((place / "edgekd.json").read_text())["wheels"]
        assert said[0] == "downloading onnxruntime"

        # The agent, started as on a device, takes the same one before the machine's own.
        program = (
            f"import runpy, sys; sys.argv = ['agent', 'x']; "
            f"runpy.run_path({agent.__file__!r}, run_name='__main__')"
        )
        request = {"schema": "edgekd.run/1", "model": "none", "format": "onnx", "threads": 1}
        asked = home / "request.json"
        asked.write_text(json.dumps(request))
        script = (
            f"import sys, os; os._exit = lambda code: print(__import__('onnxruntime').MINE);"
            f"{program.replace(chr(39) + 'x' + chr(39), repr(str(asked)))}"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip().endswith("True"), done.stderr

        assert setup.remove(transport) == str(place)
        assert not place.parent.exists()
        assert setup.remove(transport) is None
    finally:
        transport.close()


def test_what_was_there_before_stays_where_it_fails(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = LocalTransport()
    plan = setup.plan(HERE, transport, ["onnxruntime"])
    good = [tmp_path / "wheels" / "onnxruntime-99.0-py3-none-any.whl"]
    monkeypatch.setattr(setup, "_download", lambda plan, folder: good)
    setup.install(plan, transport, say=lambda text: None)
    evil = wheel(tmp_path / "wheels", "onnxruntime", "100.0", {"../../../escaped.py": "x = 1"})
    monkeypatch.setattr(setup, "_download", lambda plan, folder: [evil])
    with pytest.raises(TransportError, match="leads out of its wheel"):
        setup.install(plan, transport, say=lambda text: None)
    assert not list(home.rglob("escaped.py")) and not (home / ".local/share/escaped.py").exists()
    assert (Path(plan.folder) / "onnxruntime/__init__.py").is_file()
    assert not Path(plan.folder + ".new").exists()
    transport.close()


def test_a_folder_that_is_not_ours_is_not_removed(home: Path) -> None:
    place = home / ".local/share/edgekd/runtime" / MINOR
    place.mkdir(parents=True)
    (place / "precious").touch()
    transport = LocalTransport()
    assert setup.remove(transport) is None
    assert (place / "precious").exists()
    transport.close()


def test_pip_that_finds_nothing(home: Path) -> None:
    transport = LocalTransport()
    plan = setup.plan(HERE, transport, ["litert"])
    with pytest.raises(MeasurementError, match="pip could not download litert"):
        setup.install(plan, transport, say=lambda text: None)
    transport.close()


def test_no_room(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = [tmp_path / "wheels" / "onnxruntime-99.0-py3-none-any.whl"]
    monkeypatch.setattr(setup, "_download", lambda plan, folder: wheels)
    monkeypatch.setattr(setup, "_unpacked", lambda path: 10**15)
    transport = LocalTransport()
    plan = setup.plan(HERE, transport, ["onnxruntime"])
    with pytest.raises(MeasurementError, match="are needed"):
        setup.install(plan, transport, say=lambda text: None)
    assert not Path(plan.folder).exists()
    transport.close()


def test_the_plan_for_a_64_bit_board() -> None:
    plan = setup.plan(PI, Pi())
    assert plan.runtimes == ("litert", "onnxruntime")
    assert plan.skipped == {}
    assert plan.download[-3:] == ("ai-edge-litert", "numpy", "onnxruntime")
    assert "manylinux_2_36_aarch64" in plan.download
    assert "manylinux2014_aarch64" in plan.download
    assert "manylinux_2_37_aarch64" not in plan.download
    assert ("--python-version", "3.11") == plan.download[4:6]


def test_the_plan_for_a_32_bit_board() -> None:
    plan = setup.plan(PI, Pi(told={"bits": 32}))
    assert plan.runtimes == ("tflite-runtime",)
    assert set(plan.skipped) == {"litert", "onnxruntime"}
    assert plan.download[-1] == "tflite-runtime==2.14.0"
    assert "--no-deps" in plan.download
    with pytest.raises(MissingRuntimeError, match="no NumPy"):
        setup.plan(PI, Pi(told={"bits": 32}, versions={}))


def test_nothing_fits() -> None:
    with pytest.raises(MissingRuntimeError, match=r"tflite-runtime has wheels for Python 3\.9"):
        setup.plan(PI, Pi(told={"python": "3.13.5"}), ["tflite-runtime"])
