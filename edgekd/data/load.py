"""From a recipe's ``[data]`` to a `Dataset`: the one way in."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from edgekd.data import SOURCES
from edgekd.data.arrays import from_arrays
from edgekd.data.check import check_batch, check_classes, check_structure
from edgekd.data.cut import cut
from edgekd.data.fingerprint import check_overlap, count_duplicates, data_sha256, digest_batch
from edgekd.data.preprocess import Statistics
from edgekd.data.seen import seen_by
from edgekd.data.split import SPLITS, Dataset, Indices, InputFacts, Part, Raw, RawData
from edgekd.errors import DataError, EdgekdError
from edgekd.records import Preprocess
from edgekd.registry import options_of

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
    raw = _call(SOURCES.resolve(spec.source), spec.options, where)
    check_structure(raw, where)
    check_classes(raw.parts, raw.classes, where)
    splits = cut(raw.parts, spec.split, raw.classes)
    facts = {raw.input: InputFacts(raw.sample_shape, raw.preprocess, raw.scale), **raw.others}
    digests: dict[str, list[bytes]] = {name: [] for name in SPLITS}
    inputs = {
        name: _scan(splits, known, where, None if name == raw.input else name, digests)
        for name, known in facts.items()
    }
    preprocess = inputs[raw.input].preprocess or Preprocess()
    # The rest of train keeps its name: a copy between it and a given test split counts.
    check_overlap(splits, digests, raw.parts, where)
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
    scale = facts.scale
    for name in SPLITS:
        part = splits[name]
        for indices in part.batches():
            batch = _read(part, indices, facts.sample_shape, f"{where}, {name}", other)
            if other is None:
                digests[name] += digest_batch(part, indices, batch)
            if scale is None:
                scale = 1 / 255 if batch.dtype.kind == "u" else 1.0
            if name == "train" and facts.preprocess is None:
                statistics.add(batch)
    found = facts.preprocess or statistics.preprocess(1.0 if scale is None else scale)
    return InputFacts(facts.sample_shape, found)


def _read(
    part: Part, indices: Indices, shape: tuple[int, ...], where: str, other: str | None
) -> Raw:
    ids = tuple(part.ids[i] for i in indices)
    try:
        batch = part.read(indices, other)
    except EdgekdError:
        raise
    except Exception as error:
        raise DataError(
            f"{where}: reading the samples from {ids[0]!r} on failed: "
            f"{type(error).__name__}: {error}",
            hint="--debug shows where.",
        ) from error
    check_batch(batch, ids, shape, where)
    return batch


def _call(source: Any, options: Mapping[str, Any], where: str) -> RawData:
    _check_options(source, options, where)
    try:
        found = source(**options)
    except EdgekdError:
        raise
    except Exception as error:
        raise DataError(
            f"{where} failed: {type(error).__name__}: {error}", hint="--debug shows where."
        ) from error
    if isinstance(found, RawData):
        return found
    if isinstance(found, Mapping):
        return from_arrays(found, where=where)
    raise DataError(
        f"{where} returned a {type(found).__name__}",
        hint="Return edgekd.data.split.RawData, or a dict of arrays x_train, y_train, ...",
    )


def _check_options(source: Any, options: Mapping[str, Any], where: str) -> None:
    if not callable(source):
        raise DataError(f"{where} is no function", hint="Name one as package.module:function.")
    try:
        parameters = signature(source).parameters.values()
    except ValueError:  # some builtins have no signature; calling it will tell
        return
    known = options_of(source)
    open_ended = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    for name in options:
        if name not in known and not open_ended:
            close = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = (
                f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known) or 'none'}."
            )
            raise DataError(f"data.{name}: unknown option of {where}", hint=hint)
    for name, parameter in known.items():
        if parameter.default is Parameter.empty and name not in options:
            raise DataError(f"{where} needs the option {name!r}", hint=f"Set data.{name}.")
