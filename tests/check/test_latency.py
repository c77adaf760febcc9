"""The gate of latency: what one duel and its repetition say together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.bench.duel import DuelSettings
from edgekd.check.budgets import Budget
from edgekd.check.latency import latency
from edgekd.check.subject import Item, subject
from edgekd.errors import EdgekdError, MeasurementError, MissingRuntimeError
from edgekd.records import Verdict
from edgekd.records_gate import Duel, Duelist, RatioInterval
from tests.bench import files
from tests.synthetic_runs import PROVENANCE

SHA = "0" * 64
LIMITS = Budget.from_dict({"relative": {"latency_ms_p50": 1.03}})
SLOWER, SAME, UNSURE = (1.04, 1.05, 1.06), (0.99, 1.0, 1.01), (0.97, 1.01, 1.05)

Ends = tuple[float, float, float]


def held(ends: Ends, *, theirs_ms: float = 2.0, **changes: Any) -> Duel:
    low, middle, high = ends

    def duelist(name: str, ms: float) -> Duelist:
        return Duelist(
            name=name,
            path=name,
            sha256=SHA,
            runtime="litert",
            version="2.3.0",
            median_ms=ms,
            raw_ms=(ms,),
        )

    found = Duel(
        device="board",
        ours=duelist("new", theirs_ms * middle),
        theirs=duelist("old", theirs_ms),
        mode="one-process",
        threads=1,
        pairs=300,
        ratios=(middle,),
        ours_first=(True,),
        interval=RatioInterval(median=middle, low=low, high=high, level=0.95, block=10),
        repeats=1,
        settling=1,
        loads=5,
        seconds=1.0,
        provenance=PROVENANCE,
    )
    return found.model_copy(update=changes)


class Script:
    """Duels that were held before; what is asked of each is kept."""

    def __init__(self) -> None:
        self.left: list[Duel | EdgekdError] = []
        self.asked: list[dict[str, Any]] = []

    def __call__(self, transport: Any, ours: Path, theirs: Path, **asked: Any) -> Duel:
        self.asked.append({**asked, "transport": transport, "files": (ours, theirs)})
        found = self.left.pop(0)
        if isinstance(found, EdgekdError):
            raise found
        return found.model_copy(update={"repeated": asked["repeated"]})


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()
    monkeypatch.setattr("edgekd.bench.duel.duel_over", made)
    return made


@pytest.fixture
def board(tmp_path: Path) -> str:
    path = tmp_path / "board.toml"
    path.write_text('transport = "edgekd.transports.fake:FakeTransport"\nruntimes = ["litert"]\n')
    return str(path)


ITEM = Item("student-int8", path=Path("new.tflite"))


def judged(board: str, budget: Budget = LIMITS, **options: Any) -> Verdict:
    found = latency([(ITEM, Path("old.tflite"))], budget, [board], **options)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("duels", "status"),
    [
        ([SAME], "pass"),
        ([UNSURE], "inconclusive"),
        ([SLOWER, SLOWER], "fail"),
        ([SLOWER, SAME], "pass"),
        ([SLOWER, UNSURE], "inconclusive"),
    ],
)
def test_it_fails_only_twice(
    script: Script, board: str, duels: Sequence[Ends], status: str
) -> None:
    script.left = [held(ends) for ends in duels]
    kept: list[Duel] = []
    verdict = judged(board, keep=kept.append)
    assert verdict.status == status and not script.left
    assert [duel.repeated for duel in kept] == [False, True][: len(duels)]
    low, middle, high = duels[-1]
    assert (verdict.low, verdict.ratio, verdict.high) == (low, middle, high)
    assert verdict.baseline == 2.0 and verdict.value == pytest.approx(2.0 * middle)
    assert verdict.limit == pytest.approx(2.06)
    assert ("once" in verdict.message) == (len(duels) == 2)
    assert f"{middle:.3f}x (95% {low:.3f} to {high:.3f}, 300 pairs)" in verdict.message
    # The repetition has an order and random numbers of its own.
    assert len({asked["settings"].seed for asked in script.asked}) == len(duels)


def test_a_pass_on_the_second_try_says_so(script: Script, board: str) -> None:
    script.left = [held(SLOWER), held(SAME)]
    assert "only once of two times: 1.050x" in judged(board).message


def test_nothing_below_the_floor_fails(script: Script, board: str) -> None:
    """0.05 ms and 5% of it: 2.5 us."""
    script.left = [held(SLOWER, theirs_ms=0.05)]
    verdict = judged(board)
    assert verdict.status == "pass" and verdict.limit == pytest.approx(0.055)
    assert "slower, but by no more than latency_floor_ms = 0.005" in verdict.message
    assert verdict.message.endswith("0.005")


@pytest.mark.parametrize("ends", [SAME, UNSURE, (0.9, 1.0, 1.02)])
def test_the_floor_is_named_only_where_it_let_a_slower_file_pass(
    script: Script, board: str, ends: Ends
) -> None:
    script.left = [held(ends, theirs_ms=0.05)]
    verdict = judged(board)
    assert verdict.status == "pass" and "latency_floor_ms" not in verdict.message


def test_the_floor_may_stand_in_the_budget(script: Script, board: str) -> None:
    script.left = [held(SLOWER)]
    budget = Budget.from_dict({"relative": {"latency_floor_ms": 0.2}}).with_defaults()
    verdict = judged(board, budget)
    assert verdict.status == "pass" and "latency_floor_ms = 0.2" in verdict.message
    assert script.asked[0]["settings"].floor_ms == 0.2


def test_the_tolerance_is_that_of_the_budget(script: Script, board: str) -> None:
    script.left = [held(SLOWER)]
    budget = Budget.from_dict(
        {
            "relative": {"latency_ms_p50": 1.03},
            "artifact": {"student-int8": {"relative": {"latency_ms_p50": 1.06}}},
        }
    )
    assert judged(board, budget).status == "pass"
    assert script.asked[0]["settings"].tolerance == pytest.approx(0.06)


def test_without_a_limit_or_a_file_nothing_is_run(script: Script, board: str) -> None:
    pairs = [(ITEM, Path("old.tflite"))]
    assert latency(pairs, Budget(), [board]) == []
    assert latency([(Item("student"), Path("old.tflite"))], LIMITS, [board]) == []
    assert script.asked == []


def test_an_emulated_device_is_left_out(script: Script, tmp_path: Path) -> None:
    path = tmp_path / "box.toml"
    path.write_text('runtimes = ["litert"]\nemulated = true\n')
    assert latency([(ITEM, Path("old.tflite"))], LIMITS, [str(path)]) == []


def test_a_duel_that_cannot_be_held_fails(script: Script, board: str) -> None:
    script.left = [MeasurementError("old.tflite (the baseline): the process was killed")]
    verdict = judged(board)
    assert verdict.status == "fail" and verdict.ratio is None
    assert "could not be held against the baseline: old.tflite" in verdict.message


def test_the_repetition_fails_to_be_held(script: Script, board: str) -> None:
    script.left = [held(SLOWER), MeasurementError("gone")]
    kept: list[Duel] = []
    assert judged(board, keep=kept.append).status == "fail"
    assert len(kept) == 1


def test_what_is_missing_is_said_as_such(script: Script, board: str) -> None:
    script.left = [MissingRuntimeError("no runtime")]
    with pytest.raises(MissingRuntimeError):
        judged(board)
    assert script.asked[0]["transport"].closed


def test_several_files_and_devices(script: Script, board: str, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(Path(board).read_text())
    script.left = [held(ends) for ends in (SAME, SLOWER, SLOWER, SAME, UNSURE)]
    pairs = [(ITEM, Path("a")), (Item("second", path=Path("b")), Path("c"))]
    said: list[str] = []
    found = latency(pairs, LIMITS, [board, str(other), board], say=said.append)
    assert [v.status for v in found] == ["pass", "fail", "pass", "inconclusive"]
    assert [v.artifact for v in found] == ["student-int8", "second"] * 2
    # One connection a device.
    assert len({id(asked["transport"]) for asked in script.asked}) == 2
    assert any("once more in a fresh process" in line for line in said)


def test_other_runtimes_and_warnings_are_said(script: Script, board: str) -> None:
    duel = held(SAME, warnings=("it could not be bound to one core",))
    theirs = duel.theirs.model_copy(update={"version": "2.2.0"})
    script.left = [duel.model_copy(update={"theirs": theirs})]
    message = judged(board).message
    assert "(litert 2.3.0 against litert 2.2.0); it could not be bound" in message


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A network, and one of which every layer is four times as much work."""
    generator = np.random.default_rng(0)

    def layers(width: int) -> list[tuple[np.ndarray, np.ndarray]]:
        sizes = [64, width, width, width, 10]
        shapes = zip(sizes[1:], sizes[:-1], strict=True)
        return [(generator.standard_normal(s) / 30, np.zeros(s[0])) for s in shapes]

    yield (
        files.mlp_onnx(tmp_path / "small.onnx", layers(256), (64,), batch=1),
        files.mlp_onnx(tmp_path / "large.onnx", layers(1024), (64,), batch=1),
    )


def test_true_files_in_true_processes(chain: tuple[Path, Path]) -> None:
    """Ten times as slow is seen on any machine, however busy; ten times as fast too."""
    small, large = chain
    item = next(iter(subject(large).items.values()))
    assert item.path == large
    kept: list[Duel] = []
    brief = DuelSettings(max_seconds=0.2)
    verdict = latency([(item, small)], LIMITS, ["cpu"], settings=brief, keep=kept.append)[0]
    assert verdict.status == "fail" and verdict.low is not None and verdict.low > 1.5
    assert [duel.repeated for duel in kept] == [False, True]
    item = next(iter(subject(small).items.values()))
    verdict = latency([(item, large)], LIMITS, ["cpu"], settings=brief)[0]
    assert verdict.status == "pass" and verdict.high is not None and verdict.high < 0.7
