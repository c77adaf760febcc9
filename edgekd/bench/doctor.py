"""Looks at a device and says whether files can be measured on it, and what would make it better."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from edgekd import format as fmt
from edgekd.bench import hardware
from edgekd.bench.config import find_reach
from edgekd.bench.connect import connect
from edgekd.bench.devices import Device, load_device
from edgekd.bench.probe import Found, Probe, ask
from edgekd.bench.wheels import install_line, pip_line
from edgekd.errors import MissingDeviceError, TransportError
from edgekd.records_devices import DeviceReport, RuntimeState
from edgekd.records_distill import Finding
from edgekd.transports.base import Transport

OLDEST_PYTHON = (3, 9)

#: A runtime, a model of a few megabytes and its samples want about this much, in bytes.
LOW_DISK = 200_000_000
FULL_DISK = 10_000_000
LOW_MEMORY = 100_000_000

#: Which runtimes run which files, for a sentence.
_FORMATS = {
    "TFLite": ("litert", "tflite-runtime", "tensorflow"),
    "ONNX": ("onnxruntime",),
}


_ABSENT = "not installed"


def doctor(
    device: str | Path | Device,
    *,
    address: str | None = None,
    serial: str | None = None,
    say: Callable[[str], None] | None = None,
) -> DeviceReport:
    """Look at a device.

    Args:
        device: a name, a TOML file, or the profile itself.
        address: where it is, instead of what the user's file says.
        serial: likewise, for adb.
        say: is told what goes on.

    Returns:
        what was found; ``reachable`` is False where nothing could be asked, and why is among the
        findings.

    Raises:
        UnknownNameError: there is no such device.
        MeasurementError: its profile or the user's file cannot be used.
    """
    profile = device if isinstance(device, Device) else load_device(device, say=say)
    reach = find_reach(profile, address=address, serial=serial)
    try:
        with contextlib.closing(connect(profile, reach, say=say)) as transport:
            return examine(profile, transport)
    except (MissingDeviceError, TransportError) as error:
        message = f"{error.message}. {error.hint}" if error.hint else error.message
        return DeviceReport(
            device=profile.name,
            transport=profile.transport,
            emulated=profile.emulated,
            reachable=False,
            findings=(Finding(check="reached", status="fail", message=message),),
        )


def examine(device: Device, transport: Transport) -> DeviceReport:
    """Look at a device that is reached.

    Raises:
        TransportError: it vanished.
    """
    here = device.transport == "local"
    wanted = [name for name in device.runtimes if name != "torch" or here]
    found = ask(transport, wanted)
    report = _report(device, found)
    return report.model_copy(update={"findings": tuple(_findings(device, found, report))})


def _report(device: Device, found: Probe) -> DeviceReport:
    """Put the facts together."""
    texts = found.sections
    cores = hardware.processors(texts.get("cpuinfo", ""))
    total, available = hardware.memory(texts.get("meminfo", ""))
    properties = hardware.properties(texts.get("getprop", ""))
    system = texts.get("system", "").strip() or None
    model = texts.get("model", "").strip() or hardware.board(texts.get("cpuinfo", ""))
    if properties:
        system = f"Android {properties.get('ro.build.version.release', '?')}"
        model = properties.get("ro.product.model")
    python = found.python
    return DeviceReport(
        device=device.name,
        transport=device.transport,
        reachable=True,
        emulated=device.emulated,
        model=model,
        system=system,
        machine=python.machine if python else texts.get("machine", "").strip() or None,
        libc=texts.get("libc", "").strip() or None,
        cores=hardware.core_groups(cores, texts.get("cpufreq", "")),
        features=hardware.features(cores),
        memory_bytes=total,
        available_memory_bytes=available,
        temperature_c=hardware.temperature(texts.get("thermal", "")),
        throttling=(
            *hardware.throttling(texts.get("throttled", "")),
            *hardware.android_throttling(texts.get("thermalservice", "")),
        ),
        free_disk_bytes=hardware.free_disk(texts.get("disk", "")),
        python=python.version if python else None,
        numpy=found.numpy.version,
        runtimes=tuple(_runtime(name, state, found) for name, state in found.runtimes.items()),
    )


def _runtime(name: str, state: Found, found: Probe) -> RuntimeState:
    if state.error is None or found.python is None:
        return RuntimeState(name=name, version=state.version)
    line, why = install_line(name, found.python)
    error = _ABSENT if state.error.startswith("ModuleNotFoundError") else state.error
    return RuntimeState(name=name, error=f"{error}: {why}" if why else error, install=line)


def _findings(device: Device, found: Probe, report: DeviceReport) -> Iterator[Finding]:
    what = ", ".join(part for part in (report.model, report.system, report.machine) if part)
    yield _ok("reached", f"by {device.transport}: {what or 'it tells nothing of itself'}")
    if report.emulated:
        yield _ok("emulated", "results, errors and instructions count; latencies mean nothing")
    if device.arch and report.machine and report.machine != device.arch:
        bits = " (a 32-bit system)" if report.machine == "armv7l" else ""
        text = f"the profile says {device.arch}, and this is {report.machine}{bits}"
        yield _warn("architecture", text)
    yield from _processor(device, report)
    yield _memory(report)
    yield from _heat(device, report)
    yield _disk(report)
    yield from _python(device, found)
    if found.python is not None and found.numpy.error is None:
        yield from _runtimes(device, report)


def _processor(device: Device, report: DeviceReport) -> Iterator[Finding]:
    if not report.cores:
        yield _warn("processor", "the system does not say")
        return
    kinds = []
    for group in report.cores:
        speed = f" up to {group.max_mhz:.0f} MHz" if group.max_mhz else ""
        kinds.append(f"{len(group.cores)}x {group.name}{speed}")
    sets = f"; {', '.join(report.features)}" if report.features else ""
    yield _ok("processor", ", ".join(kinds) + sets)
    there = {core for group in report.cores for core in group.cores}
    missing = sorted(set(device.affinity) - there)
    if missing:
        yield _warn("affinity", f"the profile binds to cores {missing}, which are not there")
    governors = sorted({group.governor for group in report.cores if group.governor})
    if device.governor and governors and governors != [device.governor]:
        command = f"echo {shlex.quote(device.governor)} | sudo tee"
        text = f"{', '.join(governors)}, not {device.governor}: latencies will vary. On the device:"
        files = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        yield _warn("governor", f"{text} {command} {files}")
    elif device.governor and not governors and not report.emulated:
        yield _warn("governor", f"the system does not say whether it is {device.governor}")
    elif governors:
        yield _ok("governor", ", ".join(governors))


def _memory(report: DeviceReport) -> Finding:
    if report.memory_bytes is None or report.available_memory_bytes is None:
        return _warn("memory", "the system does not say")
    free, total = fmt.size(report.available_memory_bytes), fmt.size(report.memory_bytes)
    text = f"{free} of {total} available"
    if report.available_memory_bytes < LOW_MEMORY:
        return _warn("memory", f"{text}: a larger model will be killed")
    return _ok("memory", text)


def _heat(device: Device, report: DeviceReport) -> Iterator[Finding]:
    limit, now = device.max_temperature, report.temperature_c
    if now is not None and limit is not None and now > limit:
        text = f"{now:.1f} C, above {limit:g} C: measurements wait until it is cooler"
        yield _warn("temperature", text)
    elif now is not None:
        yield _ok("temperature", f"{now:.1f} C")
    elif not report.emulated:
        yield _warn("temperature", "the system does not say: heat will not be noticed")
    for text in report.throttling:
        yield _warn("throttling", text)


def _disk(report: DeviceReport) -> Finding:
    if report.free_disk_bytes is None:
        return _warn("disk", "the system does not say how much is free")
    text = f"{fmt.size(report.free_disk_bytes)} free where files are copied to"
    if report.free_disk_bytes < FULL_DISK:
        where = "Give another folder in devices.toml: folder = ..."
        return _fail("disk", f"{text}: too little for a model. {where}")
    if report.free_disk_bytes < LOW_DISK:
        return _warn("disk", text)
    return _ok("disk", text)


def _python(device: Device, found: Probe) -> Iterator[Finding]:
    python = found.python
    if python is None:
        text = f"there is none: {found.no_python}"
        if device.transport == "adb":
            # Not a fault of the phone: other ways are there.
            yield _warn("python", text)
        else:
            yield _fail("python", f"{text}. Install Python 3.9 or newer, or name it: python = ...")
        return
    if python.minor < OLDEST_PYTHON:
        least = ".".join(map(str, OLDEST_PYTHON))
        text = f"{python.version} is too old: the agent needs {least} or newer"
        yield _fail("python", f"{text}. Name another one in devices.toml: python = ...")
        return
    yield _ok("python", f"{python.version} ({python.command}, {python.implementation})")
    if found.numpy.error is not None:
        line = pip_line(["numpy"], python)
        if python.machine not in ("aarch64", "x86_64"):
            line = "sudo apt install python3-numpy"  # PyPI has no wheel for it
        fix = f"On the device: {line}; or from here: edgekd devices setup {device.name}"
        yield _fail("numpy", f"{found.numpy.error}. {fix}")
    else:
        yield _ok("numpy", found.numpy.version or "unknown")


def _runtimes(device: Device, report: DeviceReport) -> Iterator[Finding]:
    there = [state.name for state in report.runtimes if state.error is None]
    for state in report.runtimes:
        instead = _instead(state.name, there)
        if state.error is None:
            yield _ok(state.name, state.version or "unknown")
        elif instead is not None and state.error.startswith(_ABSENT):
            yield _ok(state.name, f"{_ABSENT}, nor needed: {instead} runs the same files")
        else:
            yield _warn(state.name, _missing(device, state))
    if not there:
        yield _fail("runtimes", "none of the profile's runtimes is there: nothing can be measured")
        return
    for kind, runtimes in _FORMATS.items():
        if set(runtimes) & set(device.runtimes) and not set(runtimes) & set(there):
            yield _warn("runtimes", f"no runtime for {kind} files")


def _instead(name: str, there: list[str]) -> str | None:
    """Return another runtime that is there and runs the same files."""
    same = {other for runtimes in _FORMATS.values() if name in runtimes for other in runtimes}
    return next((other for other in there if other in same and other != name), None)


def _missing(device: Device, state: RuntimeState) -> str:
    """Say what a runtime lacks, and the line that installs it."""
    if state.install is None:
        return str(state.error)
    text = f"{state.error}. On the device: {state.install}"
    if device.transport == "local":
        return text
    return f"{text}; or from here: edgekd devices setup {device.name} --runtime {state.name}"


def _ok(check: str, message: str) -> Finding:
    return Finding(check=check, status="ok", message=message)


def _warn(check: str, message: str) -> Finding:
    return Finding(check=check, status="warn", message=message)


def _fail(check: str, message: str) -> Finding:
    return Finding(check=check, status="fail", message=message)
