"""What a section of the page is made of. `sections.html.jinja` lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from edgekd.report.style import Spec
from edgekd.summary import BASELINE

#: The most rows of any table but the first: more are not read on a page; the records hold them all.
MOST_ROWS = 20

#: The most lines of a chart that can still be told apart.
MOST_LINES = 5


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        title: what it shows.
        note: what to look at.
        spec: its specification.
        wide: it takes the full width.
    """

    kind: ClassVar[str] = "figure"

    title: str
    note: str
    spec: Spec
    wide: bool = False


@dataclass(frozen=True)
class Select:
    """Something to choose.

    Attributes:
        label: what is chosen.
        options: key -> what the reader sees; the first is chosen at first.
    """

    label: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Chooser:
    """A chart of which the reader chooses the axes.

    Attributes:
        title: what it shows.
        note: what to look at.
        selects: what can be chosen.
        specs: one key of each select, in their order -> specification. Not every combination
            need be there; the first one is shown at first.
    """

    kind: ClassVar[str] = "chooser"
    wide: ClassVar[bool] = True

    title: str
    note: str
    selects: Sequence[Select]
    specs: Mapping[tuple[str, ...], Spec]

    @property
    def spec(self) -> Spec:
        """What is shown at first."""
        return next(iter(self.specs.values()))


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        title: what it shows; empty where the section says so.
        head: names of the columns.
        rows: as many cells each.
        note: what stands below.
        words: columns from the second on that hold words, not numbers, counted from 0.
        pictures: picture of each row, as a ``data:`` address; an empty one stands for none.
        texts: what each row is about, where that is text.
    """

    kind: ClassVar[str] = "table"

    title: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: frozenset[int] = frozenset()
    pictures: Sequence[str] = ()
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Key:
    """One entry of a legend: name, colour, dashes as SVG has them."""

    name: str
    colour: str
    dashes: str


@dataclass(frozen=True)
class Small:
    """Many small charts with the same axes and one legend."""

    kind: ClassVar[str] = "small"

    title: str
    note: str
    keys: Sequence[Key]
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Facts:
    """Names with a sentence each."""

    kind: ClassVar[str] = "facts"

    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """Blocks that stand side by side where the page is wide enough."""

    kind: ClassVar[str] = "row"

    blocks: Sequence[Figure | Table]


@dataclass(frozen=True)
class Folded:
    """A table that is shown when it is asked for."""

    kind: ClassVar[str] = "folded"

    summary: str
    table: Table


Block = Figure | Chooser | Table | Small | Facts | Row | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        blocks: what it shows, from top to bottom.
        note: stands below the heading.
    """

    title: str
    blocks: Sequence[Block]
    note: str = ""


def called(name: str) -> str:
    """Return what the page calls a network or file of an evaluation."""
    return BASELINE if name == "baseline" else name


def figures_of(sections: Sequence[Section]) -> list[Figure | Chooser]:
    """Return every chart, in the order of the page."""
    found: list[Figure | Chooser] = []
    for section in sections:
        for block in section.blocks:
            inner: Sequence[object] = (block,)
            if isinstance(block, Row):
                inner = block.blocks
            elif isinstance(block, Small):
                inner = block.figures
            found += [figure for figure in inner if isinstance(figure, Figure | Chooser)]
    return found
