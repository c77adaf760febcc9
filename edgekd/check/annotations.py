"""Verdicts as annotations of GitHub Actions: lines that its runner shows beside the changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekd.records import Verdict

_LEVELS = {"fail": "error", "warn": "warning", "inconclusive": "warning"}


def annotated(verdicts: Sequence[Verdict], *, strict: bool = False) -> Iterator[str]:
    """Yield one line for each verdict that did not pass, those that failed first.

    GitHub shows ten of each level a step.

    Args:
        verdicts: of a check.
        strict: what is inconclusive is an error.
    """
    for wanted in ("fail", "inconclusive", "warn"):
        for verdict in verdicts:
            if verdict.status == wanted:
                level = "error" if strict and wanted == "inconclusive" else _LEVELS[wanted]
                where = f" on {verdict.device}" if verdict.device else ""
                title = f"edgekd check: {verdict.artifact}{where}: {verdict.metric}"
                yield f"::{level} title={_property(title)}::{_message(verdict.message)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
