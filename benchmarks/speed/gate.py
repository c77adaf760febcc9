"""A worker's side of taking turns: it trains so many steps when told, then waits."""

from __future__ import annotations

import json
import os
import sys
import time


class Gate:
    """Counts steps; after the last one of a turn it reports and waits for the next turn.

    Args:
        warm_up: steps before the first report, not measured.
    """

    def __init__(self, warm_up: int) -> None:
        """Keep standard output for reports: whatever else is printed goes to standard error."""
        self._reports = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._left = warm_up
        self._began = time.perf_counter()
        self._began_cpu = time.process_time()

    def step(self) -> None:
        """Count a step. Ends the process when there are no more turns."""
        self._left -= 1
        if self._left:
            return
        report = {
            "seconds": time.perf_counter() - self._began,
            "cpu_seconds": time.process_time() - self._began_cpu,
        }
        self._reports.write(json.dumps(report) + "\n")
        self._reports.flush()
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # there is nothing to tidy up, and the loop would go on for ever
        self._left = int(line)
        self._began = time.perf_counter()
        self._began_cpu = time.process_time()
