"""Absolute limits: every number that a budget names, held against its limit.

A limit that nothing can be held against fails: a number that was not measured, a file that is
not there, a measurement older than its file. A gate that passes because it looked at nothing is
worse than none.

A throttled device is slower than it can be. A limit on its milliseconds that is kept all the same
is kept, with a warning; one that is not is neither kept nor broken: `inconclusive`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from difflib import get_close_matches

from edgekd.check.budgets import Budget, Limit
from edgekd.check.operators import judge_operators, judge_runtime
from edgekd.check.quantities import (
    BY_NAME,
    LATENCY,
    OF_FILE,
    QUANTITIES,
    Quantity,
    shown_apart,
)
from edgekd.check.subject import Item, Subject
from edgekd.records import Verdict

#: Stands for all files, where a verdict is about none in particular.
ALL = "*"


def absolute(subject: Subject, budget: Budget, *, partial: bool = False) -> list[Verdict]:
    """Hold every number against its absolute limit, file by file.

    Args:
        subject: what is checked.
        budget: its limits; those against a baseline are left to `edgekd.check.against`.
        partial: only some of the files were given, so that a limit of another one says nothing.
    """
    held = list(holding(subject, budget))
    verdicts = [_judge(item, device, limit) for item, device, limit in held]
    verdicts += _throttled(held)
    if partial:
        return verdicts
    return verdicts + _homeless(subject, budget.absolute, {limit for _, _, limit in held})


def holding(subject: Subject, budget: Budget) -> Iterator[tuple[Item, str | None, Limit]]:
    """Yield every absolute limit with the file and the device that it holds for.

    Args:
        subject: what is checked.
        budget: the limits.
    """
    for item in subject.items.values():
        for quantity in QUANTITIES:
            for device in _devices(item, quantity, budget):
                limit = budget.find(quantity.name, item.name, device)
                if limit is not None and applies(limit, item):
                    yield item, device, limit


def applies(limit: Limit, item: Item) -> bool:
    """Say whether a limit that matches an item is meant for it.

    Teacher and student are reached by name. So is a quantized file where a limit is about float32,
    and a file of another format where it is about a runtime.
    """
    if limit.artifact is not None:
        return True
    if limit.metric == "fp32_parity" and item.scheme not in (None, "none"):
        return False
    if limit.metric == "oldest_runtime" and not limit.relative:
        return item.exported and any(_runs(name, item) for name in limit.names)
    return item.exported


def _runs(release: str, item: Item) -> bool:
    return item.format in (None, "onnx" if release.startswith("onnxruntime") else "tflite")


def _devices(item: Item, quantity: Quantity, budget: Budget) -> list[str | None]:
    """Return the devices that a number must be known on.

    Those that the item was measured on, and those that a limit names. An emulated device counts
    for latency only where it is named: the limit then fails and says why. For instructions it is
    the other way round.
    """
    metric = quantity.name
    if not quantity.on_device:
        return [None]
    emulated = {LATENCY: False, "instructions": True}.get(metric)
    own = [d for d in item.measurements if emulated in (None, item.emulated(d))]
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
    if metric == "operators":
        return judge_operators(item, limit)
    if metric == "oldest_runtime":
        return judge_runtime(item, limit)
    value = item.value(metric, device)
    if value is None:
        where = f" --device {device}" if device else ""
        advice = "" if metric in (*OF_FILE, "fp32_parity") else f"; edgekd benchmark{where}"
        message = f"cannot be held: {item.reason(metric, device)}{advice}"
        passed = False
    else:
        most = not BY_NAME[metric].least
        passed = value <= limit.value if most else value >= limit.value
        value_text, limit_text = shown_apart(metric, value, limit.value)
        if passed:
            message = f"{value_text}, {'at most' if most else 'at least'} {limit_text}"
        else:
            message = f"{value_text} is {'more' if most else 'less'} than {limit_text}"
    slowed = item.throttled(device) if metric == LATENCY and value is not None else None
    if slowed is not None and not passed:
        message += f", but {slowed}: measure again"
    return Verdict(
        artifact=item.name,
        device=device,
        metric=metric,
        status="pass" if passed else "inconclusive" if slowed else "fail",
        value=value,
        limit=limit.value,
        message=message,
    )


def _throttled(held: Sequence[tuple[Item, str | None, Limit]]) -> Iterator[Verdict]:
    """Warn of milliseconds that limits were held against and that are not to be trusted."""
    for item, device, limit in held:
        slowed = item.throttled(device) if limit.metric == LATENCY else None
        if slowed is not None and item.value(LATENCY, device) is not None:
            yield Verdict(
                artifact=item.name,
                device=device,
                metric="throttled",
                status="warn",
                message=f"{slowed}: its stored milliseconds are not to be trusted",
            )


def _homeless(subject: Subject, limits: Sequence[Limit], used: Set[Limit]) -> list[Verdict]:
    """Fail the limits of files that are not there."""
    verdicts = []
    for limit in limits:
        name = limit.artifact
        special = limit.metric in ("fp32_parity", "oldest_runtime")
        if name is None and special and subject.exported and limit not in used:
            wanted = "in float32" if limit.metric == "fp32_parity" else "for these runtimes"
            if any(one.metric == limit.metric for one in used):
                continue  # limits of single files hide it
            message = f"cannot be held: {subject.label} has no file {wanted}"
        elif name is None and not subject.exported:
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
