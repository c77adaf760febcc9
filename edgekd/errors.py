"""Every error that edgekd raises on purpose, in one tree.

::

    EdgekdError                     exit code 2 unless said otherwise
    ├── RecipeError                 the recipe cannot be used; carries every fault found
    ├── UnknownNameError            a name that no table holds; carries the closest ones
    ├── DataError                   data is missing, damaged, mislabelled or not a number
    ├── ModelError                  a model cannot be built, loaded or fitted to the data
    │   └── ModelFileError          a model file is empty, an LFS pointer, damaged, or unsupported
    ├── RunError                    a run directory cannot be found, used or trusted
    │   ├── IncompleteRunError      it was interrupted: resume it
    │   ├── OutputExistsError       the place to write to is taken
    │   └── TamperedError           a file does not match the hash in its manifest
    ├── StorageError                the disk is full or read-only
    │   └── HistoryError            the database of earlier checks cannot be read or written
    ├── TrainingError               training cannot go on (a loss term became NaN, ...)
    ├── ExportError                 a model could not be converted
    ├── MeasurementError            a file could not be measured on a device
    │   └── TransportError          the device could not be reached, or refuses
    │       └── DeviceGoneError     it vanished while it was used: worth another try
    ├── CheckFailedError            exit code 1: a check said no
    │   └── ParityError             the exported file does not do what the model does
    └── MissingError                exit code 3: something needed is not there
        ├── MissingExtraError       a Python package; carries the pip line
        ├── MissingRuntimeError     a runtime on a device
        └── MissingDeviceError      a device that cannot be reached at all

The message says what was wrong and where; ``hint`` says what to do next. The command line prints
both in a line or two, and the traceback only under ``--debug``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class EdgekdError(Exception):
    """Base of all errors that edgekd raises on purpose.

    Args:
        message: what was wrong, and where.
        hint: what to do next.
    """

    exit_code: int = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Store the message and the hint."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and the hint on a line of its own."""
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class RecipeError(EdgekdError):
    """The recipe cannot be used.

    Args:
        source: where the recipe came from, e.g. its path.
        faults: every fault found, each as ``key.path: what is wrong``.
        hint: what to do next.
    """

    def __init__(self, source: str, faults: Sequence[str], *, hint: str | None = None) -> None:
        """Store the faults and build one message of them all."""
        self.source = source
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "\n".join(f"  {fault}" for fault in self.faults)
        super().__init__(f"{source}: {count} in the recipe\n{lines}", hint=hint)


class UnknownNameError(EdgekdError):
    """A name that no table holds.

    Args:
        kind: what was looked up, e.g. ``loss``.
        name: the name given.
        known: every name there is.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Find the closest names and say them."""
        # difflib costs a few milliseconds; only a wrong name should pay for it.
        from difflib import get_close_matches

        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))
        self.close = tuple(get_close_matches(name, self.known, n=3, cutoff=0.5))
        if self.close:
            hint = f"Did you mean {' or '.join(repr(c) for c in self.close)}?"
        else:
            hint = f"Known: {', '.join(self.known) or 'none'}."
        super().__init__(f"unknown {kind} {name!r}", hint=hint)


class DataError(EdgekdError):
    """Data is missing, damaged, mislabelled or not a number."""


class ModelError(EdgekdError):
    """A model cannot be built, loaded or fitted to the data."""


class ModelFileError(ModelError):
    """A model file is empty, a Git LFS pointer, damaged, of another format, or unsupported."""


class RunError(EdgekdError):
    """A run directory cannot be found, used or trusted."""


class IncompleteRunError(RunError):
    """A run was interrupted before it was whole."""


class OutputExistsError(RunError):
    """The place to write to is taken; nothing was overwritten."""


class TamperedError(RunError):
    """A file does not match the hash that its manifest states."""


class StorageError(EdgekdError):
    """The disk is full or cannot be written to."""


class HistoryError(StorageError):
    """The database of earlier checks cannot be reached, read or written."""


class TrainingError(EdgekdError):
    """Training cannot go on."""


class ExportError(EdgekdError):
    """A model could not be converted."""


class MeasurementError(EdgekdError):
    """A file could not be measured on a device."""


class TransportError(MeasurementError):
    """A device could not be reached, or refuses what is asked of it."""


class DeviceGoneError(TransportError):
    """A device vanished while it was used: worth another try."""


class CheckFailedError(EdgekdError):
    """A check said no."""

    exit_code = 1


class ParityError(CheckFailedError):
    """The exported file does not do what the model does."""


class MissingError(EdgekdError):
    """Something that is needed is not there."""

    exit_code = 3


class MissingExtraError(MissingError):
    """A Python package is not installed.

    Args:
        what: what needs it, e.g. ``export to tflite``.
        extra: edgekd's extra that provides it.
        package: the package that could not be imported.
    """

    def __init__(self, what: str, *, extra: str, package: str | None = None) -> None:
        """Build the message with the pip line."""
        self.extra = extra
        self.package = package
        needs = f"the package {package!r}" if package else f"the extra {extra!r}"
        super().__init__(
            f"{what} needs {needs}, which is not installed",
            hint=f'Install it: pip install "edgekd[{extra}]"',
        )


class MissingRuntimeError(MissingError):
    """A device lacks the runtime that a file needs."""


class MissingDeviceError(MissingError):
    """A device cannot be reached at all."""
