"""Verdicts as Markdown, for the comment on a pull request and the summary of a job.

GitHub's flavour, which GitLab reads too. What got worse comes first, with by how much and, where
two files took turns, with the interval.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from edgekd import format as fmt
from edgekd.check.quantities import BY_NAME, shown_apart
from edgekd.records import Verdict

#: Finds the comment of an earlier check again.
MARK = "<!-- edgekd check -->"

_ORDER = ("fail", "inconclusive", "warn", "pass")
_WORDS = {"fail": "**failed**", "inconclusive": "inconclusive", "warn": "warning", "pass": "passed"}
_SPECIAL = re.compile(r"[\\`*_{}\[\]#!|~@:]")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")

#: A comment holds 65,536 characters, a summary a megabyte.
_ROWS = 100


def markdown(
    verdicts: Sequence[Verdict],
    *,
    passed: bool,
    subject: str = "",
    budget: str = "",
    baseline: str = "",
) -> str:
    """Return a heading, what is amiss as a table, and what passed behind a fold.

    Args:
        verdicts: of a check.
        passed: how it ended.
        subject: what was checked.
        budget: where the limits came from.
        baseline: what it was held against.
    """
    ordered = sorted(verdicts, key=lambda verdict: _ORDER.index(verdict.status))
    amiss = [verdict for verdict in ordered if verdict.status != "pass"]
    fine = [verdict for verdict in ordered if verdict.status == "pass"]
    counts = ", ".join(
        f"{count} {word.strip('*')}"
        for status, word in _WORDS.items()
        if (count := sum(verdict.status == status for verdict in verdicts))
    )
    parts = [
        MARK,
        f"### edgekd check: {'passed' if passed else 'failed'}",
        counts + _said(subject, budget, baseline),
    ]
    if amiss:
        parts.append(_table(amiss))
    if fine:
        plural = "check" if len(fine) == 1 else "checks"
        fold = f"<details><summary>{len(fine)} {plural} passed</summary>"
        parts.append(f"{fold}\n\n{_table(fine)}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _said(subject: str, budget: str, baseline: str) -> str:
    words = [("of", subject), ("by", budget), ("against", baseline)]
    return "".join(f" {word} {escaped(text)}" for word, text in words if text)


def _table(verdicts: Sequence[Verdict]) -> str:
    head = "| | file | device | number | now | limit | baseline | change | what |\n"
    rows = [head + "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |"]
    rows += [_row(verdict) for verdict in verdicts[:_ROWS]]
    if len(verdicts) > _ROWS:
        rows.append(f"| | | | {len(verdicts) - _ROWS} more | | | | | |")
    return "\n".join(rows)


def _row(verdict: Verdict) -> str:
    cells = (
        _WORDS[verdict.status],
        escaped("all" if verdict.artifact == "*" else verdict.artifact),
        escaped(verdict.device or ""),
        escaped(verdict.metric),
        *(escaped(cell) for cell in _numbers(verdict)),
        escaped(change(verdict)),
        escaped(verdict.message),
    )
    return f"| {' | '.join(cells)} |"


def _numbers(verdict: Verdict) -> tuple[str, str, str]:
    """Return the value, the limit and the baseline; values and limits so that they differ."""
    if verdict.metric not in BY_NAME:
        return "", "", ""
    value, limit, before = verdict.value, verdict.limit, verdict.baseline
    texts = ["" if n is None else shown_apart(verdict.metric, n, n)[0] for n in (value, limit)]
    if value is not None and limit is not None:
        texts = list(shown_apart(verdict.metric, value, limit))
    last = "" if before is None else shown_apart(verdict.metric, before, before)[0]
    return texts[0], texts[1], last


def change(verdict: Verdict) -> str:
    """Return by how much a number changed against the baseline, with the interval if known.

    >>> change(Verdict(artifact="a", metric="latency_ms_p50", status="fail", message="",
    ...                ratio=1.062, low=1.051, high=1.073))
    '+6.2% (+5.1% to +7.3%)'
    """
    if verdict.ratio is not None:
        text = _percent(verdict.ratio)
        if verdict.low is not None and verdict.high is not None:
            text += f" ({_percent(verdict.low)} to {_percent(verdict.high)})"
        return text
    if verdict.value is None or verdict.baseline is None:
        return ""
    quantity = BY_NAME.get(verdict.metric)
    if quantity is not None and quantity.least:
        return fmt.points(verdict.value - verdict.baseline)
    return _percent(verdict.value / verdict.baseline) if verdict.baseline > 0 else ""


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f}%"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is: nothing is markup, a mention, a link or a cell.

    >>> escaped("a|b *c* <d> @e")
    'a&#124;b &#42;c&#42; &lt;d&gt; &#64;e'
    """
    one_line = _UNSEEN.sub(" ", text)
    plain = html.escape(one_line, quote=False)
    # The entities of html.escape have none of these characters.
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", plain)
