"""Every name that a user can write is documented, and every documented name exists."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from edgekd import errors, recipe
from edgekd.bench.devices import Device, builtin_names
from edgekd.cli.reference_tables import kinds
from edgekd.recipe_faults import GIVEN
from edgekd.registry import options_of, table
from tests.docs.markdown import DOCS, README, tables

NAMES = tables("names")
KEYS = tables("keys")
OPTIONS_OF = ("model", "loss", "source", "augmentation", "transform")

#: Defaults that the docs put in words.
IN_WORDS = {"needed", "see below", "none", "the digits", "the file's name"}


def code(cell: str) -> str:
    return cell.strip("`")


@pytest.mark.parametrize("kind", kinds())
def test_every_name_is_documented(kind: str) -> None:
    known = {"device": builtin_names(), "recipe": tuple(recipe.builtin_recipes())}
    names = known[kind] if kind in known else table(kind).names
    assert kind in NAMES, f"no page has a table marked <!-- names: {kind} -->"
    assert sorted(code(row[0]) for row in NAMES[kind]) == sorted(names), "run: make docs"
    assert all(len(row[1]) > 3 for row in NAMES[kind]), "every row says what it is"


@pytest.mark.parametrize("kind", OPTIONS_OF)
def test_every_option_is_documented(kind: str) -> None:
    rows = {code(row[0]): row[-1] for row in NAMES[kind]}
    for row in table(kind):
        for name in options_of(row.load(), given_by_caller=GIVEN.get(kind, ())):
            assert f"`{name}`" in rows[row.name], f"{kind} {row.name}: {name}"


def parts_of(kind: Any) -> dict[str, type[BaseModel]]:
    """Return every table that a model holds, by class name, itself included."""
    found: dict[str, type[BaseModel]] = {}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found[kind.__name__] = kind
        inner = [field.annotation for field in kind.model_fields.values()]
    else:
        inner = list(get_args(kind))
    for one in inner:
        found |= parts_of(one)
    return found


TABLES: dict[str, type[BaseModel]] = {**parts_of(recipe.Recipe), "Device": Device}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_every_key_is_documented_with_its_default(name: str) -> None:
    # A key that is a word of Python (from) is the alias of its field.
    fields = {field.alias or key: field for key, field in TABLES[name].model_fields.items()}
    assert [code(row[0]) for row in KEYS[name]] == list(fields)
    for row in KEYS[name]:
        default = fields[code(row[0])].default
        if row[1] in IN_WORDS:
            assert row[1] != "needed" or fields[code(row[0])].is_required() or name == "Device"
            assert row[1] != "none" or not default
            continue
        assert default is not PydanticUndefined
        value = list(default) if isinstance(default, tuple) else default
        assert json.loads(code(row[1])) == value, f"{name}.{row[0]}"


def test_every_part_of_a_recipe_has_its_table() -> None:
    # A student is a teacher without training of its own; augmentations have a table of names, and
    # schedules of weights stand in the text.
    assert set(TABLES) - set(KEYS) <= {
        "ModelSpec",
        "AugmentSpec",
        "TransformSpec",
        "Schedule",
    }


def readme_table(mark: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    lines = text.partition(f"<!-- {mark} -->\n")[2].splitlines()
    rows = lines[2 : next(i for i, line in enumerate(lines) if not line.startswith("|"))]
    return [code(row.split("|")[1].strip()) for row in rows]


def test_every_extra_is_documented() -> None:
    extras = metadata.metadata("edgekd").get_all("Provides-Extra") or []
    assert set(readme_table("extras")) == {"none", *extras}


def test_every_exit_code_is_documented() -> None:
    from edgekd.cli.output import INTERNAL, INTERRUPTED

    kinds = [e for e in vars(errors).values() if isinstance(e, type)]
    raised = {e.exit_code for e in kinds if issubclass(e, errors.EdgekdError)}
    assert {int(c) for c in readme_table("exit codes")} == {0, *raised, INTERNAL, INTERRUPTED}


def test_limits_in_the_docs_are_those_of_the_code() -> None:
    from edgekd.bench.settings import DEVICE_SECONDS, Settings
    from edgekd.export import parity

    measuring = " ".join((DOCS / "measuring.md").read_text(encoding="utf-8").split())
    limits = Settings()
    for expected in (
        f"at least {limits.warmup_runs} inferences and {limits.warmup_seconds} s of warm-up",
        f"at least {limits.min_runs} inferences and {limits.min_seconds:g} s",
        f"({DEVICE_SECONDS:g} s on another device than this machine)",
        f"no more than {limits.max_seconds:g} s",
        f"more than {limits.max_samples:,} samples",
    ):
        assert expected in measuring
    export = " ".join((DOCS / "export.md").read_text(encoding="utf-8").split())
    allowed = parity.Limits()
    for expected in (
        f"at least {parity.SNR_FLOOR:g} dB",
        f"must be {parity.SNR_FLOOR_UNLABELLED:g} dB",
        f"{allowed.tolerance:g}".replace("0.0001", "1e-4") + " by default",
        f"at most {allowed.max_drop:g} percentage point below",
    ):
        assert expected in export
