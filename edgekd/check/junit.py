"""Verdicts as JUnit XML, which every CI server reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from xml.sax.saxutils import escape, quoteattr

from edgekd.records import Verdict

#: What XML 1.0 cannot hold, however it is escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdicts: Sequence[Verdict], *, strict: bool = False, created: str | None = None) -> str:
    """Return a test suite with one case a verdict.

    A warning is a case that passed, with its message as output. What is inconclusive was skipped,
    or with ``strict`` failed.

    Args:
        verdicts: of a check.
        strict: what is inconclusive fails.
        created: when, in ISO 8601 without a zone; None: now, in UTC.
    """
    failing = ("fail", "inconclusive") if strict else ("fail",)
    failures = sum(verdict.status in failing for verdict in verdicts)
    skipped = 0 if strict else sum(verdict.status == "inconclusive" for verdict in verdicts)
    now = created or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    counts = f'tests="{len(verdicts)}" failures="{failures}" errors="0"'
    cases = "\n".join(_case(verdict, failing) for verdict in verdicts)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="edgekd check" {counts} time="0">\n'
        f'<testsuite name="edgekd check" {counts} skipped="{skipped}" time="0"'
        f" timestamp={quoteattr(_clean(now))}>\n{cases}\n</testsuite>\n</testsuites>\n"
    )


def _case(verdict: Verdict, failing: Sequence[str]) -> str:
    owner = ".".join(("edgekd", verdict.device or "any device"))
    name = f"{verdict.artifact}: {verdict.metric}"
    head = f'<testcase classname={_attribute(owner)} name={_attribute(name)} time="0"'
    message, text = _attribute(verdict.message), escape(_clean(verdict.message))
    if verdict.status in failing:
        kind = _attribute(verdict.status)
        return f"{head}><failure message={message} type={kind}>{text}</failure></testcase>"
    if verdict.status == "inconclusive":
        return f"{head}><skipped message={message}/></testcase>"
    prefix = "warning: " if verdict.status == "warn" else ""
    return f"{head}><system-out>{prefix}{text}</system-out></testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_clean(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
