"""How a device is reached: copy a file there, run a command, copy a file back.

A transport is one file and one row here. `edgekd.transports.base.Transport` says what it gives.
"""

from __future__ import annotations

from edgekd.registry import Row, Table

TRANSPORTS = Table(
    "transport",
    [
        Row(
            "local",
            "edgekd.transports.local:LocalTransport",
            "this machine; every command in a process of its own",
        ),
        Row(
            "ssh",
            "edgekd.transports.ssh:SshTransport",
            "a Linux board, or any machine behind sshd, by the system's ssh",
        ),
        Row(
            "adb",
            "edgekd.transports.adb:AdbTransport",
            "an Android phone, by the system's adb",
        ),
        Row(
            "fake",
            "edgekd.transports.fake:FakeTransport",
            "no device at all: a function answers; for tests",
        ),
    ],
)
