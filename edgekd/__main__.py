"""The entry of the command line, also as ``python -m edgekd``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit code.

    Ctrl-C ends with a line and exit code 130 from the first import on; inside a command,
    `edgekd.cli.output.running` says more.
    """
    try:
        # `my_models:make_student` in the current folder is what a user means by that path; a
        # console script, unlike `python -m`, does not look there by itself.
        if "" not in sys.path:
            sys.path.insert(0, "")
        from edgekd.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted.\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
