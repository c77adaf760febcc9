"""What all devices of one call have in common, and what comes of each file."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.bench.options import Options
from edgekd.bench.scores import Kept
from edgekd.bench.subjects import Subject
from edgekd.bench.testset import TestSets
from edgekd.errors import EdgekdError
from edgekd.records import Measurement
from edgekd.rundir import write_record

Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """What came of one file on one device.

    Attributes:
        subject: the file.
        measurement: its record.
        error: why it failed.
        kept: its class scores.
        tried: the device was there for it.
    """

    subject: Subject
    measurement: Measurement
    error: EdgekdError | None = None
    kept: Kept | None = None
    tried: bool = True


@dataclass
class Shared:
    """What all devices of one call have in common.

    Attributes:
        options: what the user asks.
        threads: threads of the runtime; None: those of the run's recipe, else of the device.
        out: a folder for the measurements of bare files.
        folder: for class scores, while the call lasts; None: they are not kept.
        say: is told what is being measured; called by one thread at a time.
        measured: gets each measurement as soon as it is there; called by one thread at a time.
        tests: the test splits.
        stopped: set by Ctrl-C: no device is tried again.
    """

    options: Options
    threads: int | None = None
    out: Path | None = None
    folder: Path | None = None
    say: Say | None = None
    measured: Callable[[Measurement], None] | None = None
    tests: TestSets = field(default_factory=TestSets)
    stopped: threading.Event = field(default_factory=threading.Event)
    _written: set[Path] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, text: str) -> None:
        """Say something."""
        if self.say is not None:
            with self._lock:
                self.say(text)

    def done(self, found: Found, *, write: bool = True) -> None:
        """Write a measurement, and pass it on."""
        with self._lock:
            if write:
                self.write(found)
            if self.measured is not None:
                self.measured(found.measurement)

    def write(self, found: Found, *, again: bool = False) -> None:
        """Write a measurement where it belongs, if anywhere.

        Args:
            found: what was measured.
            again: the same measurement was written before.
        """
        run, record = found.subject.run, found.measurement
        folder = self.out if run is None else run.measurements_dir
        if folder is None:
            return
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{record.device}--{record.artifact}")
        path = folder / f"{name}.json"
        own = folder / f"{name}-{(record.model_sha256 or '')[:8]}.json"
        if record.model_sha256 and (own in self._written if again else path in self._written):
            path = own  # two bare files of one name: keep both
        self._written.add(path)
        write_record(path, record)
