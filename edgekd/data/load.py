"""From a recipe's ``[data]`` to a `Dataset`: the one way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgekd.data.check import check_classes, check_structure
from edgekd.data.cut import cut, uncut
from edgekd.data.fingerprint import (
    check_leak,
    check_overlap,
    count_duplicates,
    data_sha256,
    digest_batch,
)
from edgekd.data.preprocess import Statistics
from edgekd.data.seen import seen_by
from edgekd.data.source import call_source, read_batch
from edgekd.data.split import SPLITS, Dataset, InputFacts, Part
from edgekd.data.unlabelled import joined, more_samples, scaled_facts
from edgekd.records import Preprocess

if TYPE_CHECKING:
    from edgekd.recipe import DataSpec, Recipe


def load_dataset(spec: DataSpec) -> Dataset:
    """Load, check, split and hash data; every sample is read once.

    Args:
        spec: the source, its options, and the split sizes.

    Raises:
        DataError: the data is missing, damaged, mislabelled, or does not suffice.
        UnknownNameError: there is no such source.
        MissingExtraError: the source needs a package that is not installed.
    """
    where = f"data.source {spec.source!r}"
    raw = call_source(spec.source, spec.options)
    check_structure(raw, where)
    check_classes(raw.parts, raw.classes, where)
    splits = cut(raw.parts, spec.split, raw.classes)
    everything = uncut(spec.split)
    whole = None if everything is None else cut(raw.parts, everything, raw.classes)["train"]
    facts = scaled_facts(raw, where)
    if spec.unlabelled is not None:
        extra = more_samples(spec.unlabelled, raw, seed=spec.split.seed)
        splits["train"] = joined(splits["train"], extra)
    digests: dict[str, list[bytes]] = {name: [] for name in SPLITS}
    inputs = {
        name: _scan(splits, known, where, None if name == raw.input else name, digests)
        for name, known in facts.items()
    }
    preprocess = inputs[raw.input].preprocess or Preprocess()
    # The rest of train keeps its name: a copy between it and a given test split counts.
    check_overlap(splits, digests, raw.parts, where)
    if spec.unlabelled is not None:
        check_leak(splits, digests, len(extra), "data.unlabelled")
    return Dataset(
        splits={name: splits[name] for name in SPLITS},
        classes=raw.classes,
        sample_shape=raw.sample_shape,
        preprocess=preprocess,
        sha256=data_sha256(
            splits,
            digests,
            classes=raw.classes,
            sample_shape=raw.sample_shape,
            preprocess=preprocess,
        ),
        duplicates=count_duplicates(digests),
        input=raw.input,
        inputs=inputs,
        columns=raw.columns,
        whole=whole,
    )


def load_for_student(recipe: Recipe) -> Dataset:
    """Load a recipe's data as its student sees it: what files of it take, too.

    Raises:
        DataError: as `load_dataset`, or the student's input does not fit the data.
    """
    return seen_by(load_dataset(recipe.data), recipe.student.input, "student.input")


def _scan(
    splits: Mapping[str, Part],
    facts: InputFacts,
    where: str,
    other: str | None,
    digests: dict[str, list[bytes]],
) -> InputFacts:
    """Read one input of everything: check it, gather the statistics of train, hash the first.

    Args:
        splits: what to read.
        facts: what the source says of the input.
        where: for messages.
        other: the input's name where it is not the first.
        digests: takes the hashes of the first input.
    """
    statistics = Statistics(facts.sample_shape[0])
    for name in SPLITS:
        part = splits[name]
        for indices in part.batches():
            batch = read_batch(part, indices, facts.sample_shape, f"{where}, {name}", other)
            if other is None:
                digests[name] += digest_batch(part, indices, batch)
            if name == "train" and facts.preprocess is None:
                statistics.add(batch)
    found = facts.preprocess or statistics.preprocess(facts.scale or 1.0)
    return InputFacts(facts.sample_shape, found)
