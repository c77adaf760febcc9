"""Rewriting the limits of a budget from what was measured; comments stay, reasons are noted.

A limit that is broken is loosened to what was measured and some room, one that has become wide is
tightened. Whatever is loosened needs a reason, which the file keeps with its date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from edgekd.check.budgets import Budget, Limit
from edgekd.check.propose import MEASURED, clean, limit_for, measured, written
from edgekd.check.quantities import BY_NAME, LATENCY
from edgekd.check.releases import parse_release, same_kind
from edgekd.check.subject import Item, Subject
from edgekd.check.verdict import holding
from edgekd.errors import RunError
from edgekd.storage import atomic_write


@dataclass(frozen=True)
class Change:
    """One limit that is rewritten.

    Attributes:
        before: the limit.
        after: what it becomes.
        looser: it lets more through.
        found: what was measured, in words.
    """

    before: Limit
    after: Limit
    looser: bool
    found: str

    def __str__(self) -> str:
        """Return a line: key, before, after, and what was measured."""
        kind = "loosened" if self.looser else "tightened"
        old, new = _toml(self.before), _toml(self.after)
        return f"{key_path(self.before)}: {old} -> {new} ({kind}; measured: {self.found})"


def key_path(limit: Limit) -> str:
    """Return where a limit stands, e.g. ``artifact.tflite-int8.device.pi4.accuracy``."""
    return ".".join((*_tables(limit), limit.metric))


def changes(budget: Budget, subject: Subject) -> list[Change]:
    """Say which limits should become others; those of numbers that are not known stay.

    So does a limit on latency where the device was throttled.

    Args:
        budget: its absolute limits; relative ones are a policy and stay.
        subject: what was measured.
    """
    by_limit: dict[Limit, list[tuple[Item, str | None]]] = {}
    for item, device, limit in holding(subject, budget):
        by_limit.setdefault(limit, []).append((item, device))
    found: list[Change] = []
    for limit, places in by_limit.items():
        if limit.metric == "operators":
            found += _operators(limit, [item for item, _ in places])
        elif limit.metric == "oldest_runtime":
            found += _runtime(limit, [item for item, _ in places])
        else:
            values = [_trusted(item, limit.metric, device) for item, device in places]
            known = [value for value in values if value is not None]
            if known and len(known) == len(values):
                found += _number(limit, known)
    return found


def _trusted(item: Item, metric: str, device: str | None) -> float | None:
    slowed = metric == LATENCY and item.throttled(device) is not None
    return None if slowed else item.value(metric, device)


def _number(limit: Limit, values: Sequence[float]) -> Iterator[Change]:
    quantity = BY_NAME[limit.metric]
    worst = min(values) if quantity.least else max(values)
    wanted = limit_for(quantity, worst)
    sign = -1 if quantity.least else 1
    looser = sign * worst > sign * limit.value
    if looser or sign * wanted < sign * limit.value:
        after = replace(limit, value=wanted)
        yield Change(limit, after, looser, measured(limit.metric, worst))


def _operators(limit: Limit, items: Sequence[Item]) -> Iterator[Change]:
    new = {name for item in items for name in item.facts.operators} - set(limit.names)
    if new:
        after = replace(limit, names=(*limit.names, *sorted(new)))
        yield Change(limit, after, True, ", ".join(sorted(new)))


def _runtime(limit: Limit, items: Sequence[Item]) -> Iterator[Change]:
    names = list(limit.names)
    for oldest in (item.facts.oldest for item in items):
        for place, name in enumerate(names):
            if oldest and same_kind(oldest, name) and parse_release(oldest) > parse_release(name):
                names[place] = oldest
    if tuple(names) != limit.names:
        new = ", ".join(name for name in names if name not in limit.names)
        yield Change(limit, replace(limit, names=tuple(names)), True, f"it needs {new}")


def update(
    path: Path, subject: Subject, *, reason: str | None = None, today: date | None = None
) -> list[Change]:
    """Rewrite the limits of a budget file.

    Args:
        path: the file: a budget, or a recipe with one.
        subject: what was measured.
        reason: why limits are loosened.
        today: the date of the note; None: today's, in UTC.

    Returns:
        what was rewritten; nothing was, if it is empty.

    Raises:
        RecipeError: the file has faults.
        RunError: limits would be loosened and there is no reason.
        StorageError: the file cannot be written.
    """
    budget = Budget.load(path)
    found = changes(budget, subject)
    why = clean(reason or "")
    looser = [change for change in found if change.looser]
    if looser and not why:
        lines = "\n".join(f"  {change}" for change in found)
        count = "1 limit" if len(looser) == 1 else f"{len(looser)} limits"
        raise RunError(
            f"{path}: {count} would be loosened, so nothing was written\n{lines}",
            hint='Say why: edgekd check --update --reason "..."',
        )
    if not found:
        return []
    text = rewritten(path.read_text(encoding="utf-8"), found)
    day = (today or datetime.now(timezone.utc).date()).isoformat()
    if why:
        keys = ", ".join(
            f"{clean(key_path(c.before))} {_toml(c.before)} -> {_toml(c.after)}" for c in looser
        )
        text = text.rstrip("\n") + f"\n# {day}: {why}" + (f" ({keys})" if keys else "") + "\n"
    _prove(text, budget, found, path)
    atomic_write(path, text)
    return found


def rewritten(text: str, found: Sequence[Change]) -> str:
    """Return a budget's TOML with other limits; all else stays as it is.

    Args:
        text: of the file.
        found: what to rewrite.
    """
    import tomlkit

    document = tomlkit.parse(text)
    for change in found:
        table: Any = _root(document)
        for part in _tables(change.before):
            table = table[part]
        old = table[change.before.metric]
        table[change.before.metric] = tomlkit.value(_toml(change.after, like=old))
        _remark(table, change)
    return tomlkit.dumps(document)


def _root(document: Any) -> Any:
    """Return the table that `Budget.load` reads."""
    inner = document.get("budget")
    is_recipe = hasattr(inner, "items") and (len(document) == 1 or "student" in document)
    return inner if is_recipe else document


def _remark(table: Any, change: Change) -> None:
    """Keep the comment above a limit true that says what was measured."""
    body = getattr(table, "body", None) or getattr(getattr(table, "value", None), "body", None)
    before = None
    for key, item in body or ():
        if key is not None and key.key == change.before.metric:
            if before is not None and before.trivia.comment.startswith(MEASURED):
                before.trivia.comment = clean(f"{MEASURED}{change.found}")
            return
        before = item if key is None and item.trivia.comment else None


def _prove(text: str, budget: Budget, found: Sequence[Change], path: Path) -> None:
    """Refuse to write a file that does not say what was decided."""
    import tomlkit

    after = {change.before: change.after for change in found}
    expected = [after.get(limit, limit) for limit in budget.limits]
    tables = _root(tomlkit.parse(text).unwrap())
    if list(Budget.from_dict(tables, source=str(path)).limits) != expected:
        raise RunError(
            f"{path}: its limits are written in a way that cannot be rewritten safely",
            hint="Edit it by hand; edgekd check shows what is broken.",
        )


def _tables(limit: Limit) -> tuple[str, ...]:
    artifact = () if limit.artifact is None else ("artifact", limit.artifact)
    device = () if limit.device is None else ("device", limit.device)
    return (*artifact, *device)


def _toml(limit: Limit, like: Any = None) -> str:
    """Return the value of a limit as TOML, a single name as a string where it was one."""
    if not limit.names:
        return written(limit.value)
    import json

    names = [json.dumps(name, ensure_ascii=False) for name in limit.names]
    if len(names) == 1 and (isinstance(like, str) or limit.metric == "oldest_runtime"):
        return names[0]
    return f"[{', '.join(names)}]"
