"""The page on the architecture draws the layers that the linter holds, and every module."""

from __future__ import annotations

import re

from edgekd.toml import read_toml
from tests.docs.markdown import DOCS, REPOSITORY, blocks

PAGE = DOCS / "architecture.md"


def drawn() -> list[str]:
    """Return the block of the layers, a line a layer."""
    text = PAGE.read_text(encoding="utf-8")
    after = text.partition("\n## Layers\n")[2]
    block = next(b for b in blocks("text", pages=[PAGE]) if b.text in after)
    return block.text.splitlines()


def test_the_layers_are_those_of_the_linter() -> None:
    contracts = read_toml(REPOSITORY / "pyproject.toml")["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    assert drawn() == [layer.replace("edgekd.", "") for layer in layers]


def test_every_module_is_explained() -> None:
    package = REPOSITORY / "edgekd"
    there = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("| Module | What it does |\n")[2].partition("\n\n")[0]
    explained = set(re.findall(r"`(\w+)`", "\n".join(r.split("|")[1] for r in table.splitlines())))
    assert explained == there - {"__init__", "__main__"}
    in_layers = {name for line in drawn() for name in line.split(" | ")}
    assert in_layers <= explained
