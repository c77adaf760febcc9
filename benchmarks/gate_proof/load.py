"""Bursty load: ``python -m benchmarks.gate_proof.load``. Ends when its standard input is closed.

Each core gets a process, bound to it, that works for a while and rests for a while; both times are
drawn anew each time, from 20 ms to 1.5 s.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Process

from benchmarks.speed.turns import REPOSITORY, environment


@contextlib.contextmanager
def bursts() -> Iterator[None]:
    """Keep the load up."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gate_proof.load"],
        cwd=REPOSITORY,
        env=environment(),
        stdin=subprocess.PIPE,
    )
    try:
        time.sleep(1.0)  # its own start is no load that anybody asked for
        yield
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def work(seed: int) -> None:
    """Work and rest in turn, as long as the parent lives."""
    import numpy as np

    if hasattr(os, "sched_setaffinity"):
        # Unbound, all of them gather on the core that is measured as soon as another one is busy.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[seed % len(cores)]})
    chance, parent = random.Random(seed), os.getppid()
    matrix = np.ones((256, 256), np.float32)
    while os.getppid() == parent:
        end = time.monotonic() + chance.choice((0.02, 0.1, 0.4, 1.5)) * chance.random()
        while time.monotonic() < end:
            matrix = np.tanh(matrix @ matrix)
        time.sleep(chance.choice((0.02, 0.1, 0.4, 1.5)) * chance.random())


def main() -> None:
    """Start the workers, wait for the end of standard input, stop them."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    workers = [Process(target=work, args=(n,), daemon=True) for n in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    sys.stdin.buffer.read()
    for worker in workers:
        worker.terminate()
        worker.join()


if __name__ == "__main__":
    main()
