"""The files that ``edgekd check`` writes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.storage import atomic_write, writing

if TYPE_CHECKING:
    from edgekd.check.stage import Examination


@dataclass(frozen=True)
class Written:
    """What is to be written.

    Attributes:
        junit: a file for JUnit XML.
        markdown: a file for Markdown; ``-``: stdout.
        baseline: as it was given.
        strict: what is inconclusive fails.
        passed: how the check ended.
    """

    junit: Path | None
    markdown: str | None
    baseline: str
    strict: bool
    passed: bool


def write(found: Examination, wanted: Written) -> None:
    """Write what was asked for.

    Args:
        found: by the check.
        wanted: and where.

    Raises:
        StorageError: a file cannot be written.
    """
    if wanted.junit is not None:
        from edgekd.check.junit import junit

        atomic_write(wanted.junit, junit(found.verdicts, strict=wanted.strict))
    if wanted.markdown is None:
        return
    from edgekd.check.markdown import markdown

    text = markdown(
        found.verdicts,
        passed=wanted.passed,
        subject=found.subject.label,
        budget=found.budget.source,
        baseline=wanted.baseline,
    )
    if wanted.markdown == "-":
        sys.stdout.write(text)
    elif wanted.markdown == os.environ.get("GITHUB_STEP_SUMMARY"):
        path = Path(wanted.markdown)  # other commands of the step write there too
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        atomic_write(Path(wanted.markdown), text)
