"""Reading from a file no more than it can hold; see ``tflite``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

#: Elements read in all, in multiples of the file's size: vectors may be shared, but not that often.
_MOST_SHARING = 4


class DamageError(Exception):
    """Something in the file contradicts the rest of it."""


class Bounded:
    """Counts what is read of a file.

    Args:
        size: of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        """Grant a budget: vectors may be shared, and small files have tables beside them."""
        self._left = _MOST_SHARING * size + 4096

    def charge(self, count: int) -> int:
        """Return a count, once it is held against what is left.

        Raises:
            DamageError: the file cannot hold so much.
        """
        self._left -= count
        if self._left < 0:
            raise DamageError("its lengths add up to more than the file holds")
        return count

    def tables(self, length: Callable[[], int], item: Callable[[int], Any]) -> Iterator[Any]:
        """Yield the items of a vector."""
        for index in range(self.charge(length())):
            yield item(index)

    def text(self, raw: bytes | None) -> str:
        """Return a text; "" where there is none."""
        self.charge(len(raw or b""))
        return (raw or b"").decode("utf-8", "replace")

    def numbers(self, values: Any) -> tuple[Any, ...]:
        """Turn what ``...AsNumpy`` gives (0 where there is no vector) into a tuple."""
        if not isinstance(values, np.ndarray):
            return ()
        self.charge(len(values))
        return tuple(values.tolist())
