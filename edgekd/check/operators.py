"""Limits on what a runtime must know: the operators of a file, and the oldest runtime."""

from __future__ import annotations

from typing import Literal

from edgekd.check.budgets import Limit
from edgekd.check.releases import parse_release, same_kind
from edgekd.check.subject import Item
from edgekd.records import Verdict

Status = Literal["pass", "fail", "warn"]


def judge_operators(item: Item, limit: Limit) -> Verdict:
    """Hold the kinds of operators against those that are allowed.

    Args:
        item: the file.
        limit: names the operators that are allowed.
    """
    if not item.facts.operators:
        return _verdict(item, limit, "fail", f"cannot be held: {_reason(item, limit)}")
    others = [name for name in item.facts.operators if name not in limit.names]
    if others:
        message = f"{', '.join(others)}: not among the {len(limit.names)} operators allowed"
    else:
        message = f"{len(item.facts.operators)} kinds, all among the {len(limit.names)} allowed"
    status: Status = "fail" if others else "pass"
    return _verdict(item, limit, status, message, value=len(others), bound=0)


def judge_operators_against(item: Item, base: Item, limit: Limit) -> Verdict:
    """Count the kinds of operators that the baseline does not have.

    Args:
        item: the file.
        base: the baseline's.
        limit: how many there may be.
    """
    for one, whose in ((item, ""), (base, "of the baseline, ")):
        if not one.facts.operators:
            return _verdict(item, limit, "fail", f"cannot be held: {whose}{_reason(one, limit)}")
    new = [name for name in item.facts.operators if name not in base.facts.operators]
    passed = len(new) <= limit.value
    said = f"new operators: {', '.join(new)}" if new else "no operator is new"
    message = f"{said}; at most {limit.value:g}"
    return _verdict(
        item, limit, "pass" if passed else "fail", message, value=len(new), bound=limit.value
    )


def judge_runtime(item: Item, limit: Limit) -> Verdict:
    """Hold the oldest runtime that runs a file right against the one that it must run in.

    Args:
        item: the file.
        limit: names the runtimes that it must run in; those of its format count.
    """
    oldest = item.facts.oldest
    if oldest is None:
        return _verdict(item, limit, "fail", f"cannot be held: {_reason(item, limit)}")
    wanted = [name for name in limit.names if same_kind(oldest, name)]
    if not wanted:
        message = f"cannot be held: it needs {oldest}, and {', '.join(limit.names)} run other files"
        return _verdict(item, limit, "fail", message)
    worst = min(wanted, key=parse_release)
    passed = parse_release(oldest) <= parse_release(worst)
    message = f"it needs {oldest}, {'and runs in' if passed else 'newer than'} {worst}"
    return _verdict(item, limit, "pass" if passed else "fail", message)


def judge_runtime_against(item: Item, base: Item, limit: Limit) -> Verdict:
    """Hold the oldest runtime of a file against the one that the baseline needs.

    Args:
        item: the file.
        base: the baseline's.
        limit: 0: it may not be newer; 1: it may, and that is only said.
    """
    ours, theirs = item.facts.oldest, base.facts.oldest
    if ours is None or theirs is None:
        whose = item if ours is None else base
        side = "" if ours is None else "of the baseline, "
        return _verdict(item, limit, "fail", f"cannot be held: {side}{_reason(whose, limit)}")
    newer = same_kind(ours, theirs) and parse_release(ours) > parse_release(theirs)
    message = f"it needs {ours}, the baseline {theirs}"
    status: Status = "pass" if not newer else "warn" if limit.value else "fail"
    return _verdict(item, limit, status, message)


def _reason(item: Item, limit: Limit) -> str:
    return item.reason(limit.metric, None)


def _verdict(
    item: Item,
    limit: Limit,
    status: Status,
    message: str,
    *,
    value: float | None = None,
    bound: float | None = None,
) -> Verdict:
    return Verdict(
        artifact=item.name,
        metric=limit.metric,
        status=status,
        value=value,
        limit=bound,
        message=message,
    )
