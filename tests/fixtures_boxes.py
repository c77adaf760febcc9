"""Emulated devices for tests with the mark ``device``: each is up once for the whole test run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from edgekd.emulation import boxes, state
from edgekd.errors import MissingDeviceError
from edgekd.transports.reach import Reach

# Never the user's own boxes. Root file systems stay there for the next test run.
os.environ.setdefault("EDGEKD_EMULATION", str(Path.home() / ".cache/edgekd-tests/emulation"))


def brought_up(name: str) -> Iterator[Reach]:
    """Bring a device up, or use it where another worker did; the last one takes it down.

    ``EDGEKD_REQUIRE_BOXES`` (set by ``make test-devices``): a host that cannot is a failure.
    """
    from edgekd.bench.devices import load_device

    emulation = load_device(name).emulation
    assert emulation is not None
    users = state.folder() / f"{name}.users"
    users.parent.mkdir(parents=True, exist_ok=True)
    with users.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            found = boxes.up(name, emulation, say=print)
        except MissingDeviceError as error:
            if os.environ.get("EDGEKD_REQUIRE_BOXES"):
                raise
            pytest.skip(str(error))
        try:
            yield found
        finally:
            if _nobody_else(file):
                boxes.down(name)


def _nobody_else(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture(scope="session")
def pi_box() -> Iterator[Reach]:
    """A Raspberry Pi 5 in a box: the device ``pi5-emulated`` is up."""
    yield from brought_up("pi5-emulated")


@pytest.fixture(scope="session")
def phone_box() -> Iterator[Reach]:
    """A phone in a box: the device ``phone-emulated`` is up."""
    yield from brought_up("phone-emulated")
