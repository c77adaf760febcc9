"""From a device and where it is reached to a transport."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from edgekd.bench.devices import Device
from edgekd.registry import table
from edgekd.transports.base import Transport
from edgekd.transports.reach import Reach

Say = Callable[[str], None]


def connect(
    device: Device, reach: Reach, *, wait: float | None = None, say: Say | None = None
) -> Transport:
    """Reach a device.

    Args:
        device: which one.
        reach: where.
        wait: seconds to wait for it while somebody else measures on it; None: the transport's
            own choice.
        say: is told that it waits.

    Raises:
        MissingDeviceError: it cannot be reached at all.
        TransportError: it refuses.
    """
    factory = table("transport").resolve(device.transport)
    # A transport without a lock, such as a user's own, takes neither of these.
    wished = {"wait": wait, "say": say}
    known = signature(factory).parameters
    given: dict[str, Any] = {
        name: value for name, value in wished.items() if value is not None and name in known
    }
    transport: Transport = factory(reach, **given)
    return transport
