"""Loading a stage when its command runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgekd.registry import load_target


def stage(target: str, what: str, *, extra: str) -> Any:
    """Import the function of a stage.

    Raises:
        MissingExtraError: a package of its extra is not installed.
        KeyboardInterrupt: Ctrl-C was pressed meanwhile.
    """
    with interrupts_held():
        return load_target(target, what=what, extra=extra)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a while, and let it go afterwards.

    Large packages that are interrupted half-way through their import fail in ways of their own:
    with an attribute that is missing, or a recursion without end.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are not for us
        yield
        return
    pressed = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
