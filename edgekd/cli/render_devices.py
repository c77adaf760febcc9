"""The table of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from edgekd.bench.devices import Device


def device_table(devices: Sequence[Device], states: Mapping[str, str]) -> Table:
    """Draw the known devices.

    Args:
        devices: their profiles.
        states: what is known of each without reaching for it, by name.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in ("device", "reached by", "state", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column != "what it is")
    for device in devices:
        table.add_row(device.name, device.transport, states[device.name], device.description)
    return table
