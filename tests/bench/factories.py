"""Factories for the agent: Python functions that stand for models."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np

RUNTIME = "toy"
VERSION = "1.2"
SPECS = [{"name": "x", "shape": [None, 4], "dtype": "float32"}]
MIB = 1 << 20

Made = tuple[Callable[[Any], Any], list[dict[str, Any]]]


def identity(argument: str, threads: int) -> Made:
    return lambda arrays: list(arrays), SPECS


def sleeper(argument: str, threads: int) -> Made:
    """Takes 30 ms the first time, then the milliseconds of the argument."""
    calls = [0]

    def predict(arrays: Any) -> Any:
        calls[0] += 1
        time.sleep(0.03 if calls[0] == 1 else float(argument) / 1000)
        return arrays

    return predict, SPECS


def busy(argument: str, threads: int) -> Made:
    """Takes the microseconds of the argument, without giving up its core."""

    def predict(arrays: Any) -> Any:
        until = time.perf_counter() + float(argument) / 1e6
        while time.perf_counter() < until:
            pass
        return arrays

    return predict, SPECS


def hoarder(argument: str, threads: int) -> Made:
    """Keeps 64 MiB of weights; needs 128 MiB more while it loads."""
    passing = np.ones(128 * MIB, np.uint8)
    weights = np.ones(64 * MIB, np.uint8)
    del passing
    return lambda arrays: [arrays[0] * weights[0]], SPECS


def suicide(argument: str, threads: int) -> Made:
    """Kills its process with the signal named by the argument, when it is run."""

    def predict(arrays: Any) -> Any:
        os.kill(os.getpid(), getattr(signal, argument))
        time.sleep(10)

    return predict, SPECS


def noisy(argument: str, threads: int) -> Made:
    def predict(arrays: Any) -> Any:
        os.write(1, b'{"schema": "edgekd.run/0"} {not json\nhalf a line')
        return arrays

    return predict, SPECS


def exiting(argument: str, threads: int) -> Made:
    raise SystemExit("I would rather leave")


def words(argument: str, threads: int) -> Made:
    return lambda arrays: list(arrays), [{"name": "x", "shape": [1], "dtype": "str"}]
