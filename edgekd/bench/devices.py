"""Devices: frozen data, one TOML file each, nothing about any of them in code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from edgekd.bench import config
from edgekd.emulation.spec import Emulation
from edgekd.errors import EdgekdError, MeasurementError, RecipeError, UnknownNameError
from edgekd.recordbase import Record
from edgekd.toml import read_toml
from edgekd.transports import TRANSPORTS

#: In an installed package the profiles stand beside the code, in a checkout at its top.
_INSTALLED = Path(__file__).parent.parent / "devices_builtin"
_CHECKOUT = Path(__file__).parent.parent.parent / "devices"

RuntimeName = Literal["litert", "tflite-runtime", "tensorflow", "onnxruntime", "torch"]


class Device(Record):
    """A profile of a device: what it is, how it is reached, how it is kept steady.

    Attributes:
        name: the name of its file.
        description: one line that says what it is.
        arch: what its Python calls the processor, e.g. ``aarch64``; None: any. Another one is
            noted as a warning.
        transport: a row of the table of transports, or an import path.
        runtimes: those that may be used, in order of preference.
        threads: threads of a runtime where neither the user nor a recipe says.
        affinity: cores to bind a measurement to, the best first, as many as it has threads;
            empty: one thread to the last allowed core.
        governor: the frequency governor that it should have; another one is noted as a warning.
        cooldown: seconds to rest before each measurement.
        max_temperature: degrees Celsius to fall below before each measurement.
        power_watts: what the whole device typically draws while it computes, in watts; energy is
            estimated from it where nothing measures it.
        emulated: latencies mean nothing; results, errors and instructions do.
        emulation: the box that `edgekd devices up` builds it in.
    """

    name: str
    description: str = ""
    arch: str | None = None
    transport: str = "local"
    runtimes: Annotated[tuple[RuntimeName, ...], Field(min_length=1)]
    threads: Annotated[int, Field(gt=0)] = 1
    affinity: tuple[Annotated[int, Field(ge=0)], ...] = ()
    governor: str | None = None
    cooldown: Annotated[float, Field(ge=0)] = 0.0
    max_temperature: float | None = None
    power_watts: Annotated[float, Field(gt=0)] | None = None
    emulated: bool = False
    emulation: Emulation | None = None


def builtin_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with edgekd, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def device_names() -> tuple[str, ...]:
    """Return the names of all devices, the user's own among them, sorted.

    Raises:
        MeasurementError: the user's file cannot be used.
    """
    return tuple(sorted({*builtin_names(), *config.entries()}))


def builtin_profile(name: str) -> Device:
    """Read a profile that comes with edgekd, whatever the user's file says of it.

    Raises:
        UnknownNameError: there is no such profile.
    """
    if name not in builtin_names():
        raise UnknownNameError("device", name, builtin_names())
    return _device({"name": name, **_read(_builtin(name))}, _builtin(name))


def load_device(name: str | Path, *, say: Callable[[str], None] | None = None) -> Device:
    """Read a profile.

    Args:
        name: a name, or the path of a TOML file.
        say: is told where the user's file changes a profile that comes with edgekd.

    Raises:
        UnknownNameError: there is no such device, or its transport is unknown.
        MeasurementError: the file is not a profile; every fault is told.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return _device({"name": path.stem, **_read(path)}, path)
    raw, source = _profile(str(name), ())
    if say is not None and str(name) in builtin_names() and source != _builtin(str(name)):
        own = config.entries()[str(name)]
        changed = ", ".join(sorted(own.profile)) or f"its base, {own.base}"
        say(f"{name}: {source} changes what comes with edgekd: {changed}")
    return _device({**raw, "name": str(name)}, source)


def _profile(name: str, asked: tuple[str, ...]) -> tuple[dict[str, Any], Path]:
    """Return the keys of a profile and the file that had the last word on them."""
    entry = config.entries().get(name)
    if entry is None or (not entry.profile and entry.base is None and name in builtin_names()):
        if name not in builtin_names():
            raise UnknownNameError("device", name, device_names())
        return _read(_builtin(name)), _builtin(name)
    base = entry.base or (name if name in builtin_names() else None)
    under: Mapping[str, Any] = {}
    if base in asked:
        raise _no_profile(config.path(), [f"devices.{name}.base: {base!r} leads back to {name!r}"])
    if base == name and base in builtin_names():
        under = _read(_builtin(base))
    elif base is not None:
        under, _ = _profile(base, (*asked, name))
    return {**under, **entry.profile}, config.path()


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except RecipeError as error:
        raise _no_profile(path, error.faults) from error


def _device(raw: dict[str, Any], source: Path) -> Device:
    try:
        device = Device.model_validate(raw)
    except ValidationError as error:
        known = tuple(Device.model_fields)
        where = ""
        if source == config.path():
            known = (*known, *config.REACH_KEYS, config.BASE_KEY)
            where = f"devices.{raw['name']}."
        raise _no_profile(source, [where + _fault(e, known) for e in error.errors()]) from error
    if ":" not in device.transport:
        TRANSPORTS.row(device.transport)
    return device


def _no_profile(source: Path, faults: Sequence[str]) -> MeasurementError:
    lines = "\n".join(f"  {fault}" for fault in faults)
    return MeasurementError(
        f"{source} is no device profile\n{lines}",
        hint="A profile that works: edgekd devices show cpu",
    )


def faults_in(value: Any) -> list[str]:
    """Return what is wrong with a recipe's ``benchmark.devices``, each with its index."""
    found = []
    for index, name in enumerate(value if isinstance(value, list | tuple) else ()):
        if not isinstance(name, str):
            continue  # a wrong type is reported by the recipe itself
        try:
            load_device(name)
        except EdgekdError as error:
            found.append(f"[{index}]: {error.message}. {error.hint or ''}".rstrip())
    return found


def _folder() -> Path:
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def _builtin(name: str) -> Path:
    return _folder() / f"{name}.toml"


def _fault(error: Any, known: tuple[str, ...]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return config.fault(key, known)
    if key == "runtimes" and error["type"] == "missing":
        return f'{key}: needed; or name a device to start from: base = "cpu"'
    return f"{key}: {error['msg']}"
