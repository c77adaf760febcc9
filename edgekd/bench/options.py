"""What a user asks of one call of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from edgekd.bench.native.binary import Binary
from edgekd.bench.settings import Settings
from edgekd.errors import MeasurementError

Mode = Literal["latency", "accuracy", "both"]
Scenario = Literal["single-stream", "offline"]

#: Inferences that an emulator counts the instructions of.
COUNTED_RUNS = 10

#: An emulated device runs as many test samples as make about this many multiply-accumulates, a
#: minute or so of float32 convolutions under qemu on a desktop core, ...
_EMULATED_MACS = 1_000_000_000
#: ... but no fewer than this, and this many where the operations are not known.
_EMULATED_LEAST, _EMULATED_UNKNOWN = 100, 200


@dataclass(frozen=True)
class Options:
    """What is measured, for how long, and how.

    Attributes:
        mode: latency, accuracy, or both.
        samples: test samples for accuracy; 0: all; None: all, but on an emulated device as many
            as `samples_for` gives.
        seconds: timed inferences of each file last at least this long; None: as `Settings` says.
        runs: timed inferences, at least; None: as `Settings` says.
        scenario: one inference at a time, or batches for throughput.
        batch: samples of a batch where the file leaves it free; None: the agent's choice.
        soak: seconds of sustained load after the latency; 0: none.
        profile_ops: measure the operators one by one, too.
        binaries: benchmark programs to measure with instead of Python.
        bundle: bring a Python and the runtimes along, for a device that has none.
        address: where the one device is reached by ssh.
        serial: which of adb's devices it is.
        wait: seconds to wait for a device that somebody else measures on.
    """

    mode: Mode = "both"
    samples: int | None = None
    seconds: float | None = None
    runs: int | None = None
    scenario: Scenario = "single-stream"
    batch: int | None = None
    soak: float = 0.0
    profile_ops: bool = False
    binaries: tuple[Binary, ...] = ()
    bundle: bool = False
    address: str | None = None
    serial: str | None = None
    wait: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            MeasurementError: options that do not go together, or a number out of its range.
        """
        timed = {
            "--seconds": self.seconds,
            "--runs": self.runs,
            "--soak": self.soak or None,
            "--scenario offline": self.scenario == "offline" or None,
            "--profile-ops": self.profile_ops or None,
        }
        given = [name for name, value in timed.items() if value is not None]
        if self.mode == "accuracy" and given:
            raise MeasurementError(
                f"{', '.join(given)}: nothing is timed with --mode accuracy",
                hint="Use --mode latency or --mode both.",
            )
        self._refuse_with_programs()
        if self.mode == "latency" and self.samples is not None:
            raise MeasurementError("--samples: no test sample is run with --mode latency")
        if self.batch is not None and self.scenario != "offline":
            raise MeasurementError(
                "--batch: inferences are timed one by one", hint="Add --scenario offline."
            )
        for name, value in (("--seconds", self.seconds), ("--runs", self.runs)):
            if value is not None and not 0 < value < float("inf"):
                raise MeasurementError(f"{name} {value}: give a number above 0")

    def _refuse_with_programs(self) -> None:
        """Refuse what a benchmark program cannot do.

        Raises:
            MeasurementError: an option needs Python on the device.
        """
        needs_python = {
            "--mode accuracy": self.mode == "accuracy",
            "--samples": self.samples is not None,
            "--scenario offline": self.scenario == "offline",
            "--soak": self.soak > 0,
            "--bundle": self.bundle,
        }
        given = [name for name, is_given in needs_python.items() if is_given]
        if self.binaries and given:
            raise MeasurementError(
                f"{', '.join(given)}: a --binary measures latency and nothing else",
                hint="Leave --binary out where the device has Python.",
            )

    def settings(self, base: Settings) -> Settings:
        """Return settings with the user's durations."""
        changed: dict[str, Any] = {}
        if self.seconds is not None:
            changed["min_seconds"] = self.seconds
            changed["max_seconds"] = max(base.max_seconds, 3 * self.seconds)
        if self.runs is not None:
            changed["min_runs"] = self.runs
        if self.soak or changed:
            longer = changed.get("max_seconds", base.max_seconds) - base.max_seconds
            changed["timeout"] = base.timeout + longer + self.soak
        return replace(base, **changed)

    def request(self) -> dict[str, Any]:
        """Return the keys of the agent's request that are the user's choice."""
        return {
            "scenario": self.scenario,
            "batch": self.batch,
            "soak": self.soak,
            "profile_ops": self.profile_ops,
        }

    def samples_for(self, *, emulated: bool, macs: int | None) -> int | None:
        """Return how many test samples to run; None: all.

        An emulated device is hundreds of times slower: there the number follows from the work of
        one sample, so that it is the same in every call.

        >>> Options().samples_for(emulated=True, macs=12_500_000)
        100
        >>> Options().samples_for(emulated=True, macs=600_000)
        1666
        """
        if self.samples is not None or not emulated:
            return self.samples or None
        if not macs:
            return _EMULATED_UNKNOWN
        return max(_EMULATED_LEAST, _EMULATED_MACS // macs)
