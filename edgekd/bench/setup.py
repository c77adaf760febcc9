"""Brings runtimes to a device, on request only: wheels from here, in a folder of edgekd's own.

pip runs here and downloads for the device's processor, C library and Python; the device needs no
network and no pip. The wheels are unpacked below ``~/.local/share/edgekd/runtime`` there (or below
the folder that the user's file names), where the agent looks first. Nothing of the system's
packages changes, and `remove` takes all of it away again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd import format as fmt
from edgekd.bench.devices import Device
from edgekd.bench.probe import Found, Probe, Python, ask
from edgekd.bench.wheels import platforms, requirements
from edgekd.errors import MeasurementError, MissingRuntimeError, TransportError
from edgekd.transports.base import Transport

Say = Callable[[str], None]

#: What is put on a device where the user names nothing.
TFLITE = ("litert", "tflite-runtime")
ONNX = ("onnxruntime",)

# Runs on the device with its Python alone: unpacks wheels beside the place, then takes it at once.
_INSTALL = r"""
import json, os, shutil, sys, zipfile
place, wheels = sys.argv[1], sys.argv[2:]
fresh, old = place + ".new", place + ".old"
for folder in (fresh, old):
    shutil.rmtree(folder, ignore_errors=True)
os.makedirs(fresh)
try:
    root = os.path.realpath(fresh)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                parts = info.filename.split("/")
                if parts[0].endswith(".data"):
                    if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
                        continue  # scripts, headers: nothing that is imported
                    parts = parts[2:]
                target = os.path.realpath(os.path.join(fresh, *parts))
                if target != root and not target.startswith(root + os.sep):
                    raise ValueError("%s leads out of its wheel" % info.filename)
                if info.is_dir():
                    os.makedirs(target, exist_ok=True)
                    continue
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(info) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink)
    with open(os.path.join(fresh, "edgekd.json"), "w") as sink:
        json.dump({"wheels": [os.path.basename(w) for w in wheels]}, sink)
    if os.path.isdir(place):
        os.rename(place, old)
    os.rename(fresh, place)
    shutil.rmtree(old, ignore_errors=True)
except BaseException as error:
    shutil.rmtree(fresh, ignore_errors=True)
    if os.path.isdir(old) and not os.path.isdir(place):
        os.rename(old, place)
    sys.exit("%s: %s" % (type(error).__name__, error))
"""

# Prints the bytes that are free where the folder will be.
_FREE = r"""
import os, shutil, sys
place = os.path.abspath(sys.argv[1])
while not os.path.isdir(place):
    place = os.path.dirname(place)
print(shutil.disk_usage(place).free)
"""

_REMOVE = r"""
import os, shutil, sys
place = sys.argv[1]
if not os.path.isfile(os.path.join(place, "edgekd.json")):
    print("nothing")
    sys.exit(0)
shutil.rmtree(place)
print("removed")
try:
    os.rmdir(os.path.dirname(place))
except OSError:
    pass
"""


@dataclass(frozen=True)
class Plan:
    """What would be installed on a device.

    Attributes:
        python: the device's interpreter.
        folder: where the wheels are unpacked, on the device.
        runtimes: names.
        skipped: runtimes that there is no wheel of, and why.
        download: arguments of pip, here, without the folder.
    """

    python: Python
    folder: str
    runtimes: tuple[str, ...]
    skipped: dict[str, str]
    download: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What would be done, in words."""
        named = ", ".join(self.runtimes)
        found = [
            f"{named} for Python {self.python.version} on {self.python.machine}",
            f"here: pip {' '.join(self.download)}",
            f"on the device: unpacked into {self.folder}",
        ]
        return [*found, *(f"left out: {why}" for why in self.skipped.values())]


def plan(device: Device, transport: Transport, runtimes: Sequence[str] | None = None) -> Plan:
    """Ask a device what it is; decide what to bring there.

    Args:
        device: which.
        transport: the way to it.
        runtimes: what the user asks for; None: the first TFLite runtime of the profile that there
            is a wheel of, and onnxruntime.

    Raises:
        MissingRuntimeError: there is no Python on the device, or no wheel for it.
        TransportError: the device could not be reached.
    """
    found = ask(transport, ())
    python = found.python
    if python is None:
        raise MissingRuntimeError(
            f"{device.name} has no Python: {found.no_python}",
            hint="Runtimes for Python need it. docs/devices.md says what runs without.",
        )
    wanted, skipped = _choose(device, python, runtimes)
    if not wanted:
        reasons = "\n".join(f"  {why}" for why in skipped.values())
        raise MissingRuntimeError(f"there is nothing to install on {device.name}\n{reasons}")
    names = {need for name in wanted for need in requirements(name, python)[0]}
    return Plan(
        python=python,
        folder=python.own,
        runtimes=tuple(wanted),
        skipped=skipped,
        download=_pip_arguments(sorted(names), python, found),
    )


