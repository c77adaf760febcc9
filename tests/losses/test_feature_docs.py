"""The pages on losses on features: their recipes hold, and their layers are there and fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgekd.distill.features import shapes_of
from edgekd.distill.named import effective_train
from edgekd.distill.terms import student_terms
from edgekd.losses.base import Facts
from edgekd.models.build import build
from edgekd.recipe import BUILTIN, Recipe, TeacherSpec
from edgekd.registry import options_of, table
from edgekd.toml import read_toml
from tests.docs.markdown import DOCS, Block, blocks

PAGES = [DOCS / "losses" / name for name in ("feature.md", "attention.md")]
BLOCKS = blocks("toml", pages=PAGES)
NAMES = (
    "hint",
    "cross-layer",
    "attention-transfer",
    "temporal-attention",
    "transformer-hidden",
    "transformer-attention",
    "minilm",
)
RECIPES = (
    "hint",
    "cross-layer",
    "attention-transfer",
    "temporal-attention",
    "tinybert",
    "minilm",
)


def check_losses(recipe: Recipe) -> None:
    """Build both networks and every loss, on the shapes of the digits."""
    example = torch.zeros(2, 1, 8, 8)
    terms = student_terms(recipe.loss, recipe.train)
    networks: list[nn.Module] = [
        build(spec.model, spec.options, num_classes=10, input_shape=(1, 8, 8))
        for spec in (recipe.student, recipe.teacher[0])
    ]
    for term in terms:
        ours, theirs = term.loss.layers()
        found = shapes_of(networks[0], ours, example, "student")
        known = shapes_of(networks[1], theirs, example, "teacher")
        term.loss.build(Facts(found[0], known[0], found[1], known[1], 10))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_blocks_are_recipes_whose_layers_fit(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.toml"
    path.write_text(block.text)
    check_losses(Recipe.from_dict(read_toml(path)))


@pytest.mark.parametrize("name", RECIPES)
def test_built_in_recipes_are_recipes_whose_layers_fit(name: str) -> None:
    recipe = Recipe.load(BUILTIN / f"digits-{name}.toml", options=True)
    check_losses(recipe)
    assert recipe.name == f"digits-{name}"
    assert any(f"`digits-{name}`" in page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("name", ["hint", "cross-layer", "attention-transfer"])
def test_recipes_with_the_teacher_of_digits_share_it(name: str) -> None:
    ours, digits = (Recipe.load(BUILTIN / f"{n}.toml") for n in (f"digits-{name}", "digits"))
    teacher: TeacherSpec = ours.teacher[0]
    assert teacher == digits.teacher[0] and ours.data == digits.data
    # What decides a kept teacher; the student may train longer.
    assert effective_train(ours, teacher, "t") == effective_train(digits, digits.teacher[0], "t")


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_its_line(name: str) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for part in ("**What it matches.**", "**When.**", "**Options.**", "**Cost.**", "arxiv.org"):
        assert part in section
    for option in options_of(table("loss").resolve(name)):
        assert f"| `{option}` |" in section
