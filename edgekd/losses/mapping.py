"""Which of the teacher's layers each of the student's layers learns from."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd.errors import EdgekdError


def uniform_mapping(students: int, teachers: int) -> list[int]:
    """Return a teacher layer for every student layer, at the same relative depth.

    The uniform strategy of TinyBERT (Jiao et al. 2020, https://arxiv.org/abs/1909.10351, section
    4.2): layer m of M learns from layer n(m) = m N / M of N. Where M does not divide N, n(m) is
    rounded up, so that the last layer always learns from the last.

    Args:
        students: M, at least 1.
        teachers: N, at least 1; where it is below M, some layers share a teacher.

    Returns:
        M indices, counted from 0.

    Raises:
        EdgekdError: there are no layers.

    Example:
        >>> uniform_mapping(4, 12)
        [2, 5, 8, 11]
        >>> uniform_mapping(2, 3), uniform_mapping(3, 2)
        ([1, 2], [0, 1, 1])
    """
    if students < 1 or teachers < 1:
        raise EdgekdError(f"{students} student and {teachers} teacher layers cannot be paired")
    return [-(-(index + 1) * teachers // students) - 1 for index in range(students)]


def uniform_pairs(students: Sequence[str], teachers: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of names at the same relative depth; see `uniform_mapping`.

    Args:
        students: the student's layers, from the input on.
        teachers: the teacher's.

    Example:
        >>> uniform_pairs(["a0", "a1"], ["b0", "b1", "b2", "b3"])
        [('a0', 'b1'), ('a1', 'b3')]
    """
    chosen = uniform_mapping(len(students), len(teachers))
    return [(name, teachers[index]) for name, index in zip(students, chosen, strict=True)]
