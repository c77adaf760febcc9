"""The command line. One file a command; what they print is drawn in `edgekd.cli.render`.

Importing this package imports typer and nothing heavier: a command imports its stage when it runs.
"""

from __future__ import annotations

import sys

from edgekd.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    # `my_models:make_student` in the current folder is what a user means by that path; a console
    # script, unlike `python -m`, does not look there by itself.
    if "" not in sys.path:
        sys.path.insert(0, "")
    app()
