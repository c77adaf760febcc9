"""Hashes of samples: the data's own hash, and samples that stand in more than one split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping

from edgekd.data.split import SPLITS, Indices, Part, Raw
from edgekd.errors import DataError
from edgekd.records import Preprocess

#: Largest share of the smaller of two splits that may also stand in the other one.
GROSS = 0.01

Digests = Mapping[str, list[bytes]]


def digest_batch(part: Part, indices: Indices, raw: Raw) -> list[bytes]:
    """Return the SHA-256 of the content of each of these samples, whose raw values are ``raw``."""
    if part.content is None:
        return [hashlib.sha256(sample.tobytes()).digest() for sample in raw]
    return [hashlib.sha256(part.content(int(i))).digest() for i in indices]


def data_sha256(
    splits: Mapping[str, Part],
    digests: Digests,
    *,
    classes: tuple[str, ...],
    sample_shape: tuple[int, ...],
    preprocess: Preprocess,
) -> str:
    """Return the hash of everything that a network can learn from a data set.

    Every sample counts with its split, id, target and content. The shape and the preprocessing
    count too: the same files at another size are other data.
    """
    head = [list(classes), list(sample_shape), preprocess.model_dump(mode="json")]
    digest = hashlib.sha256(json.dumps(head).encode())
    for name in SPLITS:
        part = splits[name]
        digest.update(json.dumps([name, len(part)]).encode())
        for sample, target, content in zip(part.ids, part.targets, digests[name], strict=True):
            digest.update(json.dumps([sample, int(target)]).encode() + content)
    return digest.hexdigest()


def count_duplicates(digests: Digests) -> int:
    """Count the samples whose content also stands in an earlier split."""
    seen: set[bytes] = set()
    count = 0
    for name in SPLITS:
        count += sum(digest in seen for digest in digests[name])
        seen.update(digests[name])
    return count


def check_overlap(
    splits: Mapping[str, Part], digests: Digests, given: Collection[str], where: str
) -> None:
    """Refuse splits that the source brought and that share more than a few samples.

    Args:
        splits: all splits.
        digests: the content hashes of each.
        given: the splits that the source brought, rather than having them cut out of train.
        where: what the data is, for the message.

    Raises:
        DataError: more than 1% of the smaller split stands in another one, too.
    """
    names = [name for name in SPLITS if name in given]
    for second_at, second in enumerate(names):
        for first in names[:second_at]:
            _check_pair(splits, digests, first, second, where)


def _check_pair(
    splits: Mapping[str, Part], digests: Digests, first: str, second: str, where: str
) -> None:
    small, large = sorted((first, second), key=lambda name: len(digests[name]))
    place = {digest: i for i, digest in enumerate(digests[large])}
    shared = [i for i, digest in enumerate(digests[small]) if digest in place]
    if len(shared) <= GROSS * len(digests[small]):
        return
    examples = ", ".join(
        f"{splits[small].ids[i]} = {splits[large].ids[place[digests[small][i]]]}"
        for i in shared[:3]
    )
    raise DataError(
        f"{where}: {len(shared)} of the {len(digests[small])} samples of {small} "
        f"also stand in {large}: {examples}",
        hint="Splits must not overlap: remove the copies, or let edgekd cut the split.",
    )
