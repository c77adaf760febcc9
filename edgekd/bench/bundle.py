"""Experimental: a device without Python gets one for as long as it is measured.

`edgekd.emulation.bundle` builds it, from packages of Debian and wheels. It was run on a phone in a
box, whose kernel lets everything through that the bundle's C library asks for; a real phone's may
not. The bundle lies in the transport's own folder and goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgekd.emulation import bundle
from edgekd.errors import MeasurementError, TransportError
from edgekd.transports.base import Completed, Transport

Say = Callable[[str], None]

_MACHINES = ("aarch64", "arm64", "arm64-v8a")
_UNPACKING_S = 600.0
_STARTING_S = 120.0
_PROOF = "edgekd: this Python runs"


class Bundled:
    """A transport whose Python is the bundle's.

    Args:
        transport: the way to the device. It is closed where the bundle cannot be brought there.
        say: gets a line before what takes long.
        archive: the bundle as ``.tar.gz``; None: the one that is built here.

    Raises:
        MissingDeviceError: this machine cannot build the bundle.
        MeasurementError: the device has another processor, or cannot run it.
        TransportError: the device has no room for it; DeviceGoneError: it vanished.
    """

    def __init__(self, transport: Transport, *, say: Say, archive: Path | None = None) -> None:
        """Bring the bundle to the device and see whether it runs there."""
        self._transport = transport
        self._home = f"{transport.folder}/python"
        try:
            self._refuse_other_machines()
            if archive is None:
                archive = bundle.archive(bundle.build(say=say))
            say(f"bringing a Python of {archive.stat().st_size / 1e6:.0f} MB to it")
            self._install(archive)
        except BaseException:  # Ctrl-C as well: the device is left as it was found
            transport.close()
            raise

    @property
    def folder(self) -> str:
        """The transport's."""
        return self._transport.folder

    @property
    def python(self) -> str:
        """The bundle's; `run` starts it by its own loader."""
        return f"{self._home}/bin/python3"

    def put(self, source: Path) -> str:
        """Bring a file to the device; return its path there."""
        return self._transport.put(source)

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command; `python` gets what it needs to find itself."""
        if argv and argv[0] == self.python:
            argv = [*bundle.environment(self._home), *bundle.command(self._home), *argv[1:]]
        return self._transport.run(argv, timeout=timeout)

    def get(self, remote: str, target: Path) -> None:
        """Bring a file back."""
        self._transport.get(remote, target)

    def facts(self) -> dict[str, str]:
        """Return what the way itself tells of the device, and that it has a bundle."""
        return {**self._transport.facts(), "bundle": "experimental"}

    def close(self) -> None:
        """Remove what was left on the device, the bundle as well."""
        self._transport.close()

    def _refuse_other_machines(self) -> None:
        machine = self._transport.facts().get("machine")
        if machine is not None and machine not in _MACHINES:
            raise MeasurementError(
                f"the bundle holds arm64 programs, and the device is {machine}",
                hint="Measure without --bundle: with a Python of the device's own, or a "
                "benchmark program.",
            )

    def _install(self, archive: Path) -> None:
        packed = self._transport.put(archive)
        for argv in (
            ["mkdir", "-p", self._home],
            ["tar", "-xzf", packed, "-C", self._home],
            ["rm", "-f", packed],
        ):
            done = self._transport.run(argv, timeout=_UNPACKING_S)
            if done.returncode or done.timed_out:
                raise TransportError(
                    f"the bundle cannot be unpacked on the device: {_said(done)}",
                    hint="It takes about 300 MB in the work folder while it is unpacked.",
                )
        done = self.run([self.python, "-c", f"print({_PROOF!r})"], timeout=_STARTING_S)
        if _PROOF not in done.stdout:
            raise MeasurementError(
                f"the bundle does not run on the device: {_said(done)}",
                hint="It is experimental. A benchmark program runs on every phone: see "
                "docs/android.md.",
            )


def _said(done: Completed) -> str:
    if done.timed_out:
        return "it took too long"
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"
