"""The doctor of devices, against devices that are not there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgekd.bench import agent, probe
from edgekd.bench.devices import Device
from edgekd.bench.doctor import doctor, examine
from edgekd.bench.probe import MODULES, Python
from edgekd.bench.wheels import install_line, pip_line, requirements
from edgekd.errors import DeviceGoneError, MissingRuntimeError, TransportError
from edgekd.records_devices import DeviceReport
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport
from tests.bench import device_texts as texts

PI = Device(
    name="pi",
    transport="tests.bench.test_doctor:Pi",
    arch="aarch64",
    runtimes=("litert", "tflite-runtime", "onnxruntime"),
    governor="performance",
    max_temperature=60.0,
)
SECTIONS = {
    "system": "Linux 6.12.34+rpt-rpi-2712",
    "machine": "aarch64",
    "cpuinfo": texts.PI5,
    "meminfo": texts.MEMINFO,
    "model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "cpufreq": texts.CPUFREQ_PI5.replace("ondemand", "performance"),
    "thermal": "cpu-thermal 48312",
    "throttled": "throttled=0x0",
    "disk": texts.DF_GNU,
    "libc": "glibc 2.36",
}
TOLD = {
    "python": "3.11.2",
    "bits": 64,
    "machine": "aarch64",
    "implementation": "CPython",
    "executable": "/usr/bin/python3",
    "venv": False,
    "managed": False,
    "libc": ["glibc", "2.36"],
    "own": "/home/pi/.local/share/edgekd/runtime/py3.11",
}
VERSIONS = {"numpy": "1.26.4", "litert": "2.3.0", "onnxruntime": "1.31.1"}


class Pi(FakeTransport):
    """A board that answers the doctor's questions as it is told to."""

    def __init__(
        self,
        reach: Any = None,
        *,
        sections: dict[str, str] | None = None,
        told: dict[str, Any] | None = None,
        versions: dict[str, str] | None = None,
        answers: dict[str, Completed] | None = None,
    ) -> None:
        super().__init__(self.answer)
        self.sections = {**SECTIONS, **(sections or {})}
        self.told = {**TOLD, **(told or {})}
        self.versions = VERSIONS if versions is None else versions
        self.answers = answers or {}

    def answer(self, argv: Sequence[str], files: dict[str, bytes]) -> Completed:
        if argv[0] == "sh":
            assert argv[-1] == self.folder
            text = "".join(f"\n@@edgekd {k}\n{v}\n" for k, v in self.sections.items())
            return Completed(0, "Welcome to the board!\n" + text)
        module = argv[3]
        names = {name: pair[0] for name, pair in MODULES.items()} | {"numpy": "numpy"}
        name = next(key for key, value in names.items() if value == module)
        if name in self.answers:
            return self.answers[name]
        if name in self.versions:
            found = {"version": self.versions[name]}
        else:
            found = {"error": f"ModuleNotFoundError: No module named '{module}'"}
        return Completed(0, "noise\n\n@@edgekd " + json.dumps({**self.told, **found}) + "\n")


def said(report: DeviceReport) -> dict[str, tuple[str, str]]:
    """Return status and message by check."""
    return {finding.check: (finding.status, finding.message) for finding in report.findings}


def test_a_board_that_is_well() -> None:
    report = examine(PI, Pi())
    assert report.usable and report.reachable
    assert {f.status for f in report.findings} == {"ok"}
    assert report.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert report.features == ("neon", "dotprod", "fp16")
    assert (report.python, report.numpy, report.temperature_c) == ("3.11.2", "1.26.4", 48.312)
    found = said(report)
    assert "4x Cortex-A76 up to 2400 MHz" in found["processor"][1]
    assert found["tflite-runtime"][1] == "not installed, nor needed: litert runs the same files"
    again = DeviceReport.model_validate_json(report.to_json())
    assert again == report


def test_no_python() -> None:
    nothing = {"numpy": Completed(127, "", "sh: 1: python3: not found\n")}
    report = examine(PI, Pi(answers=nothing))
    status, message = said(report)["python"]
    assert (status, report.usable, report.python) == ("fail", False, None)
    assert "python3: not found" in message
    assert "numpy" not in said(report), "what cannot be asked is not guessed"
    assert report.memory_bytes == 24678896 * 1024, "the rest is told all the same"


