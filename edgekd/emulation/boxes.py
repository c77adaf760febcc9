"""Emulated devices come up and go down; one at a time each."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgekd.emulation import leftovers, state, wheels
from edgekd.emulation.spec import Emulation
from edgekd.errors import MeasurementError
from edgekd.storage import process_lock
from edgekd.transports.reach import Reach

Say = Callable[[str], None]

#: Folders of `state.folder` that are no device's.
_OURS = ("roots", "downloads", "bundles")


def up(name: str, emulation: Emulation, *, say: Say) -> Reach:
    """Bring a device up; one that is up already stays as it is.

    Args:
        name: its name: that of its profile.
        emulation: what it is made of. A box that was made of something else is restarted.
        say: gets a line before what takes long.

    Returns:
        how it is reached.

    Raises:
        MissingDeviceError: this machine lacks what a box needs.
        MeasurementError: it cannot be built or does not start.
    """
    emulation = emulation.model_copy(update={"packages": wheels.pinned(emulation.packages)})
    with _locked(name):
        noted = state.read(name)
        found = state.reach(name)
        if noted is not None and found is not None:
            if noted.spec == emulation.to_json(indent=None):
                return found
            say(f"{name} is made of something else by now: restarting it")
        leftovers.clear(name)
        if emulation.kind == "phone":
            from edgekd.emulation import phone

            return phone.up(name, emulation, say=say)
        from edgekd.emulation import pi

        return pi.up(name, emulation, say=say)


def down(name: str) -> bool:
    """Take a device down and clear away all of it, also after a crash; its root file system stays.

    Returns:
        whether there was anything to clear away.
    """
    if not state.device_folder(name).is_dir():
        return False
    with _locked(name):
        return leftovers.clear(name)


def remove_roots() -> bool:
    """Remove the root file systems and what was downloaded for them.

    Returns:
        whether there were any.

    Raises:
        MeasurementError: a device that uses them is up.
    """
    up_now = [name for name in state.noted() if state.reach(name) is not None]
    if up_now:
        raise MeasurementError(
            f"{', '.join(up_now)} is up and uses them", hint="edgekd devices down --all"
        )
    there = False
    for name in _OURS:
        folder = state.folder() / name
        there = there or folder.is_dir()
        shutil.rmtree(folder, ignore_errors=True)
    return there


@contextmanager
def _locked(name: str) -> Iterator[None]:
    # The name becomes a folder beside those that boxes are built from, and a host name.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name) or name in _OURS:
        raise MeasurementError(
            f"an emulated device cannot be named {name!r}",
            hint="Use letters, digits, dots, dashes and underscores.",
        )
    with process_lock(state.folder() / f"{name}.lock", wait=True):
        yield
