"""``edgekd.report``: one page with the numbers and the plots."""

from __future__ import annotations

import importlib
from pathlib import Path

from edgekd.errors import MissingExtraError, OutputExistsError
from edgekd.rundir import Run, atomic_write

#: What a page of ours says of itself; only such a file is ever replaced.
GENERATOR = '<meta name="generator" content="edgekd'


def report(run: Run | str | Path | None = None, *, out: str | Path | None = None) -> Path:
    """Write one self-contained HTML page about a run. It loads nothing from the network.

    Args:
        run: a run (open, id, or path); None for the newest.
        out: the file to write, or a folder to write ``report.html`` into; by default
            ``report.html`` in the run. An earlier report is replaced, any other file is not.

    Returns:
        The file written.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
        RunError: the run cannot be found or trusted.
        OutputExistsError: ``out`` is a file that is no report.
        StorageError: the disk is full or read-only.
    """
    for package in ("altair", "jinja2", "vl_convert"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise MissingExtraError("report", extra="report", package=package) from error
    from edgekd.report.page import render

    found = Run.open(run)
    path = found.path / "report.html" if out is None else Path(out)
    if path.is_dir():
        path = path / "report.html"
    if path.exists() and GENERATOR not in path.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise OutputExistsError(
            f"{path} exists and is no report of edgekd; nothing was overwritten",
            hint="Choose another place with --out.",
        )
    atomic_write(path, render(found))
    return path
