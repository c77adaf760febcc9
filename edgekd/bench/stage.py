"""The verb: measure files on devices."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from edgekd.bench.devices import Device, load_device
from edgekd.bench.measure import measure
from edgekd.bench.protocol import Settings
from edgekd.bench.result import Bench, failed
from edgekd.bench.scores import TestSet, load_test_set
from edgekd.bench.subjects import FACTORY, Subject, find
from edgekd.errors import (
    EdgekdError,
    MissingError,
    MissingExtraError,
    MissingRuntimeError,
    ModelFileError,
)
from edgekd.records import Measurement, Network, Preprocess
from edgekd.registry import table
from edgekd.rundir import Run, teacher_name, write_record
from edgekd.transports.base import Transport

Say = Callable[[str], None]

_NO_LABELS = "no labels: a bare file without a run"


def benchmark(
    *sources: str | Path | Run | None,
    devices: Sequence[str | Path] | None = None,
    threads: int | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    say: Say | None = None,
) -> list[Measurement]:
    """Measure latency, memory, accuracy and agreement with the teacher.

    Every file runs in a fresh process. One that fails, or kills its process, gives a measurement
    with ``status="failed"``; the others go on. Measurements of a run are written into it.

    Args:
        sources: runs (open, path or id), or model files; none: the newest run.
        devices: names or TOML files; None: those of the run's recipe, else ``cpu``.
        threads: threads of the runtime; None: those of the run's recipe, else of the device.
        out: a folder to write the measurements of bare files to.
        settings: how long to measure, and so on.
        say: is told what is being measured.

    Raises:
        RunError: a run cannot be found or trusted.
        UnknownNameError: there is no such device.
        ModelFileError: none of the files is of any use.
        MissingError: nothing that could run any of them is there.
        StorageError: a measurement cannot be written.
    """
    subjects = [subject for source in sources or (None,) for subject in find(source)]
    stage = _Stage(settings or Settings(), threads, None if out is None else Path(out), say)
    plan: dict[str, tuple[Device, list[Subject]]] = {}
    for subject in subjects:
        for name in devices or _devices(subject):
            if str(name) not in plan:
                plan[str(name)] = (load_device(name), [])
            plan[str(name)][1].append(subject)
    for device, group in plan.values():
        stage.measure(device, group)
    stage.refuse_if_useless()
    return stage.measurements


def _devices(subject: Subject) -> Sequence[str]:
    return subject.run.recipe.benchmark.devices if subject.run else ("cpu",)


@dataclass
class _Stage:
    """What goes through the measurements of one call."""

    settings: Settings
    threads: int | None
    out: Path | None
    say: Say | None
    measurements: list[Measurement] = field(default_factory=list)
    errors: list[EdgekdError] = field(default_factory=list)
    _tests: dict[tuple[Path, bool], TestSet | str] = field(default_factory=dict)
    _written: set[Path] = field(default_factory=set)

    def measure(self, device: Device, subjects: Sequence[Subject]) -> None:
        """Measure files on a device, one after the other."""
        transport: Transport = table("transport").resolve(device.transport)()
        bench = Bench(device, transport, self.settings)
        with contextlib.closing(transport):
            for index, subject in enumerate(subjects):
                if subject.skip is not None:
                    self._tell(f"{subject.name}: not measured, {subject.skip}")
                    continue
                if subject.kind == FACTORY and not _has_torch(device):
                    self._tell(f"{subject.name}: not measured, PyTorch is not installed")
                    continue
                if subject.kind == "executorch" and device.transport != "local":
                    self._tell(
                        f"{subject.name}: not measured, ExecuTorch runs on this machine only"
                    )
                    continue
                self._tell(f"{device.name}: {subject.name} ({index + 1} of {len(subjects)})")
                found = self._one(subject, bench)
                self.measurements.append(found)
                self._write(subject, found)

    def _one(self, subject: Subject, bench: Bench) -> Measurement:
        threads = self.threads or (
            subject.run.recipe.benchmark.threads if subject.run else bench.device.threads
        )
        try:
            return measure(subject, bench, threads=threads, test=self._test(subject))
        except EdgekdError as error:
            self.errors.append(error)
            return failed(subject, bench, threads, error)

    def _test(self, subject: Subject) -> TestSet | str:
        """Return the test split, loaded once a run, or why there is none."""
        if subject.run is None:
            return _NO_LABELS
        manifest = subject.artifact.manifest if subject.artifact else None
        if manifest and manifest.segment and manifest.exit != 1:
            return "it goes on from an earlier segment: edgekd exits"
        network = subject.run.manifest.networks.get(subject.path.name)
        if network is not None and _other_classes(subject.run, subject.name):
            return "its classes are in another order than the data's: edgekd evaluate"
        student = subject.run.manifest.networks.get(subject.run.student_path.name)
        # Most teachers see the samples as the student does: those are loaded once.
        own = network if network and student and _sees(network) != _sees(student) else None
        raw = manifest is not None and manifest.embed_preprocess
        key = (subject.run.path if own is None else subject.path, raw)
        if key not in self._tests:
            try:
                self._tests[key] = load_test_set(subject.run, own, raw=raw)
            except EdgekdError as error:
                reason = error.message.splitlines()[0]
                self._tests[key] = f"the run's data cannot be loaded: {reason}"
        return self._tests[key]

    def _write(self, subject: Subject, found: Measurement) -> None:
        folder = self.out if subject.run is None else subject.run.measurements_dir
        if folder is None:
            return
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{found.device}--{found.artifact}")
        path = folder / f"{name}.json"
        if path in self._written and found.model_sha256:
            # Two bare files of one name: keep both.
            path = folder / f"{name}-{found.model_sha256[:8]}.json"
        self._written.add(path)
        write_record(path, found)

    def refuse_if_useless(self) -> None:
        """Raise what was wrong where no file could be measured for want of a usable one."""
        if not self.measurements:
            raise MissingExtraError("a run without exported files", extra="train", package="torch")
        wrong = (ModelFileError, MissingError)
        if not self.errors or len(self.errors) < len(self.measurements):
            return
        if not all(isinstance(error, wrong) for error in self.errors):
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        lines = "\n".join(f"  {error.message}" for error in self.errors)
        text = f"none of the {len(self.errors)} files could be measured\n{lines}"
        if all(isinstance(error, MissingError) for error in self.errors):
            raise MissingRuntimeError(text, hint=self.errors[0].hint)
        raise ModelFileError(text)

    def _tell(self, text: str) -> None:
        if self.say is not None:
            self.say(text)


def _sees(network: Network) -> tuple[str, Preprocess]:
    return network.input, network.preprocess


def _other_classes(run: Run, name: str) -> bool:
    """Say whether a network is a teacher that knows the classes by another order, or others."""
    for number, spec in enumerate(run.recipe.every_teacher):
        if teacher_name(number) == name:
            return bool(spec.classes) and spec.classes != run.manifest.classes
    return False


def _has_torch(device: Device) -> bool:
    """Say whether the networks of a run themselves can be run on a device."""
    local = device.transport == "local"
    return "torch" in device.runtimes and local and find_spec("torch") is not None
