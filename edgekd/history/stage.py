"""``edgekd.history``: add a check, read trends back, name changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.errors import EdgekdError, RunError
from edgekd.records_history import Trend

if TYPE_CHECKING:
    from edgekd.records import Measurement, Verdict
    from edgekd.records_gate import Duel
    from edgekd.rundir import Run


def append(
    verdicts: Sequence[Verdict],
    measurements: Sequence[Measurement] = (),
    run: Run | None = None,
    url: str | Path | None = None,
    *,
    duels: Sequence[Duel] = (),
    hashes: Mapping[str, str] | None = None,
) -> str | None:
    """Add a check to the history. It never raises: a verdict stands, whatever the database does.

    Args:
        verdicts: of the check.
        measurements: that it looked at.
        run: what was checked, if it is a run.
        url: a SQLAlchemy URL or a file; see `edgekd.history.place`.
        duels: of files that took turns with the baseline's.
        hashes: of the files that were checked, by name.

    Returns:
        None, or what went wrong, without secrets, to be said as a warning.
    """
    try:
        from edgekd.history.gather import Checked, rows_of
        from edgekd.history.place import place
        from edgekd.history.store import write

        rows = rows_of(Checked(verdicts, measurements, run, duels, hashes))
        if rows:
            write(place(url), rows)
    except EdgekdError as error:
        return f"the history was not written: {error}"
    except ModuleNotFoundError as error:
        return f"the history was not written: the package {error.name!r} is not installed"
    except Exception as error:
        # The message may be a driver's, with a password in it.
        return f"the history was not written: {type(error).__name__}; a fault of edgekd"
    return None


def trends(
    artifact: str | None = None,
    device: str | None = None,
    metric: str | None = None,
    url: str | Path | None = None,
    *,
    branch: str | None = None,
    last: int | None = None,
) -> list[Trend]:
    """Return the trends of all that was ever checked, sorted by file, device and number.

    Args:
        artifact: only of this file.
        device: only on this device; what no device decides is left out.
        metric: only this number.
        url: a SQLAlchemy URL or a file; see `edgekd.history.place`.
        branch: only checks of this branch.
        last: only so many points of each, the newest.

    Raises:
        HistoryError: the database cannot be reached or read.
    """
    from edgekd.history.place import place
    from edgekd.history.series import trends_of
    from edgekd.history.store import read

    found = read(place(url), artifact=artifact, device=device, metric=metric, branch=branch)
    return trends_of(found, last=last)


def trend(
    artifact: str,
    device: str | None,
    metric: str,
    url: str | Path | None = None,
    *,
    branch: str | None = None,
    last: int | None = None,
) -> Trend:
    """Return one trend; without points where nothing is known.

    Args:
        artifact: the file.
        device: the device; None for what no device decides, such as the size.
        metric: the number, as budgets call it, e.g. ``latency_ms_p50``.
        url: a SQLAlchemy URL or a file; see `edgekd.history.place`.
        branch: only checks of this branch.
        last: only so many points, the newest.

    Raises:
        HistoryError: the database cannot be reached or read.
    """
    found = trends(artifact, device, metric, url, branch=branch, last=last)
    own = next((one for one in found if one.device == device), None)
    return own or Trend(artifact=artifact, device=device, metric=metric)


def changes(
    url: str | Path | None = None, *, branch: str | None = None, last: int | None = None
) -> list[Trend]:
    """Return the trends that changed somewhere; see `trends`."""
    return [one for one in trends(url=url, branch=branch, last=last) if one.changes]


def import_runs(folder: Path, url: str | Path | None = None) -> int:
    """Add what was measured in a run, or in every run of a folder, unless it is there already.

    Args:
        folder: a run, or a folder of runs.
        url: a SQLAlchemy URL or a file; see `edgekd.history.place`.

    Returns:
        How many numbers were added.

    Raises:
        HistoryError: the database cannot be reached, read or written.
        RunError: there is no run, or a measurement in one cannot be read.
    """
    from edgekd.history.gather import imported
    from edgekd.history.place import place
    from edgekd.history.store import write
    from edgekd.records import RunManifest
    from edgekd.rundir import Run, read_record

    own = folder / "manifest.json"
    manifests = [own] if own.is_file() else sorted(folder.glob("*/manifest.json"))
    real = [path for path in manifests if path == own or not path.parent.is_symlink()]
    if not real:
        raise RunError(f"no run in {folder}", hint="Name a run, or the folder that runs are in.")
    rows = [
        row for path in real for row in imported(Run(path.parent, read_record(path, RunManifest)))
    ]
    return write(place(url), sorted(rows, key=lambda row: row.checked_at)) if rows else 0
