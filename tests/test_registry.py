"""The generic table."""

from __future__ import annotations

import pytest

from edgekd.errors import EdgekdError, MissingExtraError, UnknownNameError
from edgekd.registry import TABLES, Row, Table, load_target, table


def make() -> Table:
    return Table(
        "thing",
        [
            Row("join", "os.path:join", "joins"),
            Row("absent", "no_such_package_at_all:x", "is not there", extra="train"),
        ],
    )


def test_resolves_names_and_import_paths() -> None:
    import os.path

    things = make()
    assert things.resolve("join") is os.path.join
    assert things.resolve("os.path:basename") is os.path.basename
    assert things.names == ("absent", "join")
    assert "join" in things and "nope" not in things


def test_unknown_names_say_the_closest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        make().row("jion")
    assert caught.value.close == ("join",)
    assert "Did you mean 'join'?" in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"Known: absent, join\."):
        make().row("xyzzy")


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(MissingExtraError) as caught:
        make().resolve("absent")
    assert caught.value.exit_code == 3
    assert 'pip install "edgekd[train]"' in str(caught.value)


@pytest.mark.parametrize("target", ["nocolon", ":x", "x:"])
def test_bad_import_paths(target: str) -> None:
    with pytest.raises(EdgekdError, match="not an import path"):
        load_target(target, what="it")


def test_a_module_that_fails_on_import(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    with open(f"{tmp_path}/broken_mod.py", "w") as file:  # noqa: PTH123
        file.write("raise RuntimeError('nope')\n")
    with pytest.raises(EdgekdError, match=r"RuntimeError: nope"):
        load_target("broken_mod:x", what="it")


def test_attribute_errors_say_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="basenam"):
        load_target("os.path:basenam", what="it")


def test_plugins_add_rows_but_replace_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    points = [
        metadata.EntryPoint("plug", "os.path:dirname", "edgekd.thing"),
        metadata.EntryPoint("join", "os.path:dirname", "edgekd.thing"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    import os.path

    things = make()
    assert things.resolve("plug") is os.path.dirname
    assert things.resolve("join") is os.path.join


@pytest.mark.parametrize("kind", TABLES)
def test_every_table_loads_without_heavy_packages(kind: str) -> None:
    rows = list(table(kind))
    assert rows
    assert all(row.summary for row in rows)


def test_an_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match="kind of table"):
        table("lose")
