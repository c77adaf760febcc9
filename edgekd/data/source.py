"""Calling a source, understanding what it returns, and reading from it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any

from edgekd.data import SOURCES
from edgekd.data.arrays import from_arrays
from edgekd.data.check import check_batch
from edgekd.data.split import Indices, Part, Raw, RawData
from edgekd.errors import DataError, EdgekdError
from edgekd.registry import options_of


def call_source(name: str, options: Mapping[str, Any], table: str = "data") -> RawData:
    """Return what a source gives.

    Args:
        name: a row of the table of sources, or an import path.
        options: of the recipe.
        table: the recipe's table that they stand in, for messages.

    Raises:
        DataError: an option is unknown or missing, or the source fails.
        UnknownNameError: there is no such source.
        MissingExtraError: the source needs a package that is not installed.
    """
    where = f"{table}.source {name!r}"
    source = SOURCES.resolve(name)
    _check_options(source, options, where, table)
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


def _check_options(source: Any, options: Mapping[str, Any], where: str, table: str) -> None:
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
            raise DataError(f"{table}.{name}: unknown option of {where}", hint=hint)
    for name, parameter in known.items():
        if parameter.default is Parameter.empty and name not in options:
            raise DataError(f"{where} needs the option {name!r}", hint=f"Set {table}.{name}.")


def read_batch(
    part: Part, indices: Indices, shape: tuple[int, ...], where: str, other: str | None = None
) -> Raw:
    """Return raw samples (n, *shape) of a part, checked.

    Args:
        part: what to read.
        indices: which samples.
        shape: that each must have.
        where: for messages.
        other: the name of a further input; None: the first.

    Raises:
        DataError: reading failed, or the samples cannot be used.
    """
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
