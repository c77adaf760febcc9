"""Devices in a box: a Raspberry Pi and a phone out of Debian packages, reachable here only."""

from edgekd.emulation.boxes import down, up

__all__ = ["down", "up"]
