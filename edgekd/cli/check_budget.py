"""``edgekd check --init`` and ``edgekd check --update``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.check.budgets import DEFAULT_FILE, Budget
from edgekd.cli.output import Output
from edgekd.errors import OutputExistsError, RunError
from edgekd.storage import atomic_write

if TYPE_CHECKING:
    from edgekd.check.subject import Subject


def init(output: Output, sources: Sequence[str], path: Path | None, reason: str | None) -> None:
    """Write a budget that what was measured keeps.

    Args:
        output: where words go.
        sources: a run, or files; none: the newest run.
        path: the file; None: ``budget.toml``.
        reason: not used.

    Raises:
        OutputExistsError: the file is there already.
        RunError: there is nothing to set limits for.
    """
    from edgekd.check.propose import proposal
    from edgekd.cli.schemas import BudgetOutput

    path = path or Path(DEFAULT_FILE)
    if path.exists():
        raise OutputExistsError(
            f"{path} exists already; nothing was overwritten",
            hint="Rewrite its limits: edgekd check --update; or name another file with --budget.",
        )
    checked = _subject(sources, ())
    if not checked.exported:
        raise RunError(
            f"{checked.label} has no exported file to set limits for", hint="edgekd export"
        )
    text = proposal(checked)
    atomic_write(path, text)
    output.result(BudgetOutput(path=str(path), text=text))
    output.line(text.rstrip("\n"))
    output.say(f"written: {path}. Read it before you commit it; then: edgekd check")


def update(output: Output, sources: Sequence[str], path: Path | None, reason: str | None) -> None:
    """Rewrite the limits of a budget.

    Args:
        output: where words go.
        sources: a run, or files; none: the newest run.
        path: the file; None: ``budget.toml``.
        reason: why limits are loosened.

    Raises:
        RunError: there is no such file, or limits would be loosened without a reason.
    """
    from edgekd.check.update import update as rewrite
    from edgekd.cli.schemas import BudgetOutput

    path = path or Path(DEFAULT_FILE)
    if not path.is_file():
        raise RunError(f"there is no {path} to update", hint="Propose one: edgekd check --init")
    names = [limit.artifact or "" for limit in Budget.load(path).limits]
    changes = rewrite(path, _subject(sources, names), reason=reason)
    lines = tuple(str(change) for change in changes)
    text = path.read_text(encoding="utf-8")
    output.result(BudgetOutput(path=str(path), text=text, changes=lines))
    for line in lines or (f"{path} stays as it is: every limit fits what was measured",):
        output.line(line)


def _subject(sources: Sequence[str], names: Sequence[str]) -> Subject:
    from edgekd.check.stage import opened

    return opened(list(sources) or None, names)
