"""Where a device is reached: what its profile never says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Reach:
    """Where and how one device is reached. A transport takes what concerns it.

    Attributes:
        address: ``user@host[:port]``, or a host of the user's own ssh configuration.
        serial: the serial number that adb lists it under.
        adb_port: the port of the adb server that knows it; None: the user's own server.
        python: the interpreter on the device; None: the transport's own choice.
        folder: the folder on the device that work folders are made in; None: the transport's own.
        ssh_config: a configuration of ssh to read instead of the user's.
        environment: variables that every command on the device gets.
    """

    address: str | None = None
    serial: str | None = None
    adb_port: int | None = None
    python: str | None = None
    folder: str | None = None
    ssh_config: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
