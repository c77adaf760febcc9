"""Processes are told apart for good."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.emulation.process import Process, end, find, from_stat


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_itself_and_no_other() -> None:
    me = find(os.getpid())
    assert me is not None and me.alive()
    # The same number, another start or another boot: another process.
    assert not me.model_copy(update={"started": me.started + 1}).alive()
    assert not me.model_copy(update={"boot": "another"}).alive()


@given(
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15),
    pid=st.integers(1, 4194304),
    started=st.integers(0, 2**60),
)
def test_any_name_of_a_program_can_be_read(name: str, pid: int, started: int) -> None:
    before = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18"
    found = from_stat(f"{pid} ({name}) {before} {started} 1000 20\n")
    assert found is not None
    assert (found.pid, found.started) == (pid, started)


def test_what_is_no_line_of_stat() -> None:
    for text in ("", "12", "12 (sh) S 1 2", "x (sh) S" + " 1" * 30):
        with pytest.raises(ValueError):
            from_stat(text)


def test_one_that_has_ended_is_gone_even_while_its_number_is_kept() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    found = find(process.pid)
    assert found is not None and found.alive()
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie from now on
    assert not found.alive()
    process.wait()
    assert find(process.pid) is None


def test_only_the_very_process_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    found = find(sleeper.pid)
    assert found is not None
    assert end([found.model_copy(update={"started": found.started - 1})])
    assert sleeper.poll() is None
    assert end([found])
    assert sleeper.wait(timeout=5) != 0
    assert end([found]), "again: nothing to do"


def test_one_that_ignores_the_polite_way() -> None:
    code = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('up', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        found = find(process.pid)
        assert found is not None
        assert end([found], patience=0.2) and process.wait(timeout=5) == -9


def test_a_record_of_it_survives(tmp_path: object) -> None:
    me = find(os.getpid())
    assert me is not None
    assert Process.model_validate_json(me.to_json()).alive()
