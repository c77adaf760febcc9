"""Turns that others have disturbed are measured again, as long as patience lasts."""

from __future__ import annotations

import time

import pytest

from benchmarks.speed import quiet
from benchmarks.speed.quiet import Patience


class Machine:
    """Counts CPU seconds; the others work as a list says, one entry a turn."""

    def __init__(self, others: list[float]) -> None:
        self.busy = 0.0
        self.others = others
        self.turns = 0

    def turn(self) -> dict[str, float]:
        self.busy += 2.0 + self.others[self.turns]
        self.turns += 1
        return {"seconds": 1.0, "cpu_seconds": 2.0}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine([0.9, 0.3, 0.04, 0.8])
    monkeypatch.setattr(quiet, "busy_seconds", lambda: found.busy)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return found


def test_disturbed_turns_do_not_count(machine: Machine) -> None:
    patience = Patience(100.0)
    told = patience.measured(machine.turn)
    assert told["others_cpu_seconds"] == pytest.approx(0.04)
    assert (machine.turns, patience.disturbed) == (3, 2)
    assert patience.left == pytest.approx(98.0)


def test_without_patience_every_turn_counts(machine: Machine) -> None:
    patience = Patience(0.0)
    assert patience.measured(machine.turn)["others_cpu_seconds"] == pytest.approx(0.9)
    assert (machine.turns, patience.disturbed) == (1, 0)


def test_patience_ends(machine: Machine) -> None:
    patience = Patience(1.0)
    assert patience.measured(machine.turn)["others_cpu_seconds"] == pytest.approx(0.3)
    assert (machine.turns, patience.disturbed) == (2, 1)


def test_where_the_system_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "busy_seconds", lambda: None)
    told = Patience(100.0).measured(lambda: {"seconds": 1.0, "cpu_seconds": 1.0})
    assert told == {"seconds": 1.0, "cpu_seconds": 1.0}
