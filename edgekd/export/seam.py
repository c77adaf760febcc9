"""The one place where vendors' converters are called: quiet, and with their errors mapped.

Converters print to standard output, log through several libraries, and write from C++ straight
to the file descriptors. ``--json`` needs a clean standard output, and a person needs none of it,
so that all of it goes to the log ``edgekd.export`` at level DEBUG (``--debug`` shows it).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgekd.errors import EdgekdError, ExportError
from edgekd.export.blame import chain_of, operator_of, place_of
from edgekd.storage import writing

_log = logging.getLogger("edgekd.export")

#: Vendors' warnings that say nothing to a user: message (start, as a regular expression), class.
IGNORED: tuple[tuple[str, type[Warning]], ...] = (
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),
    (r"Warning: Enabling `experimental_preserve_all_tensors`", UserWarning),
    (r"The tensor attribute", UserWarning),
    (r"_check_is_size will be removed", FutureWarning),
    (r"# The axis name: \w+ will not be used", UserWarning),
)

#: Signs in a vendor's message -> what to do. The first that fits is taken.
_HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("data-dependent", "data dependent", "guardondatadependent", "control flow"),
        "Its forward() decides by the values of tensors (if, while, .item()): "
        "use torch.where, or torch.cond, so that one graph holds for all inputs.",
    ),
    (
        ("specialized", "constraints violated", "marked batch as dynamic"),
        "Its forward() fixes the size of the batch: use x.shape[0] or -1, not a number.",
    ),
    (
        (
            "unsupported",
            "not implemented",
            "no lowering",
            "not been lowered",
            "lowering not",
            "no onnx function",
            "dispatcherror",
            "missing out variants",
            "specviolationerror",
            "failed to legalize",
            "illegal",
        ),
        "It uses an operator that this target lacks: replace it, or try the other target.",
    ),
)


@contextlib.contextmanager
def converting(what: str) -> Iterator[None]:
    """Run a converter quietly; map whatever it raises to an `ExportError`.

    Standard output and standard error of the whole process are held back meanwhile, those of
    other threads too.

    Args:
        what: what is being done, for the message, e.g. ``conversion to TFLite``.

    Raises:
        ExportError: the converter failed.
        StorageError: the disk is full.
    """
    try:
        with writing(Path(tempfile.gettempdir())), held_back(), warnings.catch_warnings():
            for message, category in IGNORED:
                warnings.filterwarnings("ignore", message=message, category=category)
            yield
    except EdgekdError:
        raise
    except Exception as error:
        raise ExportError(f"{what} failed: {_summary(error)}", hint=_hint(error)) from error


class _Sink(io.TextIOBase):
    """Takes the place of ``sys.stdout`` and ``sys.stderr`` while a converter runs.

    Loggers that vendors set up meanwhile keep it for good, so that it must outlive the block: what
    they write later goes to standard error.
    """

    store: IO[str] | None = None

    def write(self, text: str) -> int:
        """Write to the store, or to standard error when nothing is held back."""
        if self.store is not None:
            return self.store.write(text)
        return 0 if sys.stderr is self else sys.stderr.write(text)

    def flush(self) -> None:
        """Flush the store."""
        if self.store is not None:
            self.store.flush()


_SINK = _Sink()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold back everything that is written to standard output and error, from C++ too."""
    before = _SINK.store
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as store:
        try:
            with _descriptor(1, store), _descriptor(2, store), _quiet_loggers():
                _SINK.store = store
                with contextlib.redirect_stdout(_SINK), contextlib.redirect_stderr(_SINK):
                    yield
        finally:
            _SINK.store = before
            store.flush()
            store.seek(0)
            text = store.read().strip()
            if text:
                _log.debug("%s", text)


@contextlib.contextmanager
def _quiet_loggers() -> Iterator[None]:
    """Silence loggers up to warnings, unless our own log is being looked at.

    ``logging.warning`` in a vendor's code gives the root logger a handler; it is taken off again.
    """
    level, handlers = logging.root.manager.disable, list(logging.root.handlers)
    if not _log.isEnabledFor(logging.DEBUG):
        logging.disable(max(level, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(level)
        for handler in logging.root.handlers[:]:
            if handler not in handlers:
                logging.root.removeHandler(handler)


@contextlib.contextmanager
def _descriptor(number: int, store: IO[str]) -> Iterator[None]:
    """Point a file descriptor at ``store`` for a while; do nothing where it is closed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    try:
        saved = os.dup(number)
    except OSError:
        yield
        return
    try:
        os.dup2(store.fileno(), number)
        yield
    finally:
        os.dup2(saved, number)
        os.close(saved)


def _summary(error: Exception) -> str:
    """Return what says most: the operator that is missing, or the innermost cause's first line."""
    operator, place = operator_of(error), place_of(error)
    where = "" if place is None else f" (at {place})"
    if operator is not None:
        return f"it has no operator for {operator}{where}"
    for link in reversed(chain_of(error)):
        lines = [line.strip() for line in str(link).splitlines() if line.strip()]
        if lines:
            return f"{type(link).__name__}: {lines[0][:300]}{where}"
    return f"{type(error).__name__}{where}"


def _hint(error: Exception) -> str:
    text = f"{type(error).__name__} {error} {error.__cause__}".lower()
    for signs, hint in _HINTS:
        if any(sign in text for sign in signs):
            return hint
    return "--debug shows the converter's own words."
