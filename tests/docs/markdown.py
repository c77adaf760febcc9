"""Reading the project's own Markdown: fenced blocks, marked tables, links, commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PAGES = sorted([*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TABLE = re.compile(r"<!-- (\w+): (\w+) -->\n((?:\|.*\n)+)")
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: the file it stands in.
        line: of its first line of content.
        language: after the fence.
        text: what stands between the fences.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The path in its first line, where the block is a file: ``# my_package/models.py``."""
        match = re.match(r"# (\S+\.\w+)\n", self.text)
        return match[1] if match else None

    @property
    def commands(self) -> list[str]:
        """Its lines that call edgekd."""
        lines = [line.removeprefix("$ ").strip() for line in self.text.splitlines()]
        return [line for line in lines if line.startswith("edgekd ")]

    def __str__(self) -> str:
        """Name it as editors do."""
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def blocks(*languages: str, pages: list[Path] | None = None) -> list[Block]:
    """Return the fenced blocks of these languages, of all pages unless told."""
    found = []
    for page in PAGES if pages is None else pages:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match[1] in languages:
                line = text.count("\n", 0, match.start(2)) + 1
                found.append(Block(page, line, match[1], match[2]))
    return found


def tables(kind: str) -> dict[str, list[list[str]]]:
    """Return the rows of tables marked ``<!-- kind: name -->``, by name, without their heads."""
    found: dict[str, list[list[str]]] = {}
    for page in PAGES:
        for match in _TABLE.finditer(page.read_text(encoding="utf-8")):
            if match[1] == kind:
                lines = match[3].splitlines()[2:]
                rows = [[cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines]
                found.setdefault(match[2], []).extend(rows)
    return found


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def inline_commands(page: Path) -> list[str]:
    """Return the inline code of a page that calls edgekd with something behind it."""
    return [code for code in _INLINE.findall(prose(page)) if code.startswith("edgekd ")]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and images."""
    return _LINK.findall(_INLINE.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
