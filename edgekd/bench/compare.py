"""One file on several devices: does it answer the same?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekd.bench.chunks import groups
from edgekd.bench.shared import Found
from edgekd.records import Measurement
from edgekd.records_bench import Compared
from edgekd.runtimes.codec import decode

#: Samples that are compared at once.
_AT_ONCE = 4096


def compare(found: Sequence[Found]) -> list[Found]:
    """Hold each file on each device against the same file on the first device that ran it.

    Args:
        found: what was measured, in the order of the table.

    Returns:
        the same, with ``compared`` in the records where there was something to compare.
    """
    first: dict[tuple[str, str], Found] = {}
    result = []
    for one in found:
        record = one.measurement
        if record.status != "ok" or record.model_sha256 is None:
            result.append(one)
            continue
        reference = first.setdefault((record.artifact, record.model_sha256), one)
        compared = None if reference is one else _held(one, reference)
        if compared is not None:
            record = record.model_copy(update={"compared": (compared,)})
            one = replace(one, measurement=record)
        result.append(one)
    return result


def _held(one: Found, other: Found) -> Compared | None:
    """Compare class scores or, of a file without labels, the one answer that was hashed."""
    hashes = one.measurement.environment.get("output_sha256")
    if one.kept is None and other.kept is None and hashes:
        same = hashes == other.measurement.environment.get("output_sha256")
        return _compared(one, other, samples=1, identical=int(same))
    if one.kept is None or other.kept is None or one.kept.classes != other.kept.classes:
        return None
    samples = np.intersect1d(one.kept.samples, other.kept.samples, assume_unique=True)
    if not len(samples):
        return None
    identical = same_class = 0
    largest = 0.0
    for part in groups(samples.tolist(), _AT_ONCE):
        wanted = np.asarray(part, dtype=np.int64)
        ours, theirs = one.kept.rows(wanted), other.kept.rows(wanted)
        if ours.dtype == theirs.dtype:
            identical += int((_bits(ours) == _bits(theirs)).all(axis=1).sum())
        ours, theirs = decode(ours, one.kept.spec), decode(theirs, other.kept.spec)
        same_class += int((ours.argmax(1) == theirs.argmax(1)).sum())
        largest = max(largest, float(np.abs(ours.astype(np.float64) - theirs).max()))
    return _compared(
        one,
        other,
        samples=len(samples),
        identical=identical,
        same_class=same_class,
        max_difference=largest,
    )


def _compared(one: Found, other: Found, **numbers: Any) -> Compared:
    return Compared(
        device=other.measurement.device,
        runtime=_runtime(other.measurement),
        same_runtime=_runtime(one.measurement) == _runtime(other.measurement),
        **numbers,
    )


def _bits(rows: np.ndarray) -> np.ndarray:
    """Return the bytes of each row, so that NaN equals NaN and 0 is not -0."""
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)


def _runtime(found: Measurement) -> str:
    return f"{found.runtime} {found.runtime_version or ''}".strip()
