"""Tables of names in hand-written pages: losses, models, devices, ... filled from their rows.

A page says where a table goes by a comment, ``<!-- names: loss -->``; what follows it is replaced.
So a new row is in the docs as soon as `edgekd.cli.reference` has run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from inspect import Parameter
from typing import Any

from edgekd.recipe import builtin_recipes
from edgekd.recipe_faults import GIVEN, NAMES, OPEN
from edgekd.registry import TABLES, options_of, table

_MARK = re.compile(r"(<!-- names: (\S+) -->\n)(?:\|.*\n)*")


def fill(page: str) -> str:
    """Return a page with all its marked tables as they should be."""
    return _MARK.sub(lambda found: f"{found[1]}{names_table(found[2])}\n", page)


def kinds() -> tuple[str, ...]:
    """Return every kind of table that a page may ask for."""
    return (*TABLES, "device", "recipe")


def names_table(kind: str) -> str:
    """Return the table of a kind: name, what it is, and its options where it has some."""
    if kind == "device":
        from edgekd.bench.devices import builtin_names, builtin_profile

        return markdown_table(
            ("Name", "What it is"),
            [(f"`{name}`", builtin_profile(name).description) for name in builtin_names()],
        )
    if kind == "recipe":
        return markdown_table(
            ("Name", "What it is"),
            [(f"`{name}`", _first_line(path)) for name, path in builtin_recipes().items()],
        )
    rows = [(f"`{row.name}`", row.summary, _options(kind, row)) for row in table(kind)]
    return markdown_table(("Name", "What it is", "Options"), rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, without the columns that are empty in every row."""
    if not rows:
        return ""
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [[head[i] for i in used], ["---"] * len(used)]
    lines += [[row[i].replace("|", "\\|") for i in used] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _options(kind: str, row: Any) -> str:
    """Return what a recipe may set, with defaults."""
    if kind not in {NAMES[pattern] for pattern in OPEN}:
        return ""
    options = options_of(row.load(), given_by_caller=GIVEN.get(kind, ()))
    return ", ".join(_option(parameter) for parameter in options.values())


def _option(parameter: Parameter) -> str:
    if parameter.default is Parameter.empty:
        return f"`{parameter.name}` (needed)"
    if parameter.default is None:
        return f"`{parameter.name}`"
    return f"`{parameter.name}` = {json.dumps(parameter.default)}"


def _first_line(path: Any) -> str:
    return str(path.read_text(encoding="utf-8").splitlines()[0]).removeprefix("#").strip()
