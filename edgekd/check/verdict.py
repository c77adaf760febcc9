"""Absolute limits: every number that a budget names, held against its limit.

A limit that nothing can be held against fails: a number that was not measured, a file that is
not there, a measurement older than its file. A gate that passes because it looked at nothing is
worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from edgekd import format as fmt
from edgekd.check.budgets import MAXIMA, MINIMA, Budget, Limit
from edgekd.check.subject import Item, Subject
from edgekd.records import Verdict

#: Stands for all files, where a verdict is about none in particular.
ALL = "*"


def absolute(subject: Subject, budget: Budget) -> list[Verdict]:
    """Hold every number against its absolute limit, file by file.

    Args:
        subject: what is checked.
        budget: its limits; those against a baseline are left to `edgekd.check.against`.
    """
    verdicts = []
    for item in subject.items.values():
        for metric in (*MAXIMA, *MINIMA):
            for device in _devices(item, metric, budget):
                limit = budget.find(metric, item.name, device)
                if limit is not None and applies(limit, item):
                    verdicts.append(_judge(item, device, limit))
    return verdicts + _homeless(subject, budget.absolute)


def applies(limit: Limit, item: Item) -> bool:
    """Say whether a limit that matches an item is meant for it: teacher and student by name."""
    return item.exported or limit.artifact is not None


def shown(metric: str, value: float) -> str:
    """Return a number as people read it, with its unit.

    >>> shown("size_bytes", 92_160), shown("accuracy", 0.974)
    ('92.2 KB', '97.40%')
    """
    if metric in MINIMA:
        return fmt.percent(value)
    return fmt.milliseconds(value) if metric == "latency_ms_p50" else fmt.size(value)


def shown_apart(metric: str, value: float, limit: float) -> tuple[str, str]:
    """Return two numbers so that they read differently if they are different."""
    pair = shown(metric, value), shown(metric, limit)
    if pair[0] != pair[1] or value == limit:
        return pair
    if metric in MINIMA:
        return f"{value:.9g}", f"{limit:.9g}"
    unit = "ms" if metric == "latency_ms_p50" else "bytes"
    return f"{value:,.12g} {unit}", f"{limit:,.12g} {unit}"


def _devices(item: Item, metric: str, budget: Budget) -> list[str | None]:
    """Return the devices that a number must be known on.

    Those that the item was measured on, and those that a limit names. An emulated device counts
    for latency only where it is named: the limit then fails and says why.
    """
    if metric == "size_bytes":
        return [None]
    own = [d for d in item.measurements if metric != "latency_ms_p50" or not item.emulated(d)]
    named = [
        limit.device
        for limit in budget.absolute
        if limit.metric == metric
        and limit.device is not None
        and limit.artifact in (None, item.name)
        and applies(limit, item)
    ]
    return list(dict.fromkeys([*own, *named])) or [None]


def _judge(item: Item, device: str | None, limit: Limit) -> Verdict:
    metric = limit.metric
    value = item.value(metric, device)
    if value is None:
        where = f" --device {device}" if device else ""
        message = f"cannot be held: {item.reason(metric, device)}; edgekd benchmark{where}"
        passed = False
    else:
        most = metric in MAXIMA
        passed = value <= limit.value if most else value >= limit.value
        value_text, limit_text = shown_apart(metric, value, limit.value)
        if passed:
            message = f"{value_text}, {'at most' if most else 'at least'} {limit_text}"
        else:
            message = f"{value_text} is {'more' if most else 'less'} than {limit_text}"
    return Verdict(
        artifact=item.name,
        device=device,
        metric=metric,
        status="pass" if passed else "fail",
        value=value,
        limit=limit.value,
        message=message,
    )


def _homeless(subject: Subject, limits: Sequence[Limit]) -> list[Verdict]:
    """Fail the limits of files that are not there."""
    verdicts = []
    for limit in limits:
        name = limit.artifact
        if name is None and not subject.exported:
            message = f"cannot be held: {subject.label} has no exported file; edgekd export"
        elif name is not None and name not in subject.items:
            close = get_close_matches(name, subject.items, n=1)
            known = f"did you mean {close[0]!r}?" if close else f"it has {_listed(subject)}"
            message = f"cannot be held: {subject.label} has no file of this name; {known}"
        else:
            continue
        verdicts.append(
            Verdict(
                artifact=name or ALL,
                device=limit.device,
                metric=limit.metric,
                status="fail",
                limit=limit.value,
                message=message,
            )
        )
    return verdicts


def _listed(subject: Subject) -> str:
    return ", ".join(subject.items) or "none"