def _choose(
    device: Device, python: Python, runtimes: Sequence[str] | None
) -> tuple[list[str], dict[str, str]]:
    asked: Sequence[str] = runtimes or device.runtimes
    reasons = {name: requirements(name, python)[1] for name in asked}
    skipped = {name: why for name, why in reasons.items() if why is not None}
    if runtimes is not None:
        return [name for name in runtimes if name not in skipped], skipped
    there = [name for name in asked if name not in skipped]
    first = [name for name in there if name in TFLITE][:1]
    chosen = [*first, *(name for name in there if name in ONNX)]
    return chosen, {name: why for name, why in skipped.items() if name in (*TFLITE, *ONNX)}


def _pip_arguments(names: list[str], python: Python, found: Probe) -> tuple[str, ...]:
    """Return the arguments of ``pip download`` for the device's platform."""
    glibc = python.glibc or (2, 17)
    arguments = ["download", "--only-binary=:all:", "--implementation", "cp"]
    arguments += ["--python-version", ".".join(map(str, python.minor))]
    for platform in platforms(python.machine, glibc):
        arguments += ["--platform", platform]
    if python.machine == "armv7l":
        # PyPI has no NumPy for it: the system's own is used.
        names = [name for name in names if not name.startswith("numpy")]
        arguments.append("--no-deps")
        if found.numpy.error is not None:
            raise MissingRuntimeError(
                "the device has no NumPy, and PyPI has none for a 32-bit Arm",
                hint="On the device: sudo apt install python3-numpy",
            )
    return (*arguments, *names)


def install(plan: Plan, transport: Transport, *, say: Say) -> dict[str, Found]:
    """Download, push and unpack; return which runtimes the device can import then.

    What an earlier setup put there is replaced, in one step: an interrupted one changes nothing.

    Raises:
        MeasurementError: pip failed, or the device has no room.
        TransportError: the device vanished, or could not unpack.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-wheels-") as folder:
        say("downloading " + ", ".join(plan.runtimes))
        wheels = _download(plan, Path(folder))
        need = sum(_unpacked(wheel) + wheel.stat().st_size for wheel in wheels)
        _check_room(plan, transport, need)
        say(f"copying {len(wheels)} wheels, {fmt.size(need)} with what is unpacked")
        remote = [transport.put(wheel) for wheel in wheels]
        argv = [plan.python.command, "-c", _INSTALL, plan.folder, *remote]
        done = transport.run(argv, timeout=1800)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TransportError(f"the device could not unpack the wheels: {said}")
    say("importing them")
    return ask(transport, plan.runtimes, timeout=300).runtimes


def remove(transport: Transport) -> str | None:
    """Take away what `install` put on a device; return the folder, or None: there was nothing.

    Raises:
        MissingRuntimeError: there is no Python on the device.
        TransportError: it could not be removed.
    """
    python = ask(transport, ()).python
    if python is None:
        raise MissingRuntimeError("the device has no Python, so nothing was installed for it")
    done = transport.run([python.command, "-c", _REMOVE, python.own], timeout=300)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TransportError(f"{python.own} could not be removed: {said}")
    return python.own if done.stdout.strip() == "removed" else None


def _download(plan: Plan, folder: Path) -> list[Path]:
    argv = [sys.executable, "-m", "pip", *plan.download, "--dest", str(folder), "--quiet"]
    argv += ["--disable-pip-version-check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-5:])
        raise MeasurementError(
            f"pip could not download {', '.join(plan.runtimes)}\n{said}",
            hint="Is this machine connected? --runtime chooses other ones.",
        )
    return sorted(folder.glob("*.whl"))


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(info.file_size for info in archive.infolist())


def _check_room(plan: Plan, transport: Transport, need: int) -> None:
    done = transport.run([plan.python.command, "-c", _FREE, plan.folder], timeout=60)
    try:
        free = int(json.loads(done.stdout))
    except ValueError:
        return  # it will be told when it is full
    if free < need:
        raise MeasurementError(
            f"{plan.folder}: {fmt.size(free)} free on the device, and {fmt.size(need)} are needed",
            hint="Name a folder with more room in devices.toml: folder = ...",
        )
