"""The note of what is up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekd.emulation import state
from edgekd.emulation.process import Process, find
from edgekd.emulation.state import State

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
processes = st.builds(Process, pid=st.integers(1), started=st.integers(0), boot=texts)
states = st.builds(
    State,
    device=st.just("box"),
    kind=st.sampled_from(["pi", "phone"]),
    processes=st.lists(processes, max_size=3).map(tuple),
    private=texts,
    since=texts,
    spec=texts,
    ready=st.booleans(),
    port=st.none() | st.integers(1, 65535),
    address=st.none() | texts,
    serial=st.none() | texts,
    ssh_config=st.none() | texts,
    python=st.none() | texts,
    environment=st.dictionaries(texts, texts, max_size=3),
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path))


def alive(**more: object) -> State:
    me = find(os.getpid())
    assert me is not None
    known = {"device": "box", "kind": "pi", "processes": (me,), "private": "x", "since": "now"}
    return State.model_validate({**known, **more})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(states)
def test_what_is_noted_is_read_again(noted: State) -> None:
    state.write(noted)
    assert state.read("box") == noted
    assert state.noted() == ("box",)
    assert state.reach("box") is None, "none of these processes runs"
    state.forget("box")
    assert state.read("box") is None and state.noted() == ()


def test_where_a_device_that_is_up_is_reached(tmp_path: Path) -> None:
    state.write(alive(address="box", ssh_config="/c", python="/p", environment={"A": "b"}))
    reach = state.reach("box")
    assert reach is not None
    assert (reach.address, reach.ssh_config, reach.python) == ("box", Path("/c"), "/p")
    assert dict(reach.environment) == {"A": "b"}
    assert state.reach("other") is None


def test_one_that_still_starts_or_was_killed_is_down() -> None:
    state.write(alive(ready=False))
    assert state.reach("box") is None
    one = alive().processes[0]
    state.write(alive(processes=(one.model_copy(update={"boot": "the one before"}), one)))
    assert state.reach("box") is None, "the first process is the box"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', '{"device": "box"}', "\0"])
def test_a_damaged_note_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "state.json").write_text(text)
    assert state.read("box") is None and state.reach("box") is None


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGEKD_EMULATION")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert state.folder() == Path("/cache/edgekd/emulation")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert state.folder() == Path("/home/x/.cache/edgekd/emulation")
