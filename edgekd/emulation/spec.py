"""What a profile says of a device that is emulated."""

from __future__ import annotations

from typing import Literal

from edgekd.recordbase import Record


class Emulation(Record):
    """The box that a device is built in; the table ``[emulation]`` of a profile.

    Attributes:
        kind: ``pi``: arm64 Debian behind sshd; ``phone``: behind adbd.
        cpu: the processor as QEMU names it, e.g. ``cortex-a76``.
        suite: the release of Debian that the root file system is made of.
        packages: Python packages, whose wheels are put into the root; a bare name: the version
            that is installed here. Empty: LiteRT, onnxruntime and NumPy.
    """

    kind: Literal["pi", "phone"]
    cpu: str
    suite: str = "bookworm"
    packages: tuple[str, ...] = ()
