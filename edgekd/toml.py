"""Reading TOML, overriding keys, writing TOML back."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd.errors import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        RecipeError: it cannot be read, or is not TOML (with line and column).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"cannot read it: {error}"]) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            str(path),
            [f"it is not valid TOML: {error}"],
            hint='Strings need quotes: model = "resnet8".',
        ) from error


def parse_value(text: str) -> Any:
    """Read the value of an override: TOML where it is TOML, else a bare string.

    >>> parse_value("3"), parse_value("[1, 2]"), parse_value("true"), parse_value("resnet8")
    (3, [1, 2], True, 'resnet8')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Set ``key.path=value`` in nested tables, in place; return the faults.

    >>> raw = {"train": {"epochs": 3}, "loss": [{"weight": 1.0}]}
    >>> apply_overrides(raw, ["train.epochs=5", "loss.0.weight=0.5", "loss.7.weight=1"])
    ['--set loss.7.weight=1: loss has 1 entries, so no number 7']
    >>> raw
    {'train': {'epochs': 5}, 'loss': [{'weight': 0.5}]}
    """
    faults = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            faults.append(f"--set {override}: write it as key.path=value")
            continue
        fault = _set(raw, key.strip().split("."), parse_value(value.strip()))
        if fault:
            faults.append(f"--set {override}: {fault}")
    return faults


def _set(raw: dict[str, Any], path: Sequence[str], value: Any) -> str | None:
    node: Any = raw
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        here = ".".join(path[:depth]) or "the recipe"
        if isinstance(node, list):
            if not part.isdecimal() or int(part) >= len(node):
                return f"{here} has {len(node)} entries, so no number {part}"
            index: Any = int(part)
        elif isinstance(node, dict):
            index = part
            if not last:
                node.setdefault(part, {})
        else:
            return f"{here} is a value, not a table"
        if last:
            node[index] = value
        else:
            node = node[index]
    return None


def dump_toml(tables: Mapping[str, Any]) -> str:
    """Return nested dictionaries as TOML text that reads back equal."""
    import tomlkit

    return tomlkit.dumps(tables)
