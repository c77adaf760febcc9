"""Several devices at once: which wait for which, and what Ctrl-C does."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edgekd.bench.visit import Visit

#: Seconds that devices get to clean up after Ctrl-C.
_CLEAN_UP_S = 20.0


def visit_all(visits: Sequence[Visit]) -> None:
    """Visit devices: this machine first and alone, then all others side by side.

    Copying to devices, and running emulated ones, takes this machine's processor: its own
    latencies are measured before any of that begins.

    Args:
        visits: one a device.

    Raises:
        KeyboardInterrupt: after every device was told to stop, and had time to clean up.
        StorageError: a measurement cannot be written; the other devices were finished first.
    """
    here = [visit for visit in visits if visit.device.transport == "local"]
    away = [visit for visit in visits if visit.device.transport != "local"]
    for visit in here:
        visit.run()
    if len(away) == 1:
        away[0].run()  # in this thread, which Ctrl-C interrupts at once
    elif away:
        _side_by_side(away)


def _side_by_side(visits: Sequence[Visit]) -> None:
    errors: list[BaseException] = []

    def run(visit: Visit) -> None:
        try:
            visit.run()
        except BaseException as error:
            errors.append(error)

    # Daemons: a device that does not even answer its clean-up must not keep the process alive.
    threads = [
        threading.Thread(target=run, args=(visit,), name=visit.device.name, daemon=True)
        for visit in visits
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # a join without end would hold Ctrl-C back on some systems
    except KeyboardInterrupt:
        _stop(visits, threads)
        raise
    if errors:
        raise errors[0]


def _stop(visits: Sequence[Visit], threads: Sequence[threading.Thread]) -> None:
    """End what runs on the devices, each in its own time but all at once."""
    for visit in visits:
        visit.shared.stopped.set()
    closing = [threading.Thread(target=visit.stop, daemon=True) for visit in visits]
    for thread in closing:
        thread.start()
    for thread in (*closing, *threads):
        thread.join(_CLEAN_UP_S)
