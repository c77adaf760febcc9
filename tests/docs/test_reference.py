"""The generated docs say what the program does now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from edgekd.cli import reference
from tests.docs.markdown import DOCS

PAGES = reference.pages()


def test_nothing_is_stale() -> None:
    assert reference.stale(DOCS) == [], "run: make docs"


def test_stale_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([str(tmp_path)]) == 0
    assert reference.main([str(tmp_path), "--check"]) == 0
    assert capsys.readouterr().out == ""

    by_hand = "# Mine\n\n<!-- names: optimizer -->\n\nText stays.\n"
    (tmp_path / "mine.md").write_text(by_hand)
    (tmp_path / "cli.md").write_text("old")
    (tmp_path / "schemas" / "error.json").unlink()
    (tmp_path / "schemas" / "gone.json").write_text("{}")
    assert reference.main([str(tmp_path), "--check"]) == 1
    out = capsys.readouterr().out
    assert "cli.md is out of date" in out
    assert "mine.md is out of date" in out
    assert "error.json is missing" in out
    assert "gone.json is made by nothing" in out

    assert reference.main([str(tmp_path)]) == 0
    assert not (tmp_path / "schemas" / "gone.json").exists()
    assert reference.stale(tmp_path) == []
    filled = (tmp_path / "mine.md").read_text()
    assert "| `sgd` | SGD with Nesterov momentum |" in filled
    assert filled.startswith("# Mine\n") and filled.endswith("\n\nText stays.\n")


@pytest.mark.parametrize(
    "expected",
    [
        "## edgekd distill",
        "## edgekd runs show",
        "edgekd distill [OPTIONS] [RECIPE]",
        "| `--accelerator` | `auto\\|cpu\\|cuda` |",
        "| `--seed` | `whole number >= 0` |",
        "| `--set` | `KEY=VALUE` |",
        "| `--tolerance` | `number` | `0.0001` |",
        "| `[RECIPE]` | `digits` |",
        "[schemas/devices.json](schemas/devices.json)",
    ],
)
def test_the_page_has(expected: str) -> None:
    assert expected in PAGES["cli.md"]


def test_every_option_is_explained() -> None:
    """No row of a table ends with an empty cell: that is where the meaning stands."""
    rows = [line for line in PAGES["cli.md"].splitlines() if line.startswith("|")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []


def test_no_markup_is_left_or_lost() -> None:
    """Rich takes [word] for markup: help that means brackets must escape them."""
    page = PAGES["cli.md"]
    assert "[bold]" not in page
    assert "[/" not in page
    assert "[]" not in page
    assert "'s ." not in page


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".json")])
def test_schemas_are_valid_and_numbered(name: str) -> None:
    schema = json.loads(PAGES[name])
    Draft202012Validator.check_schema(schema)
    # What the agent answers is one of two things, numbered in their own names.
    for one in [schema] if "properties" in schema else schema["$defs"].values():
        if "schema" in one["properties"]:
            assert one["properties"]["schema"]["const"] in (1, "edgekd.run/1")
            return
    pytest.fail("no number")
