"""How a file is measured: how often, how long, and what besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgekd.bench.devices import Device


@dataclass(frozen=True)
class Settings:
    """How a file is measured.

    Attributes:
        warmup_runs: untimed inferences, at least.
        warmup_seconds: and at least this long.
        min_runs: timed inferences, at least.
        min_seconds: and at least this long.
        max_seconds: but no longer than this, however few there are; the warm-up a third of it.
        max_samples: where inferences are so short that ``min_seconds`` holds many more, only every
            k-th is timed.
        pin: bind a measurement of one thread to one core.
        seed: of random inputs.
        chunk: samples at once for accuracy, where the file leaves that free.
        timeout: seconds after which a process is given up.
        energy: read the sensors of power, where the device has any.
    """

    warmup_runs: int = 10
    warmup_seconds: float = 0.3
    min_runs: int = 100
    min_seconds: float = 1.0
    max_seconds: float = 30.0
    max_samples: int = 10_000
    pin: bool = True
    seed: int = 0
    chunk: int = 64
    timeout: float = 900.0
    energy: bool = True


#: On a board or a phone the clock and the heat take longer to settle than on this machine.
DEVICE_SECONDS = 10.0


def settings_for(device: Device) -> Settings:
    """Return how a file is measured on a device where nobody says otherwise.

    Inferences are timed for 1 s on this machine, and for 10 s elsewhere.
    """
    if device.transport == "local" or device.emulated:
        return replace(Settings(), energy=not device.emulated)
    return replace(Settings(), min_seconds=DEVICE_SECONDS)
