"""One device and the files that are measured on it, one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from edgekd.bench.bundle import Bundled
from edgekd.bench.connect import connect
from edgekd.bench.devices import Device
from edgekd.bench.measure import Course, Work, concluded, measure
from edgekd.bench.native.binary import of_kind
from edgekd.bench.null_memory import Nulls
from edgekd.bench.result import Bench, failed
from edgekd.bench.scores import Scores
from edgekd.bench.settings import Settings
from edgekd.bench.shared import Found, Shared
from edgekd.bench.subjects import FACTORY, Subject
from edgekd.errors import (
    DeviceGoneError,
    EdgekdError,
    MissingDeviceError,
    StorageError,
    TransportError,
)
from edgekd.transports.base import Transport
from edgekd.transports.reach import Reach


class Visit:
    """One device, from the connection to the last file.

    A device that vanishes is reached once more for the file at hand. If that is of no use, the
    rest of its files are given up; other devices go on.

    Args:
        device: the device.
        reach: where it is reached.
        subjects: the files.
        settings: how long to measure, and so on.
        shared: what all devices have in common.

    Attributes:
        found: what came of the files, in order.
    """

    def __init__(
        self,
        device: Device,
        reach: Reach,
        subjects: Sequence[Subject],
        settings: Settings,
        shared: Shared,
    ) -> None:
        """Leave out what cannot be run there, and say so."""
        self.device = device
        self.found: list[Found] = []
        self._reach = reach
        self._settings = settings
        self.shared = shared
        self._transport: Transport | None = None
        self._nulls: Nulls = {}
        self._subjects = list(self._usable(subjects))

    def run(self) -> None:
        """Measure every file; `found` holds what came of them.

        Raises:
            StorageError: a measurement cannot be written.
        """
        if not self._subjects:
            return
        try:
            self._connect()
        except EdgekdError as error:
            self._give_up(self._subjects, error)
            return
        try:
            for index, subject in enumerate(self._subjects):
                if self.shared.stopped.is_set():
                    return
                self._tell(f"{subject.name} ({index + 1} of {len(self._subjects)})")
                found = self._one(subject)
                if self.shared.stopped.is_set() and found.error is not None:
                    return  # it did not fail, it was stopped
                self.found.append(found)
                self.shared.done(found)
                lost = isinstance(found.error, DeviceGoneError | MissingDeviceError)
                if found.error is not None and (lost or self._transport is None):
                    gone = DeviceGoneError(f"not tried: the device {self.device.name!r} is gone")
                    self._give_up(self._subjects[index + 1 :], gone)
                    return
        finally:
            self.close()

    def stop(self) -> None:
        """End the visit from another thread: the command that runs there ends with an error."""
        self.shared.stopped.set()
        self.close()

    def close(self) -> None:
        """Let the device go. May be called twice."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        try:
            transport.close()
        except DeviceGoneError:
            pass  # nothing can be removed from a device that is gone, and that it is gone was said
        except TransportError as error:
            self._tell(f"could not be left as it was found: {error.message}")

    def _connect(self) -> None:
        self._transport = connect(
            self.device, self._reach, wait=self.shared.options.wait, say=self._tell
        )
        # A device whose interpreter is named, such as an emulated phone, keeps that.
        if self.shared.options.bundle and self._reach.python is None:
            self._transport = Bundled(self._transport, say=self._tell)

    def _connect_again(self, lost: DeviceGoneError) -> None:
        try:
            self._connect()
        except EdgekdError as error:
            raise DeviceGoneError(
                f"{lost.message}; the second try: {error.message}", hint=error.hint
            ) from error

    def _one(self, subject: Subject) -> Found:
        """Measure a file; where the device vanishes, once more."""
        threads = self.shared.threads or (
            subject.run.recipe.benchmark.threads if subject.run else self.device.threads
        )
        keep = self.shared.folder
        if keep is not None:
            keep = keep / f"{self.device.name}-{len(self.found)}.scores"
        work = Work(subject, threads, self.shared.tests.of(subject), self.shared.options, keep)
        course = Course()
        try:
            try:
                return self._attempt(work, course)
            except DeviceGoneError as error:
                if self.shared.stopped.is_set():
                    raise
                self._tell(f"{subject.name}: {error.message}; trying once more")
                self.close()
                self._connect_again(error)
                return self._attempt(work, course)
        except StorageError:
            raise
        except EdgekdError as error:
            return self._failure(work, course, error)

    def _attempt(self, work: Work, course: Course) -> Found:
        measurement, kept = measure(work, self._bench(), course, self._tell)
        return Found(work.subject, measurement, kept=kept)

    def _failure(self, work: Work, course: Course, error: EdgekdError) -> Found:
        """Return the record of a failure, with what was measured before it."""
        record = failed(work.subject, self._bench(), work.threads, error)
        if course.reply is not None:
            none = Scores.none(error.message.splitlines()[0])
            # What failed may be the very record of that reply.
            with contextlib.suppress(EdgekdError):
                known = concluded(work, self._bench(), course, none)
                record = known.model_copy(update={"status": "failed", "error": record.error})
        return Found(work.subject, record, error)

    def _bench(self) -> Bench:
        # A record of a failure asks nothing of the transport.
        return Bench(self.device, self._transport, self._settings, self._nulls)  # type: ignore[arg-type]

    def _give_up(self, subjects: Sequence[Subject], error: EdgekdError) -> None:
        """Note files that were never tried; what was measured of them before is left alone."""
        for subject in subjects:
            threads = self.shared.threads or self.device.threads
            record = failed(subject, self._bench(), threads, error)
            found = Found(subject, record, error, tried=False)
            self.found.append(found)
            self.shared.done(found, write=False)

    def _usable(self, subjects: Sequence[Subject]) -> Iterator[Subject]:
        """Yield the files that can be run on the device; say why the others are not."""
        skipped: dict[str, list[str]] = {}
        for subject in subjects:
            reason = _why_not(subject, self.device) or self._no_program(subject)
            if reason is None:
                yield subject
            else:
                skipped.setdefault(reason, []).append(subject.name)
        for reason, names in skipped.items():
            self._tell(f"{', '.join(names)}: not measured, {reason}")

    def _no_program(self, subject: Subject) -> str | None:
        """Say that no --binary runs a file, where some are given."""
        binaries = self.shared.options.binaries
        if not binaries or subject.fault or of_kind(binaries, subject.kind):
            return None
        return f"no --binary runs it: {', '.join(b.program.name for b in binaries)}"

    def _tell(self, text: str) -> None:
        self.shared.tell(f"{self.device.name}: {text}")


def _why_not(subject: Subject, device: Device) -> str | None:
    if subject.skip is not None:
        return subject.skip
    local = device.transport == "local"
    if subject.kind == FACTORY:
        if not local or "torch" not in device.runtimes:
            return "PyTorch runs networks on this machine only"
        if find_spec("torch") is None:
            return "PyTorch is not installed"
    if subject.kind == "executorch" and not local:
        return "ExecuTorch runs on this machine only"
    return None