def test_a_phone_without_python_is_no_fault() -> None:
    class Phone(Pi):
        @property
        def python(self) -> str:
            raise MissingRuntimeError("this phone has no Python")

        @python.setter
        def python(self, value: str) -> None: ...

    phone = PI.model_copy(update={"transport": "adb", "governor": None})
    sections = {"getprop": texts.GETPROP, "thermalservice": texts.THERMALSERVICE, "model": ""}
    report = examine(phone, Phone(sections={**sections, "cpuinfo": texts.PIXEL8}))
    assert said(report)["python"] == ("warn", "there is none: this phone has no Python")
    assert report.usable
    assert (report.model, report.system) == ("Pixel", "Android 10")
    assert said(report)["throttling"][1] == "Android's thermal status is moderate"
    assert [group.name for group in report.cores] == ["Cortex-A510", "Cortex-A715", "Cortex-X3"]


def test_a_python_that_is_too_old() -> None:
    report = examine(PI, Pi(told={"python": "3.8.10"}))
    status, message = said(report)["python"]
    assert status == "fail" and "3.8.10 is too old" in message and "3.9" in message


def test_no_numpy() -> None:
    report = examine(PI, Pi(versions={}))
    status, message = said(report)["numpy"]
    assert status == "fail" and not report.usable
    assert "python3 -m pip install numpy" in message
    assert "edgekd devices setup pi" in message


def test_no_runtime() -> None:
    report = examine(PI, Pi(versions={"numpy": "1.26.4"}))
    found = said(report)
    assert found["runtimes"][0] == "fail" and not report.usable
    assert found["litert"][0] == "warn"
    assert "python3 -m pip install ai-edge-litert numpy" in found["litert"][1]
    assert "edgekd devices setup pi --runtime litert" in found["litert"][1]
    assert {state.name: state.error for state in report.runtimes}["litert"] == "not installed"


def test_a_format_without_a_runtime() -> None:
    report = examine(PI, Pi(versions={"numpy": "1.26.4", "litert": "2.3.0"}))
    assert report.usable
    assert said(report)["runtimes"] == ("warn", "no runtime for ONNX files")


def test_a_runtime_that_kills_its_process() -> None:
    died = {"litert": Completed(-4, "", "Illegal instruction\n")}
    found = said(examine(PI, Pi(answers=died)))
    assert found["litert"][0] == "warn" and "Illegal instruction" in found["litert"][1]
    assert found["onnxruntime"] == ("ok", "1.31.1"), "the next one is asked all the same"


def test_a_disk_that_is_full() -> None:
    report = examine(PI, Pi(sections={"disk": texts.DF_FULL}))
    status, message = said(report)["disk"]
    assert status == "fail" and not report.usable and report.free_disk_bytes == 0
    assert "folder = " in message


def test_the_wrong_governor_has_its_line() -> None:
    found = said(examine(PI, Pi(sections={"cpufreq": texts.CPUFREQ_PI5})))
    status, message = found["governor"]
    assert status == "warn"
    assert "ondemand, not performance" in message
    assert "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq" in message


def test_heat_and_a_weak_supply() -> None:
    hot = {"thermal": "cpu-thermal 71500", "throttled": "throttled=0x50005"}
    report = examine(PI, Pi(sections=hot))
    found = said(report)
    assert found["temperature"][0] == "warn" and "71.5 C, above 60 C" in found["temperature"][1]
    assert report.throttling == (
        "the supply's voltage is too low",
        "the cores are throttled",
    )
    assert report.usable, "it can be measured; the measurement will say so too"


def test_a_32_bit_system_on_a_64_bit_kernel() -> None:
    told = {"bits": 32, "python": "3.11.2"}
    report = examine(PI, Pi(told=told, versions={"numpy": "1.24.2"}))
    found = said(report)
    assert report.machine == "armv7l"
    assert "32-bit system" in found["architecture"][1]
    assert "ai-edge-litert has no wheel for armv7l" in found["litert"][1]
    assert "pip install 'tflite-runtime==2.14.0' 'numpy<2'" in found["tflite-runtime"][1]
    missing = said(examine(PI, Pi(told=told, versions={})))["numpy"][1]
    assert "sudo apt install python3-numpy" in missing


def test_cores_that_are_not_there() -> None:
    device = PI.model_copy(update={"affinity": (3, 8)})
    status, message = said(examine(device, Pi()))["affinity"]
    assert status == "warn" and "[8]" in message


def test_a_device_that_tells_nothing() -> None:
    report = examine(PI, FakeTransport(lambda argv, files: Completed(0)))
    assert not report.usable
    assert said(report)["python"][0] == "fail"


