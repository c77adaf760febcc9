"""Devices: frozen data, one TOML file each, nothing about any of them in code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

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
        affinity: cores to bind a measurement to; empty: one thread to the last allowed core.
        governor: the frequency governor that it should have; another one is noted as a warning.
        cooldown: seconds to rest before each measurement.
        max_temperature: degrees Celsius to fall below before each measurement.
        emulated: latencies mean nothing; results and errors do.
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
    emulated: bool = False


def device_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with edgekd, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def load_device(name: str | Path) -> Device:
    """Read a profile.

    Args:
        name: a name, or the path of a TOML file.

    Raises:
        UnknownNameError: there is no such device, or its transport is unknown.
        MeasurementError: the file is not a profile; every fault is told.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in device_names():
            raise UnknownNameError("device", str(name), device_names())
        path = _folder() / f"{name}.toml"
    try:
        device = Device.model_validate({"name": path.stem, **read_toml(path)})
    except (RecipeError, ValidationError) as error:
        faults = "\n".join(f"  {fault}" for fault in _faults(error))
        raise MeasurementError(
            f"{path} is no device profile\n{faults}",
            hint="A profile that works: edgekd devices show cpu",
        ) from error
    if ":" not in device.transport:
        TRANSPORTS.row(device.transport)
    return device


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


def _faults(error: RecipeError | ValidationError) -> list[str]:
    if isinstance(error, RecipeError):
        return list(error.faults)
    return [_fault(".".join(str(part) for part in e["loc"]), e["msg"]) for e in error.errors()]


def _fault(key: str, message: str) -> str:
    from difflib import get_close_matches

    if key in Device.model_fields:
        return f"{key}: {message}"
    close = get_close_matches(key, Device.model_fields, n=1)
    if "Extra inputs" not in message:
        return f"{key}: {message}"
    return f"{key}: unknown key" + (f"; did you mean {close[0]!r}?" if close else "")
