"""Flatbuffers read by the numbers of their fields, for formats that have no Python package.

A table begins with the way back to its own list of fields, which says for every field how far
behind the table's begin it stands; 0: left out. Every place is held against the size of the file.
"""

from __future__ import annotations

import struct

from edgekd.modelfile.tflite_bounded import Bounded, DamageError

#: Formats of `struct` -> the bytes of one number.
_SIZES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4}


class Table:
    """One table of a flatbuffer.

    Args:
        content: the flatbuffer.
        start: where the table begins.
        budget: what may still be read, shared by all tables of the file.
    """

    def __init__(self, content: memoryview, start: int, budget: Bounded) -> None:
        """Find the list of fields."""
        self._content = content
        self._start = start
        self._budget = budget
        budget.charge(1)
        self._fields = start - self._number("i", start)
        self._length = self._number("H", self._fields)

    @classmethod
    def root(cls, content: memoryview) -> Table:
        """Return the outermost table of a flatbuffer."""
        (start,) = struct.unpack_from("<I", content)
        return cls(content, int(start), Bounded(len(content)))

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """Return a number.

        Args:
            field: its number, from 0 on.
            kind: its format in the package ``struct``.
            default: where the field is left out.
        """
        place = self._place(field)
        return default if place is None else self._number(kind, place)

    def numbers(self, field: int, kind: str) -> tuple[int, ...]:
        """Return a vector of numbers; () where it is left out."""
        begin, count = self._vector(field)
        self._inside(begin, count * _SIZES[kind])
        self._budget.charge(count)
        return struct.unpack_from(f"<{count}{kind}", self._content, begin)

    def bytes(self, field: int) -> memoryview:
        """Return a vector of bytes."""
        begin, count = self._vector(field)
        self._inside(begin, count)
        return self._content[begin : begin + count]

    def text(self, field: int) -> str:
        """Return a text; "" where it is left out."""
        found = bytes(self.bytes(field))
        return self._budget.text(found)

    def table(self, field: int) -> Table | None:
        """Return a table; None where it is left out."""
        place = self._place(field)
        return None if place is None else self._at(self._target(place))

    def tables(self, field: int) -> list[Table]:
        """Return a vector of tables."""
        begin, count = self._vector(field)
        self._budget.charge(count)
        return [self._at(self._target(begin + 4 * index)) for index in range(count)]

    def _at(self, start: int) -> Table:
        return Table(self._content, start, self._budget)

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._length:
            return None
        behind = self._number("H", self._fields + entry)
        return self._start + behind if behind else None

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        begin = self._target(place)
        return begin + 4, self._number("I", begin)

    def _target(self, place: int) -> int:
        return place + self._number("I", place)

    def _number(self, kind: str, place: int) -> int:
        self._inside(place, _SIZES[kind])
        (found,) = struct.unpack_from(f"<{kind}", self._content, place)
        return int(found)

    def _inside(self, place: int, size: int) -> None:
        if place < 0 or place + size > len(self._content):
            raise DamageError("it points outside of itself")