@pytest.mark.parametrize("error", [TransportError("refused", hint="Try X."), DeviceGoneError("x")])
def test_what_cannot_be_reached_is_a_report_too(
    error: TransportError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object, **options: object) -> Completed:
        raise error

    monkeypatch.setattr(Pi, "run", gone)
    report = doctor(PI)
    assert not report.reachable and not report.usable
    assert error.message in report.findings[0].message
    assert (error.hint or "") in report.findings[0].message


def test_the_transport_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(Pi, "close", lambda self: closed.append(self))
    assert doctor(PI).usable
    assert len(closed) == 1


def test_this_machine() -> None:
    """The scripts, for real, in a shell and in a Python."""
    transport = LocalTransport()
    device = Device(name="here", runtimes=("onnxruntime",))
    report = examine(device, transport)
    transport.close()
    import numpy

    assert report.numpy == numpy.__version__
    assert report.usable
    assert report.memory_bytes and report.free_disk_bytes
    assert sum(len(group.cores) for group in report.cores) >= 1


def test_the_agent_knows_the_same_modules() -> None:
    for runtimes in agent.RUNTIMES.values():
        for name, (module, _) in runtimes.items():
            assert MODULES[name][0] == module


def test_the_programs_run_on_an_old_python() -> None:
    import ast

    from edgekd.bench import setup

    for source in (probe._PYTHON, setup._INSTALL, setup._REMOVE, setup._FREE):
        ast.parse(source, feature_version=(3, 4))


def python(**changes: Any) -> Python:
    given = {
        "command": "python3",
        "version": "3.11.2",
        "machine": "aarch64",
        "glibc": (2, 36),
        "implementation": "CPython",
        "managed": False,
        "own": "/own",
    }
    return Python(**{**given, **changes})


@pytest.mark.parametrize(
    ("runtime", "changes", "expected"),
    [
        # By the file names on PyPI, asked for each of these platforms.
        ("litert", {}, ["ai-edge-litert", "numpy"]),
        ("litert", {"version": "3.9.2"}, ["ai-edge-litert==2.1.0", "numpy"]),
        ("litert", {"machine": "armv7l"}, "no wheel for armv7l"),
        ("litert", {"glibc": (2, 24)}, "glibc 2.27 or newer, and this is 2.24"),
        ("litert", {"glibc": None}, "another C library"),
        ("onnxruntime", {"version": "3.10.12"}, ["onnxruntime==1.23.2", "numpy"]),
        ("onnxruntime", {"version": "3.9.2", "glibc": (2, 31)}, ["onnxruntime==1.19.2", "numpy"]),
        ("onnxruntime", {"machine": "armv7l"}, "no wheel for armv7l"),
        ("tflite-runtime", {}, ["tflite-runtime==2.14.0", "numpy<2"]),
        ("tflite-runtime", {"machine": "armv7l"}, ["tflite-runtime==2.14.0", "numpy<2"]),
        ("tflite-runtime", {"glibc": (2, 31)}, ["tflite-runtime==2.13.0", "numpy<2"]),
        ("tflite-runtime", {"version": "3.13.5"}, "3.9 to 3.11 only, and this is 3.13"),
        ("tflite-runtime", {"implementation": "PyPy"}, "no wheel for PyPy"),
        ("litert", {"version": "3.8.10"}, "no wheel for CPython 3.8"),
    ],
)
def test_which_wheels_there_are(
    runtime: str, changes: dict[str, Any], expected: list[str] | str
) -> None:
    found, reason = requirements(runtime, python(**changes))
    if isinstance(expected, str):
        assert found == [] and reason is not None and expected in reason
    else:
        assert (found, reason) == (expected, None)


def test_lines_that_install() -> None:
    line, reason = install_line("tflite-runtime", python())
    assert line == "python3 -m pip install 'tflite-runtime==2.14.0' 'numpy<2'"
    assert reason is None
    debian = pip_line(["numpy"], python(managed=True))
    assert debian == (
        "python3 -m venv --system-site-packages ~/edgekd-venv && "
        "~/edgekd-venv/bin/pip install numpy"
    )


def test_the_user_s_file_reaches_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_CONFIG", str(tmp_path))
    (tmp_path / "devices.toml").write_text(
        '[devices.mine]\ntransport = "tests.bench.test_doctor:Pi"\nruntimes = ["litert"]\n'
    )
    report = doctor("mine")
    assert (report.device, report.usable) == ("mine", True)
