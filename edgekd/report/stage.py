"""``edgekd.report``: one page with the numbers and the plots; also as Markdown and JSON."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edgekd.errors import MissingExtraError, OutputExistsError
from edgekd.rundir import Run, atomic_write, runs_root

Format = Literal["html", "md", "json"]

#: What a file of ours says of itself in its first lines; only such a file is ever replaced.
MARKS: dict[Format, str] = {
    "html": '<meta name="generator" content="edgekd',
    "md": "<!-- edgekd report -->",
    "json": '"kind": "report"',
}

_Run = Run | str | Path


def report(
    run: _Run | Sequence[_Run] | None = None,
    *,
    out: str | Path | None = None,
    format: Format = "html",
) -> Path:
    """Write a report about a run, or about several side by side. It is one file.

    The HTML page loads nothing from the network; Markdown has its tables and sentences; JSON the
    numbers alone.

    Args:
        run: a run (open, id, or path), or several; None for the newest.
        out: the file to write, or a folder to write ``report.html`` into; by default
            ``report.html`` in the run, or in the folder of runs where there are several. An
            earlier report is replaced, any other file is not.
        format: ``html``, ``md`` or ``json``.

    Returns:
        The file written.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
        RunError: the run cannot be found or trusted.
        OutputExistsError: ``out`` is a file that is no report.
        StorageError: the disk is full or read-only.
    """
    runs = _opened(run)
    path = (runs[0].path if len(runs) == 1 else runs_root()) if out is None else Path(out)
    if path.is_dir():
        path = path / f"report.{format}"
    if path.exists():
        begins = path.read_text(encoding="utf-8", errors="replace")[:2000]
        if MARKS[format] not in begins:
            raise OutputExistsError(
                f"{path} exists and is no {format} report of edgekd; nothing was overwritten",
                hint="Choose another place with --out.",
            )
    atomic_write(path, text(runs, format))
    return path


def text(run: _Run | Sequence[_Run] | None = None, format: Format = "html") -> str:
    """Return a report as text; see `report`."""
    runs = _opened(run)
    if format == "json":
        from edgekd.report import numbers

        return numbers.render(runs)
    require_extra()
    from edgekd.report import contents, side

    found = contents.gather(runs[0]) if len(runs) == 1 else side.gather(runs)
    if format == "md":
        from edgekd.report import markdown

        return markdown.render(found)
    from edgekd.report import page

    return page.lay_out(found)


def require_extra() -> None:
    """See that the packages of the extra ``report`` are there.

    Raises:
        MissingExtraError: one is not.
    """
    for package in ("altair", "jinja2", "vl_convert"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise MissingExtraError("report", extra="report", package=package) from error


def _opened(run: _Run | Sequence[_Run] | None) -> list[Run]:
    """Open the runs; None and nothing stand for the newest."""
    if run is None or isinstance(run, Run | str | Path):
        return [Run.open(run)]
    return [Run.open(one) for one in run] or [Run.open(None)]
