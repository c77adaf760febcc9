"""Opening what is checked against: a run, a file, measurements, or files out of git."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from edgekd.check import gitref
from edgekd.check.subject import Item, Subject, subject
from edgekd.errors import RunError
from edgekd.rundir import Run


def opened_baseline(
    given: Run | str | Path, checked: Subject, stack: ExitStack
) -> tuple[Subject | None, list[str]]:
    """Open the baseline.

    Args:
        given: a run, a file, a folder of measurements, or ``git:REF:PATH``.
        checked: what is held against it.
        stack: keeps files out of git until it is closed.

    Returns:
        the baseline, None if it has nothing, and the names of files that a commit does not have.

    Raises:
        RunError: it cannot be found or trusted, or does not fit what is checked.
        ModelFileError: it is a file, but no model.
    """
    ref = gitref.parse(given) if isinstance(given, str) else None
    if ref is None:
        if len(checked.items) > 1 and checked.run is None and Path(str(given)).is_file():
            raise RunError(
                f"{given} is one file, and {checked.label} are checked",
                hint="Check them one by one, or against a commit: --baseline git:main",
            )
        return subject(given), []
    if ref.path is not None:
        file = stack.enter_context(gitref.fetched(ref))
        found = subject(file)
        return replace(found, label=str(ref)), []
    if checked.run is not None or not all(item.path for item in checked.items.values()):
        raise RunError(
            f"{ref} names no path, and {checked.label} is no file of a repository",
            hint=f"Write it as {ref}:PATH.",
        )
    items: dict[str, Item] = {}
    new = []
    for item in checked.items.values():
        try:
            file = stack.enter_context(gitref.fetched(ref, beside=item.path))
        except gitref.NotInCommitError:
            new.append(item.name)
            continue
        (base,) = subject(file).items.values()
        items[item.name] = replace(base, name=item.name)
    return (Subject(str(ref), items) if items else None), new
