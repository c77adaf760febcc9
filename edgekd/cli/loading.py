"""Loading a stage when its command runs."""

from __future__ import annotations

from typing import Any

from edgekd.registry import load_target


def stage(target: str, what: str, *, extra: str) -> Any:
    """Import the function of a stage.

    Raises:
        MissingExtraError: a package of its extra is not installed.
    """
    return load_target(target, what=what, extra=extra)
