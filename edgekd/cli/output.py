"""Where a command's words go, and how it ends.

Results go to stdout: a table, or with ``--json`` one JSON object. Everything else goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekd.errors import EdgekdError

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, all else on stderr.")
]
QuietFlag = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors, no progress.")
]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

INTERRUPTED = 130
INTERNAL = 70  # EX_SOFTWARE of sysexits.h


class Output:
    """What a command prints through.

    Attributes:
        json: one JSON object on stdout instead of tables.
        quiet: no progress, no remarks; warnings all the same.
        resume_hint: what to say after Ctrl-C, where something can be resumed.
    """

    def __init__(self, *, json: bool, quiet: bool) -> None:
        """Store the flags; consoles are made when first used."""
        self.json = json
        self.quiet = quiet
        self.resume_hint: str | None = None
        self._consoles: dict[bool, Console] = {}

    def console(self, *, stderr: bool) -> Console:
        """Return the rich console of stdout or stderr."""
        if stderr not in self._consoles:
            from rich.console import Console

            width = None
            if not (sys.stderr if stderr else sys.stdout).isatty() and "COLUMNS" not in os.environ:
                width = 120  # a file or a CI log has no width: wrap late rather than early
            self._consoles[stderr] = Console(
                stderr=stderr, width=width, highlight=False, soft_wrap=False
            )
        return self._consoles[stderr]

    @property
    def width(self) -> int:
        """The width of stdout in characters."""
        return self.console(stderr=False).width

    def say(self, text: str) -> None:
        """Print a remark on stderr, unless quiet."""
        if not self.quiet:
            self.console(stderr=True).print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr, quiet or not."""
        self.console(stderr=True).print(f"warning: {text}", markup=False, soft_wrap=True)

    def show(self, renderable: Any) -> None:
        """Print a result on stdout, unless JSON was asked for."""
        if not self.json:
            self.console(stderr=False).print(renderable)

    def line(self, text: str) -> None:
        """Print a line of result on stdout as it is, unless JSON was asked for."""
        if not self.json:
            self.console(stderr=False).print(text, markup=False, soft_wrap=True)

    def result(self, record: Any) -> None:
        """Print the record as the one JSON object, if asked for."""
        if self.json:
            sys.stdout.write(record.to_json() + "\n")
            sys.stdout.flush()

    def fail(self, error: EdgekdError) -> None:
        """Print an error: the message, then the hint."""
        console = self.console(stderr=True)
        console.print("error:", style="bold red", end=" ")
        console.print(error.message, markup=False, soft_wrap=True)
        if error.hint:
            console.print(error.hint, markup=False, soft_wrap=True)
        if self.json:
            from edgekd.cli.schemas import ErrorOutput

            self.result(ErrorOutput.of(error))


@contextmanager
def running(*, json: bool, quiet: bool, debug: bool) -> Iterator[Output]:
    """Run a command's body: errors become a line or two and an exit code.

    Raises:
        typer.Exit: with the exit code of the error.
    """
    output = Output(json=json, quiet=quiet)
    if debug:
        _show_log()
    try:
        yield output
    except EdgekdError as error:
        if debug:
            _traceback()
        output.fail(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        if debug:
            _traceback()
        hint = f" {output.resume_hint}" if output.resume_hint else ""
        sys.stderr.write(f"\ninterrupted.{hint}\n")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:
        if debug:
            _traceback()
        wrapped = EdgekdError(
            f"{type(error).__name__}: {error}",
            hint="This is a fault of edgekd. Please report it with the output of --debug.",
        )
        output.fail(wrapped)
        raise typer.Exit(INTERNAL) from None


def _show_log() -> None:
    """Print what edgekd logs, the words of converters among it, on stderr."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("edgekd")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)


def _traceback() -> None:
    import traceback

    traceback.print_exc()
