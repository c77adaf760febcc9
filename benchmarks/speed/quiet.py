"""Whether the machine was left alone while something was measured.

Two threads that wait for each other at every operation become several times slower when a third
wants a core. So a turn that somebody else has disturbed is measured again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_STAT = Path("/proc/stat")

Report = dict[str, float]


def busy_seconds() -> float | None:
    """Return the CPU seconds that all cores have worked since boot; None where nobody tells.

    Time that a hypervisor took away counts as work.
    """
    try:
        line = _STAT.read_text().splitlines()[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *others = (int(field) for field in line.split()[1:9])
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


class Patience:
    """How long to wait for a quiet machine, in all.

    Args:
        seconds: spent on waiting and on turns that were disturbed, until every turn counts.
        share: of a turn's time that others may have worked.
    """

    def __init__(self, seconds: float, share: float = 0.05) -> None:
        """Nothing is spent yet."""
        self.left = seconds
        self.share = share
        self.disturbed = 0

    def measured(self, take_turn: Callable[[], Report]) -> Report:
        """Take a turn until one is undisturbed or patience is at its end.

        Args:
            take_turn: returns at least ``seconds`` and ``cpu_seconds``.

        Returns:
            Its report, and ``others_cpu_seconds``: what others have worked meanwhile.
        """
        while True:
            self._wait()
            before = busy_seconds()
            told = take_turn()
            after = busy_seconds()
            if before is None or after is None:
                return told
            others = max(0.0, after - before - told["cpu_seconds"])
            told["others_cpu_seconds"] = others
            if self.left <= 0 or others <= self.share * told["seconds"]:
                return told
            self.left -= told["seconds"]
            self.disturbed += 1

    def _wait(self) -> None:
        """Wait until all cores idle."""
        while self.left > 0:
            before, began = busy_seconds(), time.perf_counter()
            time.sleep(0.3)
            after, waited = busy_seconds(), time.perf_counter() - began
            if before is None or after is None or after - before <= self.share * waited:
                return
            self.left -= waited
