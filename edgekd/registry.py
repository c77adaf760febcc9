"""One generic table: a name, where its implementation lives, and the extra that provides it.

Packages keep their rows in their ``__init__``, which imports nothing heavy::

    LOSSES = Table("loss", [Row("kd", "edgekd.losses.kd:KD", "KL at a temperature", extra="train")])

The module of a row is imported when the row is used. Other distributions add rows through the
entry-point group ``edgekd.<kind>``, e.g. ``[project.entry-points."edgekd.loss"]``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgekd.errors import EdgekdError, MissingExtraError, UnknownNameError

#: Where the table of each kind lives. Looked up late, so that this module stays below them all.
TABLES: dict[str, str] = {
    "loss": "edgekd.losses:LOSSES",
    "source": "edgekd.data:SOURCES",
    "transform": "edgekd.data.transforms:TRANSFORMS",
    "model": "edgekd.models:MODELS",
    "augmentation": "edgekd.distill:AUGMENTATIONS",
    "optimizer": "edgekd.distill:OPTIMIZERS",
    "schedule": "edgekd.distill:SCHEDULES",
    "logger": "edgekd.distill:LOGGERS",
    "synthesiser": "edgekd.distill.synthesis:SYNTHESISERS",
    "target": "edgekd.export:TARGETS",
    "scheme": "edgekd.quantize:SCHEMES",
    "profile": "edgekd.quantize:PROFILES",
    "runtime": "edgekd.runtimes:RUNTIMES",
    "transport": "edgekd.transports:TRANSPORTS",
    "metric": "edgekd.metrics:METRICS",
    "corruption": "edgekd.evaluate.corruptions:CORRUPTIONS",
}


@dataclass(frozen=True)
class Row:
    """One entry of a table.

    Attributes:
        name: the name used in recipes and on the command line.
        target: ``module:attribute`` of the implementation.
        summary: one line that says what it is.
        extra: edgekd's extra that provides what it needs, if it needs one.
    """

    name: str
    target: str
    summary: str
    extra: str | None = None

    def load(self) -> Any:
        """Import and return the implementation.

        Raises:
            MissingExtraError: a package that the row needs is not installed.
        """
        return load_target(self.target, what=repr(self.name), extra=self.extra)


class Table:
    """Rows of one kind, by name, with the rows of installed plugins.

    Args:
        kind: what the rows are, e.g. ``loss``; also names the entry-point group.
        rows: the built-in rows.
    """

    def __init__(self, kind: str, rows: Sequence[Row]) -> None:
        """Store the built-in rows; plugins are looked up when first needed."""
        self.kind = kind
        self._own = {row.name: row for row in rows}

    @cached_property
    def _rows(self) -> dict[str, Row]:
        from importlib.metadata import entry_points

        plugins = {
            point.name: Row(point.name, point.value, f"from {point.module}")
            for point in entry_points(group=f"edgekd.{self.kind}")
        }
        # A plugin adds names; it never silently replaces a built-in one.
        return {**plugins, **self._own}

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows, sorted by name."""
        return iter(sorted(self._rows.values(), key=lambda row: row.name))

    def __contains__(self, name: object) -> bool:
        """Say whether a row of this name exists."""
        return name in self._rows

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return tuple(sorted(self._rows))

    def row(self, name: str) -> Row:
        """Return the row of this name.

        Raises:
            UnknownNameError: there is none; the error carries the closest names.
        """
        if name not in self._rows:
            raise UnknownNameError(self.kind, name, self._rows)
        return self._rows[name]

    def resolve(self, name: str) -> Any:
        """Return the implementation of a name, or of an import path ``module:attribute``."""
        if ":" in name:
            return load_target(name, what=f"{self.kind} {name!r}")
        return self.row(name).load()


def table(kind: str) -> Table:
    """Return the table of a kind, e.g. ``table("loss")``."""
    if kind not in TABLES:
        raise UnknownNameError("kind of table", kind, TABLES)
    found: Table = load_target(TABLES[kind], what=f"the table of {kind}s")
    return found


def load_target(target: str, *, what: str, extra: str | None = None) -> Any:
    """Import ``module:attribute``.

    Args:
        target: the import path.
        what: what is being loaded, for the error message.
        extra: the extra that provides the packages it imports.

    Raises:
        MissingExtraError: an import failed and ``extra`` provides it.
        EdgekdError: the module or the attribute does not exist.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise EdgekdError(
            f"{what}: {target!r} is not an import path",
            hint="Write it as package.module:attribute.",
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if extra is not None and not (error.name or "").startswith("edgekd"):
            raise MissingExtraError(what, extra=extra, package=error.name) from error
        raise EdgekdError(
            f"{what}: cannot import {module_name!r} ({error})",
            hint="Is it installed, or does its folder stand on PYTHONPATH?",
        ) from error
    except Exception as error:
        raise EdgekdError(
            f"{what}: importing {module_name!r} failed: {type(error).__name__}: {error}",
            hint="--debug shows where.",
        ) from error
    try:
        found: Any = module
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        known = [name for name in dir(module) if not name.startswith("_")]
        raise UnknownNameError(f"attribute of {module_name}", attribute, known) from None
    return found


def options_of(
    factory: Any, *, given_by_caller: Sequence[str] = ()
) -> dict[str, inspect.Parameter]:
    """Return the parameters that a recipe may set on a factory.

    Args:
        factory: a class or function.
        given_by_caller: parameters that edgekd itself passes and a recipe cannot.
    """
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in kinds and name not in given_by_caller
    }
