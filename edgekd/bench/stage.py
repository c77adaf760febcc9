"""The verb: measure files on devices."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from edgekd.bench.compare import compare
from edgekd.bench.config import find_reach
from edgekd.bench.devices import Device, load_device
from edgekd.bench.fleet import visit_all
from edgekd.bench.options import Options
from edgekd.bench.settings import Settings, settings_for
from edgekd.bench.shared import Found, Shared
from edgekd.bench.subjects import Subject, find
from edgekd.bench.visit import Visit
from edgekd.errors import (
    MeasurementError,
    MissingError,
    MissingExtraError,
    MissingRuntimeError,
    ModelFileError,
    RunError,
)
from edgekd.records import Measurement
from edgekd.rundir import Run
from edgekd.transports.reach import Reach

Say = Callable[[str], None]


def benchmark(
    *sources: str | Path | Run | None,
    devices: Sequence[str | Path] | None = None,
    threads: int | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    options: Options | None = None,
    say: Say | None = None,
    measured: Callable[[Measurement], None] | None = None,
) -> list[Measurement]:
    """Measure latency, memory, accuracy and agreement with the teacher.

    Every file runs in a fresh process. One that fails, or kills its process, gives a measurement
    with ``status="failed"``; the others go on. Measurements of a run are written into it.
    This machine is measured first and alone, then all other devices side by side.

    Args:
        sources: runs (open, path or id), or model files; none: the newest run.
        devices: names or TOML files; None: those of the run's recipe, else ``cpu``.
        threads: threads of the runtime; None: those of the run's recipe, else of the device.
        out: a folder to write the measurements of bare files to.
        settings: how long to measure, and so on; None: as the device needs it.
        options: what to measure, and where the device is reached.
        say: is told what is being measured.
        measured: gets each measurement as soon as it is there, before devices are compared.

    Returns:
        the measurements, device by device in the order given.

    Raises:
        RunError: a run cannot be found or trusted.
        UnknownNameError: there is no such device.
        ModelFileError: none of the files is of any use.
        MissingError: a device cannot be reached, or has nothing that could run any of the files.
        MeasurementError: the options do not go with the devices.
        StorageError: a measurement cannot be written.
    """
    subjects = [subject for source in sources or (None,) for subject in find(source)]
    options = options or Options()
    plan: dict[str, tuple[Device, list[Subject]]] = {}
    for subject in subjects:
        for name in dict.fromkeys(map(str, devices or _devices(subject))):
            if name not in plan:
                plan[name] = (load_device(name, say=say), [])
            plan[name][1].append(subject)
    places = _places([device for device, _ in plan.values()], options)
    shared = Shared(
        options,
        threads,
        out=None if out is None else Path(out),
        say=say,
        measured=measured,
    )
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        if len(plan) > 1:
            shared.folder = Path(folder)
        visits = [
            Visit(device, reach, group, options.settings(settings or settings_for(device)), shared)
            for (device, group), reach in zip(plan.values(), places, strict=True)
        ]
        visit_all(visits)
        found = [one for visit in visits for one in visit.found]
        compared = compare(found)
    for before, after in zip(found, compared, strict=True):
        if after is not before:
            shared.write(after, again=True)
    _refuse_if_useless(compared, subjects)
    return [one.measurement for one in compared]


def _devices(subject: Subject) -> Sequence[str]:
    return subject.run.recipe.benchmark.devices if subject.run else ("cpu",)


def _places(devices: Sequence[Device], options: Options) -> list[Reach]:
    """Find out where all devices are reached, before anything is measured."""
    given = [
        f"--{name} {value}"
        for name, value in (("address", options.address), ("serial", options.serial))
        if value is not None
    ]
    if given and len(devices) != 1:
        raise MeasurementError(
            f"{' '.join(given)}: it says where one device is reached, and there are {len(devices)}",
            hint="Name one --device, or write the addresses into ~/.config/edgekd/devices.toml.",
        )
    return [
        find_reach(device, address=options.address, serial=options.serial) for device in devices
    ]


def _refuse_if_useless(found: Sequence[Found], subjects: Sequence[Subject]) -> None:
    """Raise what was wrong where nothing could be measured, for want of a file or a device."""
    if not found:
        if any(subject.kind == "factory" for subject in subjects) and find_spec("torch") is None:
            raise MissingExtraError("a run without exported files", extra="train", package="torch")
        raise RunError(
            "there is nothing to measure on these devices", hint="Export a file: edgekd export"
        )
    errors = [one.error for one in found if one.error is not None]
    if len(errors) < len(found):
        return
    if all(error is errors[0] for error in errors):
        useless = isinstance(errors[0], ModelFileError | MissingError) or not found[0].tried
        if len(errors) == 1 and not useless:
            return
        raise errors[0]
    if not all(isinstance(error, ModelFileError | MissingError) for error in errors):
        return
    lines = "\n".join(f"  {text}" for text in dict.fromkeys(error.message for error in errors))
    text = f"none of the {len(errors)} files could be measured\n{lines}"
    if all(isinstance(error, MissingError) for error in errors):
        raise MissingRuntimeError(text, hint=errors[0].hint)
    raise ModelFileError(text)
