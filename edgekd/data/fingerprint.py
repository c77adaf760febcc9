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


def part_sha256(part: Part) -> str:
    """Return the hash of the ids, targets and contents of a part; every sample is read."""
    digest = hashlib.sha256()
    for indices in part.batches():
        contents = digest_batch(part, indices, part.read(indices))
        for number, content in zip(indices, contents, strict=True):
            digest.update(json.dumps([part.ids[number], int(part.targets[number])]).encode())
            digest.update(content)
    return digest.hexdigest()


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


def check_leak(splits: Mapping[str, Part], digests: Digests, extra: int, where: str) -> None:
    """Refuse further training samples among which more than a few of another split stand.

    Args:
        splits: all splits.
        digests: the content hashes of each.
        extra: so many of the training samples, the last ones, came from elsewhere.
        where: what they are, for the message.

    Raises:
        DataError: more than 1% of the samples of another split stand among them, too.
    """
    start = len(digests["train"]) - extra
    place = {digest: i + start for i, digest in enumerate(digests["train"][start:])}
    for name in reversed(SPLITS[1:]):
        shared = [i for i, digest in enumerate(digests[name]) if digest in place]
        if len(shared) > GROSS * len(digests[name]):
            first = shared[0]
            raise DataError(
                f"{where}: {len(shared)} of the {len(digests[name])} samples of {name} stand "
                f"among them, too, e.g. {splits[name].ids[first]} = "
                f"{splits['train'].ids[place[digests[name][first]]]}",
                hint="Take them out: what a student is tested on, it must not have seen.",
            )


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
