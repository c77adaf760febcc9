"""What `edgekd devices doctor` finds out about a device."""

from __future__ import annotations

from edgekd.recordbase import Record, Versioned
from edgekd.records_distill import Finding


class CoreGroup(Record):
    """Cores of one kind.

    ``name`` is the core's, e.g. ``Cortex-A76``; frequencies are those that the governor may
    choose, in MHz; ``cores`` their numbers, as an affinity takes them.
    """

    name: str
    cores: tuple[int, ...]
    min_mhz: float | None = None
    max_mhz: float | None = None
    governor: str | None = None


class RuntimeState(Record):
    """A runtime on a device: its version, or why it cannot be imported and what installs it."""

    name: str
    version: str | None = None
    error: str | None = None
    install: str | None = None


class DeviceReport(Versioned):
    """What a device is and whether files can be measured on it.

    What could not be found out is None. Addresses and serial numbers are left out: a report may
    be published. ``features`` are instruction sets that kernels are chosen by; ``throttling``
    says in words what slows the device down, or has since it started. Memory and disk in bytes,
    the temperature in degrees Celsius; ``free_disk_bytes`` is that of the folder that files are
    copied to.
    """

    device: str
    transport: str
    reachable: bool
    emulated: bool = False
    model: str | None = None
    system: str | None = None
    machine: str | None = None
    libc: str | None = None
    cores: tuple[CoreGroup, ...] = ()
    features: tuple[str, ...] = ()
    memory_bytes: int | None = None
    available_memory_bytes: int | None = None
    temperature_c: float | None = None
    throttling: tuple[str, ...] = ()
    free_disk_bytes: int | None = None
    python: str | None = None
    numpy: str | None = None
    runtimes: tuple[RuntimeState, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether nothing was found that stops a measurement."""
        return all(finding.status != "fail" for finding in self.findings)
