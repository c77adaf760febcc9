"""What a reply's parts become in a record, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from edgekd.bench import figures
from edgekd.bench.devices import Device
from edgekd.bench.remarks import remarks
from edgekd.bench.reply import MemoryStages, Reply
from edgekd.bench.settings import Settings
from tests.bench.replies import good, timed

KB = 1000
BOARD = Device(name="board", runtimes=("litert",), max_temperature=60.0, power_watts=5.0)
BOX = Device(name="box", runtimes=("litert",), emulated=True, power_watts=5.0)


def told(**changes: Any) -> Reply:
    return Reply.model_validate(good(**changes))


def stages(anonymous: int, peak: int, loaded: int = 0) -> MemoryStages:
    """Growth over the imported runtime, in KB."""
    return MemoryStages.model_validate(
        {
            "method": "reset",
            "before_reset": {"anonymous": 9000 * KB, "peak": 90_000 * KB},
            "imported": {"anonymous": 9000 * KB, "peak": 30_000 * KB},
            "loaded": {"anonymous": (9000 + loaded) * KB, "peak": 30_000 * KB},
            "ran": {"anonymous": (9000 + anonymous) * KB, "peak": (30_000 + peak) * KB},
        }
    )


def test_memory_is_the_models_own() -> None:
    found = figures.memory(stages(700, 5400, 600), stages(40, 3300))
    assert found is not None
    assert (found.peak_rss_bytes, found.anonymous_bytes) == (2100 * KB, 660 * KB)
    assert (found.raw_peak_rss_bytes, found.raw_anonymous_bytes) == (5400 * KB, 700 * KB)
    assert (found.null_peak_rss_bytes, found.null_anonymous_bytes) == (3300 * KB, 40 * KB)
    assert found.loaded_anonymous_bytes == 600 * KB
    assert found.process_peak_rss_bytes == 90_000 * KB  # the runtime's import was worse


def test_memory_is_never_less_than_nothing() -> None:
    found = figures.memory(stages(20, 3200), stages(40, 3300))
    assert found is not None
    assert (found.peak_rss_bytes, found.anonymous_bytes) == (0, 0)
    assert found.raw_peak_rss_bytes == 3200 * KB


@pytest.mark.parametrize(("method", "raw"), [("reset", 400), ("difference", 340)])
def test_what_the_mark_rises_from(method: str, raw: int) -> None:
    """One that started anew rises from what is resident, not from its own first reading."""
    told: dict[str, Any] = {
        "method": method,
        "before_reset": {"rss": 30_000 * KB, "peak": 30_060 * KB},
        "imported": {"rss": 30_000 * KB, "peak": 30_060 * KB},
        "loaded": {"rss": 30_100 * KB, "peak": 30_100 * KB},
        "ran": {"rss": 30_400 * KB, "peak": 30_400 * KB},
    }
    found = figures.memory(MemoryStages.model_validate(told), None)
    assert found is not None and found.raw_peak_rss_bytes == raw * KB


def test_memory_without_a_null_model_is_raw() -> None:
    found = figures.memory(stages(700, 5400), None)
    assert found is not None
    assert (found.peak_rss_bytes, found.anonymous_bytes) == (5400 * KB, 700 * KB)
    assert found.null_peak_rss_bytes is None


def test_a_system_that_tells_no_memory() -> None:
    none: Any = {"method": "difference", "before_reset": {}, "imported": {}, "loaded": {}}
    assert figures.memory(MemoryStages.model_validate(none), stages(40, 3300)) is None


MEASURED = {
    "joules_per_inference": 0.002,
    "source": "rapl",
    "detail": "package-0",
    "idle_watts": 3.0,
    "active_watts": 9.0,
    "seconds": 1.0,
}


def test_energy_is_measured_or_estimated_and_says_which() -> None:
    """An estimate is 5 W times a median of 1.1 ms."""
    latency = figures.latency(told().latency)
    found, why = figures.energy(told(energy=MEASURED), BOARD, latency)
    assert found is not None and why is None
    assert (found.measured, found.source, found.joules_per_inference) == (True, "rapl", 0.002)
    assert found.detail == "package-0; 9 W over 1.0 s" and found.idle_watts == 3.0
    found, why = figures.energy(told(no_energy="no sensor"), BOARD, latency)
    assert found is not None and why is None
    assert (found.measured, found.source) == (False, "estimate")
    assert found.joules_per_inference == pytest.approx(5.0 * 1.1e-3)
    assert "5 W of the whole device" in found.detail and found.idle_watts is None


@pytest.mark.parametrize(
    ("device", "timed_too", "reason"),
    [
        (BOX, True, "emulated"),
        (BOARD, False, "no inference was timed"),
        (BOARD.model_copy(update={"power_watts": None}), True, "power_watts"),
    ],
)
def test_energy_that_cannot_be_known_has_a_reason(
    device: Device, timed_too: bool, reason: str
) -> None:
    latency = figures.latency(told().latency) if timed_too else None
    found, why = figures.energy(told(no_energy="no sensor"), device, latency)
    assert found is None and why is not None and reason in why


def test_why_there_is_no_latency() -> None:
    assert figures.untimed(told(), BOARD) == {}
    assert "--mode accuracy" in figures.untimed(told(latency=None), BOARD)["latency"]
    rate = {"batch": 8, "samples": 80, "seconds": 2.0, "per_second": 40.0}
    offline = told(latency=None, throughput=rate)
    assert "offline" in figures.untimed(offline, BOARD)["latency"]
    assert figures.throughput(offline).per_second == 40.0  # type: ignore[union-attr]
    counted = told(latency=None, instructions={"raw": [10, 14, 12], "cpu": "a76", "counter": "c"})
    assert set(figures.untimed(counted, BOX)) == {"latency"}
    assert figures.instructions(counted).per_inference == 12  # type: ignore[union-attr]
    missing = told(instructions={"missing": "no counter runs here"})
    assert figures.untimed(missing, BOX)["instructions"] == "no counter runs here"
    assert figures.instructions(missing) is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"throttling": {"throttled": True, "reasons": ["hot", "slow"]}}, "throttled: hot; slow"),
        ({"cores": None}, "bound to one core"),
        ({"latency": timed([1.0] * 5)}, "only 5 inferences"),
        ({"environment": {"before": {"cores": 2, "load": [1.9, 0, 0]}}}, "busy (load 1.9"),
        (
            {
                "environment": {"before": {"temperature_c": 71.0}},
                "cooled": {"waited_s": 120.0, "gave_up": True},
            },
            "stayed at 71 C after 120 s, above the profile's 60 C",
        ),
    ],
)
def test_what_may_have_spoilt_a_figure_is_said(changes: dict[str, Any], word: str) -> None:
    enough = {"latency": timed([1.0] * 100)}
    assert remarks(told(**enough), BOARD, Settings(), 1) == []
    (found,) = remarks(told(**{**enough, **changes}), BOARD, Settings(), 1)
    assert word in found
    assert remarks(told(**{**enough, **changes}), BOX, Settings(), 1) == []
