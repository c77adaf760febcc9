"""The report as GitHub-flavoured Markdown: every table and sentence, without the charts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgekd.report.blocks import Block, Facts, Folded, Row, Section, Table
from edgekd.report.contents import Contents, Results

#: First line of a file of ours; only such a file is ever replaced.
MARK = "<!-- edgekd report -->"

#: Characters that mean something to Markdown or to the HTML in it.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def render(contents: Contents) -> str:
    """Return a report as Markdown.

    Args:
        contents: what it says.
    """
    parts = [MARK, f"# {escaped(contents.title)}", escaped(contents.lead)]
    parts += [escaped(text) for text in contents.verdict]
    if contents.tiles:
        tiles = [
            (tile.label, f"{tile.value} {tile.spread}".strip(), tile.detail)
            for tile in contents.tiles
        ]
        parts.append(_table(("", "", "compared with"), tiles, {2}))
    parts += [_results(results) for results in contents.results]
    parts += [text for section in contents.sections for text in _section(section)]
    parts.append("The charts are in the HTML page: `edgekd report`.")
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    r"""Return text that Markdown shows as it is, on one line.

    >>> print(escaped("a|b <c>"))
    a\|b \<c\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _results(results: Results) -> str:
    several = len(results.devices) > 1
    head = ("name", *(["device"] if several else []), *results.columns)
    rows = [
        (
            f"{row.name} ({row.status})" if row.status else row.name,
            *([row.device or "-"] if several else []),
            *row.cells,
        )
        for row in results.rows
    ]
    words = {1} if several else set()
    table = _table(head, rows, words)
    return f"## {escaped(results.title)}\n\n{table}\n\n{escaped(results.note)}"


def _section(section: Section) -> Iterator[str]:
    """Yield the heading and the blocks of a section; nothing where it has charts alone."""
    blocks = [text for block in section.blocks for text in _block(block)]
    if blocks:
        yield f"## {escaped(section.title)}"
        yield escaped(section.note)
        yield from blocks


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Row):
        for inner in block.blocks:
            yield from _block(inner)
    elif isinstance(block, Folded):
        yield f"### {escaped(block.summary)}"
        yield from _block(block.table)
    elif isinstance(block, Facts):
        rows = "\n".join(f"- **{escaped(name)}**: {escaped(text)}" for name, text in block.rows)
        yield f"### {escaped(block.title)}\n\n{rows}" if block.title else rows
    elif isinstance(block, Table):
        if block.title:
            yield f"### {escaped(block.title)}"
        yield _table(block.head, _with_texts(block), {0, *block.words})
        yield escaped(block.note)


def _with_texts(table: Table) -> Sequence[Sequence[str]]:
    """Return the rows with the text of each behind its name, where there are texts."""
    if not table.texts:
        return table.rows
    return [
        (f"{row[0]}: {text}" if text else row[0], *row[1:])
        for row, text in zip(table.rows, table.texts, strict=True)
    ]


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], words: set[int] | frozenset[int]
) -> str:
    lines = [
        "| " + " | ".join(map(escaped, head)) + " |",
        "|"
        + "|".join(" --- " if at in words or at == 0 else " ---: " for at in range(len(head)))
        + "|",
        *("| " + " | ".join(map(escaped, row)) + " |" for row in rows),
    ]
    return "\n".join(lines)
