"""Releases of runtimes as budgets write them: ``TensorFlow Lite 2.14``."""

from __future__ import annotations

import re

#: As `edgekd.modelfile.runtime_versions` has them, which needs NumPy to be imported.
RUNTIMES = ("TensorFlow Lite", "LiteRT", "onnxruntime")

_RELEASE = re.compile(r"(.+?) (\d+(?:\.\d+){0,3})")


def parse_release(text: str) -> tuple[int, tuple[int, ...]]:
    """Return the place of a runtime in `RUNTIMES`, and its version without zeros at the end.

    Raises:
        ValueError: it is no release of these runtimes.

    >>> parse_release("TensorFlow Lite 2.14.0") < parse_release("LiteRT 1.0")
    True
    """
    found = _RELEASE.fullmatch(text)
    if found is None or found[1] not in RUNTIMES:
        raise ValueError(f"should be a runtime and its version, e.g. {RUNTIMES[0]!r} and 2.14")
    numbers = [int(part) for part in found[2].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return RUNTIMES.index(found[1]), tuple(numbers)


def same_kind(ours: str, theirs: str) -> bool:
    """Say whether two releases run the same format: LiteRT goes on from TensorFlow Lite."""
    return ours.startswith("onnxruntime") == theirs.startswith("onnxruntime")
