"""Clock, heat and power, out of file trees that are written as Linux writes them."""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekd.bench import sensors
from edgekd.bench.sensors import Counter, Gauge, System, Watch, find_meter, throttled

CPUFREQ = "sys/devices/system/cpu/cpu{}/cpufreq/{}"
ZONE = "sys/class/thermal/thermal_zone{}/{}"
RAPL = "sys/class/powercap/{}/{}"
FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(path: str, value: Any) -> None:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{value}\n")

    return put


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., System]:
    return lambda *cores: System(str(tmp_path), cores)


def test_one_file_for_python_3_9_that_needs_nothing() -> None:
    tree = ast.parse(Path(sensors.__file__).read_text(), feature_version=(3, 9))
    names = [n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in tree.body
             if isinstance(n, ast.Import | ast.ImportFrom)]  # fmt: skip
    assert {str(name).split(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_a_system_that_tells_nothing(system: Callable[..., System]) -> None:
    bare = system(0)
    assert bare.state() == {"governor": None, "frequency_mhz": None, "temperature_c": None}
    watch = bare.watch(energy=True)
    watch.start()
    assert not watch.due(time.perf_counter_ns() + 10**12)
    watch.stop(100)
    report = watch.report()
    assert report["throttling"] == {"throttled": None, "reasons": []}
    assert report["energy"] is None and "no sensor" in report["no_energy"]


def test_clock_and_heat_of_a_board(write: Write, system: Callable[..., System]) -> None:
    """Two clusters and a battery that is hotter than the processor."""
    for core, kilohertz in ((0, 1_500_000), (4, 2_400_000)):
        write(CPUFREQ.format(core, "scaling_cur_freq"), kilohertz)
        write(CPUFREQ.format(core, "scaling_governor"), "schedutil")
    for number, (kind, value) in enumerate((("cpu-thermal", 51234), ("battery", 60000))):
        write(ZONE.format(number, "type"), kind)
        write(ZONE.format(number, "temp"), value)
    found = system(0).state()
    assert found == {"governor": "schedutil", "frequency_mhz": 1500.0, "temperature_c": 51.234}
    assert system(0, 4).frequency() == 2400.0


@pytest.mark.parametrize(
    ("written", "degrees"),
    [("47000", 47.0), ("47", 47.0), ("-274000", None), ("0", None), ("x", None), ("999000", None)],
)
def test_what_cannot_be_a_temperature_is_none(
    write: Write, system: Callable[..., System], written: str, degrees: float | None
) -> None:
    write(ZONE.format(0, "type"), "soc-thermal")
    write(ZONE.format(0, "temp"), written)
    assert system(0).temperature() == degrees


def signs(**changes: Any) -> dict[str, Any]:
    none = ("flags", "cooling", "count", "limit_mhz", "full_mhz", "passive_c")
    return {**dict.fromkeys(none), **changes}


def readings(*clocks: float | None, heat: float | None = None) -> list[dict[str, Any]]:
    return [{"frequency_mhz": clock, "temperature_c": heat} for clock in clocks]


@pytest.mark.parametrize(
    ("before", "after", "meanwhile", "verdict", "word"),
    [
        (signs(), signs(), [], None, ""),
        (signs(), signs(), readings(2400, 2400, 2400, 2400), None, ""),
        (signs(), signs(), readings(2400, 2380, 1500, 1500), True, "fell from 2400 to 1500 MHz"),
        (signs(), signs(), readings(2400, 2300, 2250, 2200), None, ""),
        (signs(flags=0), signs(flags=0), [], False, ""),
        (signs(flags=0), signs(flags=0x50000), [], True, "voltage is too low; it is throttled"),
        # It had happened before, and not again.
        (signs(flags=0x50000), signs(flags=0x50000), [], False, ""),
        (signs(flags=0x80000), signs(flags=0x80008), [], True, "too hot"),
        (signs(cooling=0), signs(cooling=0), [], False, ""),
        (signs(cooling=0), signs(cooling=2), [], True, "against heat"),
        (signs(count=7), signs(count=7), [], False, ""),
        (signs(count=7), signs(count=9), [], True, "2x"),
        (signs(), signs(limit_mhz=2400, full_mhz=2400.1), [], False, ""),
        (signs(), signs(limit_mhz=1000, full_mhz=2400), [], True, "limited to 1000 of 2400"),
        (signs(), signs(passive_c=80), readings(None, heat=79), False, ""),
        (signs(), signs(passive_c=80), readings(None, heat=81), True, "reached 81 C"),
    ],
)
def test_a_throttled_run_is_told(
    before: dict[str, Any],
    after: dict[str, Any],
    meanwhile: list[dict[str, Any]],
    verdict: bool | None,
    word: str,
) -> None:
    found = throttled(before, after, meanwhile)
    assert found["throttled"] is verdict
    assert word in "; ".join(found["reasons"]) and bool(found["reasons"]) == bool(word)


def test_the_signs_of_a_raspberry_pi(write: Write, system: Callable[..., System]) -> None:
    write(FLAGS, "50005")
    write(ZONE.format(0, "type"), "cpu-thermal")
    write(ZONE.format(0, "trip_point_0_type"), "critical")
    write(ZONE.format(0, "trip_point_0_temp"), "110000")
    write(ZONE.format(0, "trip_point_1_type"), "passive")
    write(ZONE.format(0, "trip_point_1_temp"), "80000")
    write("sys/class/thermal/cooling_device0/type", "pwm-fan")
    write("sys/class/thermal/cooling_device0/cur_state", "4")
    write("sys/class/thermal/cooling_device1/type", "cpufreq-cpu0")
    write("sys/class/thermal/cooling_device1/cur_state", "1")
    for core in (0, 1):
        write(f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", "3")
    write(CPUFREQ.format(0, "scaling_max_freq"), "1800000")
    write(CPUFREQ.format(0, "cpuinfo_max_freq"), "2400000")
    assert system(0).signs() == {
        "flags": 0x50005,
        "cooling": 1.0,
        "count": 6.0,
        "limit_mhz": 1800.0,
        "full_mhz": 2400.0,
        "passive_c": 80.0,
    }


def rapl(write: Write, name: str, joules: float, zone: str = "intel-rapl:0") -> None:
    write(RAPL.format(zone, "name"), name)
    write(RAPL.format(zone, "energy_uj"), int(joules * 1e6))
    write(RAPL.format(zone, "max_energy_range_uj"), 1_000_000_000)  # 1,000 J


def test_rapl_counts_packages_only_and_past_its_end(
    write: Write, system: Callable[..., System]
) -> None:
    rapl(write, "package-0", 990.0)
    rapl(write, "core", 100.0, "intel-rapl:0:0")
    rapl(write, "psys", 100.0, "intel-rapl:1")
    rapl(write, "package-1", 10.0, "intel-rapl:2")
    meter, _ = find_meter(system(0))
    assert isinstance(meter, Counter) and meter.detail == "package-0, package-1"
    assert meter.joules() == 0.0
    rapl(write, "package-0", 995.0)
    rapl(write, "core", 900.0, "intel-rapl:0:0")
    assert meter.joules() == pytest.approx(5.0)
    rapl(write, "package-0", 3.0)  # it began anew: 5 to its end, and 3
    rapl(write, "package-1", 11.0, "intel-rapl:2")
    assert meter.joules() == pytest.approx(5.0 + 8.0 + 1.0)
    rapl(write, "package-0", 1.0)  # and once more, without having been read at its end
    assert meter.joules() == pytest.approx(14.0 + 998.0)


def test_rapl_that_may_not_be_read_says_so(write: Write, system: Callable[..., System]) -> None:
    write(RAPL.format("intel-rapl:0", "name"), "package-0")
    meter, why = find_meter(system(0))
    assert meter is None and "root only" in why


def test_an_ina_is_read_in_watts(write: Write, system: Callable[..., System]) -> None:
    """An INA226 tells power, an INA3221 volts and amperes; a battery's and a GPU's are not it."""
    base = "sys/class/hwmon/hwmon{}/{}"
    write(base.format(0, "name"), "amdgpu")
    write(base.format(0, "power1_average"), 90_000_000)
    meter, why = find_meter(system(0))
    assert meter is None and "no sensor" in why
    write(base.format(1, "name"), "ina3221")
    for channel, (millivolt, milliampere) in enumerate(((5000, 800), (3300, 400)), start=1):
        write(base.format(1, f"in{channel}_input"), millivolt)
        write(base.format(1, f"curr{channel}_input"), milliampere)
    found, _ = find_meter(system(0))
    assert isinstance(found, Gauge) and found.watts() == pytest.approx(4.0)
    assert (found.source, found.detail) == ("hwmon", "ina3221 curr1_input x in1_input")
    write(base.format(2, "name"), "ina226")
    write(base.format(2, "power1_input"), 6_500_000)
    found, _ = find_meter(system(0))
    assert isinstance(found, Gauge) and found.watts() == pytest.approx(6.5)


@pytest.mark.parametrize(
    ("current", "voltage"),
    [("-500000", "4000000"), ("500000", "4000000"), ("-500", "4000"), ("500", "4000000")],
)
def test_a_battery_that_drains(
    write: Write, system: Callable[..., System], current: str, voltage: str
) -> None:
    """Half an ampere at 4 V, in the units and with the signs that phones use."""
    folder = "sys/class/power_supply/{}/{}"
    write(folder.format("usb", "type"), "USB")
    write(folder.format("battery", "type"), "Battery")
    write(folder.format("battery", "status"), "Charging")
    write(folder.format("battery", "current_now"), current)
    write(folder.format("battery", "voltage_now"), voltage)
    meter, why = find_meter(system(0))
    assert meter is None and "not discharging" in why
    write(folder.format("battery", "status"), "Discharging")
    found, _ = find_meter(system(0))
    assert isinstance(found, Gauge) and found.watts() == pytest.approx(2.0)
    assert (found.source, found.detail) == ("battery", "battery, the whole device")


def test_a_gauge_adds_up_its_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trapezia: 2 W, 4 W after 1 s, unread after 2 s, 6 W after 3 s."""
    clock = iter([0.0, 1.0, 2.0, 3.0])
    watts = iter([2.0, 4.0, None, 6.0])
    monkeypatch.setattr(sensors.time, "perf_counter", lambda: next(clock))
    gauge = Gauge("hwmon", "", lambda: next(watts))
    assert [gauge.joules() for _ in range(3)] == [3.0, 3.0, 3.0 + 10.0]
    assert gauge.fault() is None


class Steps:
    """A meter that has used so many joules, one figure a reading."""

    source, detail = "rapl", "package-0"

    def __init__(self, *joules: float) -> None:
        self._joules = list(joules)

    def joules(self) -> float:
        return self._joules.pop(0) if len(self._joules) > 1 else self._joules[0]

    def fault(self) -> str | None:
        return None


@pytest.mark.parametrize(("used", "each"), [(6.0, (6.0 - 2.0) / 8), (2.0, None), (1.0, None)])
def test_energy_is_what_is_used_over_rest(
    system: Callable[..., System], monkeypatch: pytest.MonkeyPatch, used: float, each: float | None
) -> None:
    """1 W at rest; then 2 s in which 8 inferences run."""
    monkeypatch.setattr(Watch, "_rest", lambda self: 1.0)
    watch = Watch(system(0), Steps(0.0, used))
    now = [0]
    monkeypatch.setattr(sensors.time, "perf_counter_ns", lambda: now[0])
    watch.start()
    now[0] = 2 * 10**9
    watch.stop(8)
    report = watch.report()
    if each is None:
        assert report["energy"] is None and "noise" in report["no_energy"]
    else:
        assert report["energy"]["joules_per_inference"] == pytest.approx(each)
        assert (report["energy"]["idle_watts"], report["no_energy"]) == (1.0, None)


def test_rest_is_measured_first(
    system: Callable[..., System], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings of 0, 0.5 and 1 J within a second."""
    clock = iter([0.0, 0.5, 1.0, 1.0])
    monkeypatch.setattr(sensors.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(sensors.time, "sleep", lambda seconds: None)
    watch = Watch(system(0), Steps(0.0, 0.5, 1.0))
    assert watch._idle == pytest.approx(1.0)


def test_readings_are_taken_a_few_times_a_second(
    write: Write, system: Callable[..., System], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CPUFREQ.format(0, "scaling_cur_freq"), 2_000_000)
    watch = system(0).watch(energy=False)
    now = [0]
    monkeypatch.setattr(sensors.time, "perf_counter_ns", lambda: now[0])
    watch.start()
    for millisecond in range(1000):
        now[0] = millisecond * 10**6
        if watch.due(now[0]):
            watch.note()
    found = watch.report()["readings"]
    assert [r["seconds"] for r in found] == [0.0, 0.25, 0.5, 0.75]
    assert {r["frequency_mhz"] for r in found} == {2000.0}
