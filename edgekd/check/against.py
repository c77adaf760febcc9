"""Relative limits: what is checked, held against a baseline.

Sizes, memory, accuracy and agreement repeat well enough to fail on. Stored milliseconds do not:
two runs of one and the same file on one machine differ by more than many a true slowdown, so they
warn and never fail. Where the baseline's file is there, `edgekd.check.latency` runs both in turn,
and that can fail. An absolute ``latency_ms_p50`` fails too; see `edgekd.check.verdict`.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekd import format as fmt
from edgekd.check.budgets import Budget, Limit
from edgekd.check.operators import judge_operators_against, judge_runtime_against
from edgekd.check.quantities import BY_NAME, LATENCY, RELATIVE, STORED_LATENCY, shown_apart
from edgekd.check.subject import Item, Subject
from edgekd.check.verdict import ALL, applies
from edgekd.errors import RunError
from edgekd.records import Verdict

#: Relative room for the rounding of floating-point subtraction and multiplication.
_ROUNDING = 1e-9


def against(subject: Subject, baseline: Subject, budget: Budget) -> list[Verdict]:
    """Hold every number against the baseline's.

    Args:
        subject: what is checked.
        baseline: what it is held against.
        budget: its relative limits are used.

    Raises:
        RunError: the baseline is the run itself, or a bare file that could stand for several.
    """
    if subject.run and baseline.run and subject.run.path.resolve() == baseline.run.path.resolve():
        raise RunError(
            f"the baseline is {subject.label} itself, so nothing could get worse",
            hint="Name another run: edgekd runs list",
        )
    verdicts = list(_other_data(subject, baseline))
    for item, base in pairs(subject, baseline):
        for metric in dict.fromkeys(RELATIVE.values()):
            limit = budget.find(metric, item.name, None, relative=True)
            if limit is not None and applies(limit, item):
                verdicts += _judge(item, base, limit, bare=baseline.run is None)
    return verdicts + list(_unmatched(subject, baseline, budget))


def pairs(subject: Subject, baseline: Subject) -> list[tuple[Item, Item]]:
    """Match items by name; a bare file matches the only one of its format.

    Args:
        subject: what is checked.
        baseline: what it is held against.

    Raises:
        RunError: a bare file could stand for several.
    """
    named = [
        (item, baseline.items[name])
        for name, item in subject.items.items()
        if name in baseline.items
    ]
    if any(item.exported for item, _ in named) or (subject.run and baseline.run):
        return named
    fitting = [
        (ours, theirs)
        for ours in subject.exported
        for theirs in baseline.exported
        if ours.format == theirs.format
    ]
    if len(fitting) > 1:
        names = ", ".join(dict.fromkeys(f"{a.name} and {b.name}" for a, b in fitting))
        raise RunError(
            f"{baseline.label} could be held against several files: {names}",
            hint="Check one file: edgekd check RUN/artifacts/NAME/FILE --baseline FILE",
        )
    return named + fitting


def _judge(item: Item, base: Item, limit: Limit, *, bare: bool) -> list[Verdict]:
    """Compare one number of one item on every device that the baseline has it on."""
    metric = limit.metric
    if metric == "operators":
        return [judge_operators_against(item, base, limit)]
    if metric == "oldest_runtime":
        return [judge_runtime_against(item, base, limit)]
    device_free = not BY_NAME[metric].on_device or not (item.measurements or base.measurements)
    theirs = [None] if device_free else list(base.measurements)
    known = [device for device in theirs if base.value(metric, device) is not None]
    if not known:
        return _baseline_unknown(item, base, limit, bare=bare)
    common = [device for device in known if device is None or device in item.measurements]
    verdicts = []
    for device in known:
        value, before = item.value(metric, device), base.value(metric, device)
        if value is not None and before is not None:
            verdicts.append(_compare(item, base, device, limit, value, before))
        else:
            message = f"the baseline has it, but {item.reason(metric, device)}"
            if BY_NAME[metric].on_device:
                message += "; edgekd benchmark"
            # A device that was not visited this time is no failure as long as another one was.
            status = "warn" if common and device not in common else "fail"
            verdicts.append(_verdict(item, device, limit, status, message, baseline=before))
    return verdicts


def _compare(
    item: Item, base: Item, device: str | None, limit: Limit, value: float, before: float
) -> Verdict:
    metric = limit.metric
    value_text, before_text = shown_apart(metric, value, before)
    if BY_NAME[metric].least:
        bound = before - limit.value
        passed = value >= bound - _ROUNDING
        message = (
            f"{value_text} against {before_text}: {fmt.points(value - before)}, "
            f"may lose {fmt.points(limit.value).lstrip('+')}"
        )
    else:
        factor = limit.value
        if metric == LATENCY and limit.default:
            factor = STORED_LATENCY
        bound = max(before * factor, before + BY_NAME[metric].room)
        passed = value <= bound + abs(bound) * _ROUNDING
        ratio = fmt.factor(value / before) if before > 0 else "from nothing"
        message = f"{value_text} against {before_text}: {ratio}, at most {factor:g}x"
        if passed and value > before * factor:
            message += ", and a few pages of memory are no growth"
    status = "pass" if passed else "fail"
    if metric == LATENCY and not passed:
        status = "warn"
        message += "; stored milliseconds only warn, as they vary from run to run"
    message += _circumstances(item, base, device, metric)
    return _verdict(item, device, limit, status, message, value=value, bound=bound, baseline=before)


def _circumstances(item: Item, base: Item, device: str | None, metric: str) -> str:
    """Say what else differs between two measurements."""
    if device is None or not BY_NAME[metric].on_device:
        return ""
    ours, theirs = item.measurements[device], base.measurements[device]
    differing = []
    if (ours.runtime, ours.runtime_version) != (theirs.runtime, theirs.runtime_version):
        differing.append(f"{theirs.runtime} {theirs.runtime_version}")
    if not BY_NAME[metric].least and ours.threads != theirs.threads:
        differing.append(f"{theirs.threads} threads")
    if metric == LATENCY and ours.provenance.cpu != theirs.provenance.cpu:
        differing.append(f"another CPU, {theirs.provenance.cpu}")
    text = f" (the baseline was measured with {', '.join(differing)})" if differing else ""
    if metric == LATENCY:
        for whose, one in (("", item), ("the baseline's: ", base)):
            slowed = one.throttled(device)
            text += f" ({whose}{slowed})" if slowed is not None else ""
    return text


def _baseline_unknown(item: Item, base: Item, limit: Limit, *, bare: bool) -> list[Verdict]:
    """The baseline does not have the number: a fault, unless nobody asked or a file cannot know."""
    metric = limit.metric
    here = [d for d in (None, *item.measurements) if item.value(metric, d) is not None]
    if limit.default and (bare or not here):
        return []
    status = "warn" if bare or limit.default else "fail"
    device = next(iter(base.measurements), None)
    message = f"cannot be held against the baseline: there, {base.reason(metric, device)}"
    return [_verdict(item, None, limit, status, message)]


def _unmatched(subject: Subject, baseline: Subject, budget: Budget) -> Iterator[Verdict]:
    """Report files that only one of two runs has, and a baseline with nothing in common."""
    if subject.run and baseline.run:
        for item in baseline.exported:
            if item.name not in subject.items:
                message = f"the baseline has this file, {subject.label} has not; edgekd export"
                yield _plain(item.name, "fail", message)
        for item in subject.exported:
            if item.name not in baseline.items:
                yield _plain(item.name, "warn", "new: the baseline has no such file")
    elif not any(item.exported for item, _ in pairs(subject, baseline)):
        message = f"no file of {subject.label} can be held against {baseline.label}"
        yield _plain(ALL, "fail", message)
    for limit in budget.relative:
        if limit.artifact is not None and limit.artifact not in subject.items:
            message = f"cannot be held: {subject.label} has no file of this name"
            yield Verdict(
                artifact=limit.artifact, metric=limit.metric, status="fail", message=message
            )


def _other_data(subject: Subject, baseline: Subject) -> Iterator[Verdict]:
    if subject.run and baseline.run:
        ours, theirs = subject.run.manifest.data_sha256, baseline.run.manifest.data_sha256
        if ours and theirs and ours != theirs:
            message = "the two runs were scored on different data or splits"
            yield Verdict(artifact=ALL, metric="data", status="warn", message=message)


def _verdict(
    item: Item,
    device: str | None,
    limit: Limit,
    status: str,
    message: str,
    *,
    value: float | None = None,
    bound: float | None = None,
    baseline: float | None = None,
) -> Verdict:
    return Verdict.model_validate(
        {
            "artifact": item.name,
            "device": device,
            "metric": limit.metric,
            "status": status,
            "value": value,
            "limit": bound,
            "baseline": baseline,
            "message": message,
        }
    )


def _plain(name: str, status: str, message: str) -> Verdict:
    return Verdict.model_validate(
        {"artifact": name, "metric": "file", "status": status, "message": message}
    )
