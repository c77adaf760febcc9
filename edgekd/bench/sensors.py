"""What Linux tells of clock, heat and power; the agent takes it along to a device.

It needs Python 3.9 and nothing else. `edgekd.bench.agent` loads it from where the request says it
lies (``sensors``); without it, only latency and memory are measured.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Union

#: How often clock, heat and power are read, and how long power is read at rest.
READ_EVERY_S = 0.25
REST_S = 1.0


class System:
    """What Linux tells of clock, heat and power; None where it does not.

    Args:
        root: another folder than ``/``, in tests.
        cores: those that the measurement runs on.
    """

    #: How the kernels of boards, phones and PCs call the sensors of a processor.
    _PROCESSORS = ("cpu", "soc", "x86_pkg", "big", "mid", "little", "core", "tsens")
    _FLAGS = "/sys/devices/platform/soc*/soc*:firmware/get_throttled"

    def __init__(self, root: str = "", cores: Sequence[int] = ()) -> None:
        """Find the sensors of the processor."""
        self.root = root.rstrip("/")
        self.cores = list(cores) or [0]
        zones = self.find("/sys/class/thermal/thermal_zone*")
        own = [z for z in zones if self.text(z + "/type").lower().startswith(self._PROCESSORS)]
        self.zones = own or zones

    def find(self, pattern: str) -> list[str]:
        """Return the paths that match, sorted."""
        try:
            found = sorted(str(path) for path in Path(self.root or "/").glob(pattern.lstrip("/")))
        except OSError:  # a phone's shell may not look everywhere
            return []
        return [path[len(self.root) :] for path in found]

    def text(self, path: str) -> str:
        """Return a file stripped, or nothing."""
        try:
            return Path(self.root + path).read_text(errors="replace").strip()
        except OSError:
            return ""

    def number(self, path: str) -> float | None:
        """Return a file's number, or None."""
        try:
            return float(self.text(path))
        except ValueError:
            return None

    def clock(self, name: str) -> float | None:
        """Return a file of cpufreq in MHz; of several cores the highest."""
        folder = "/sys/devices/system/cpu/cpu{}/cpufreq/"
        values = [self.number(folder.format(core) + name) for core in self.cores]
        return max((v / 1000 for v in values if v is not None), default=None)

    def frequency(self) -> float | None:
        """Return the clock frequency in MHz."""
        return self.clock("scaling_cur_freq")

    def temperature(self) -> float | None:
        """Return the hottest sensor of the processor in degrees Celsius, or of all there are."""
        values = [_celsius(self.number(zone + "/temp")) for zone in self.zones]
        return max((v for v in values if v is not None), default=None)

    def state(self) -> dict[str, Any]:
        """Return governor, frequency and temperature of now."""
        governor = f"/sys/devices/system/cpu/cpu{self.cores[0]}/cpufreq/scaling_governor"
        return {
            "governor": self.text(governor) or None,
            "frequency_mhz": self.frequency(),
            "temperature_c": self.temperature(),
        }

    def watch(self, *, energy: bool) -> Watch:
        """Return what reads clock and heat while inferences run, and power if it is asked for."""
        meter, why = find_meter(self) if energy else (None, "")
        return Watch(self, meter, why)

    def signs(self) -> dict[str, Any]:
        """Return what tells of throttling: see `throttled`."""
        coolers = self.find("/sys/class/thermal/cooling_device*")
        kinds = ("thermal-cpufreq", "cpufreq", "Processor")
        states = [self.number(c + "/cur_state") for c in coolers if self._is(c + "/type", kinds)]
        folder = "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"
        counts = [self.number(path) for path in self.find(folder)]
        trips = [
            _celsius(self.number(path.replace("_type", "_temp")))
            for zone in self.zones
            for path in self.find(zone + "/trip_point_*_type")
            if self._is(path, ("passive",))
        ]
        return {
            "flags": self._flags(),
            "cooling": max((s for s in states if s is not None), default=None),
            "count": sum(c for c in counts if c is not None) if counts else None,
            "limit_mhz": self.clock("scaling_max_freq"),
            "full_mhz": self.clock("cpuinfo_max_freq"),
            "passive_c": min((t for t in trips if t is not None), default=None),
        }

    def _is(self, path: str, kinds: tuple[str, ...]) -> bool:
        return self.text(path).startswith(kinds)

    def _flags(self) -> int | None:
        """Return a Raspberry Pi's word of flags."""
        found = "".join(self.text(path) for path in self.find(self._FLAGS)[:1])
        if not found and not self.root and shutil.which("vcgencmd"):
            found = _said(["vcgencmd", "get_throttled"]).partition("=")[2]
        try:
            return int(found, 16)
        except ValueError:
            return None


def _said(command: Sequence[str]) -> str:
    """Return what a program prints, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _celsius(value: float | None) -> float | None:
    """Read a temperature, which most kernels give in thousandths; None if it cannot be one."""
    if value is None:
        return None
    degrees = value if abs(value) < 200 else value / 1000
    return degrees if 0 < degrees < 150 else None


#: The bits of a Raspberry Pi's flags; the same 16 places higher: it has happened since it started.
_FLAG_BITS = ("the voltage is too low", "its clock is capped", "it is throttled", "it is too hot")
#: A clock that falls by more than this share while inferences run was taken down.
_FALLEN = 0.1
#: Two files may round the same frequency differently.
_ROUNDING = 0.01


def throttled(
    before: dict[str, Any], after: dict[str, Any], readings: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Say whether the processor was slowed down.

    Args:
        before: `System.signs` before the measurement.
        after: those after it.
        readings: of clock and heat meanwhile.

    Returns:
        ``throttled``, None where nothing on the device tells, and the ``reasons``.
    """
    told, reasons = False, []
    if before["flags"] is not None and after["flags"] is not None:
        told = True
        met = (after["flags"] | (after["flags"] & ~before["flags"]) >> 16) & 0xF
        reasons += [text for bit, text in enumerate(_FLAG_BITS) if met >> bit & 1]
    if after["cooling"] is not None:
        told = True
        if after["cooling"] > 0:
            reasons.append("the kernel slows the processor against heat")
    if before["count"] is not None and after["count"] is not None:
        told = True
        if after["count"] > before["count"]:
            reasons.append(f"the processor cooled itself {after['count'] - before['count']:.0f}x")
    limit, full = after["limit_mhz"], after["full_mhz"]
    if limit is not None and full is not None:
        told = True
        if limit < (1 - _ROUNDING) * full:
            reasons.append(f"its clock is limited to {limit:.0f} of {full:.0f} MHz")
    clocks = [r["frequency_mhz"] for r in readings if r["frequency_mhz"] is not None]
    if len(clocks) >= 4:
        quarter = len(clocks) // 4
        first, last = median(clocks[:quarter]), median(clocks[-quarter:])
        if last < (1 - _FALLEN) * first:
            reasons.append(f"its clock fell from {first:.0f} to {last:.0f} MHz")
    heats = [r["temperature_c"] for r in readings if r["temperature_c"] is not None]
    if heats and after["passive_c"] is not None:
        told = True
        if max(heats) >= after["passive_c"]:
            reasons.append(f"it reached {max(heats):.0f} C, where the kernel slows it down")
    return {"throttled": bool(reasons) if told or reasons else None, "reasons": reasons}


class Counter:
    """Counters of energy that start anew when they are full (RAPL), in joules together."""

    source = "rapl"

    def __init__(self, system: System, folders: Sequence[str]) -> None:
        """Take the state of now for the beginning."""
        self._system = system
        self._last: dict[str, float] = {}
        self._full = {f: system.number(f + "/max_energy_range_uj") or 0.0 for f in folders}
        self._total = 0.0
        self.detail = ", ".join(system.text(f + "/name") for f in folders)
        self.joules()

    def joules(self) -> float:
        """Return what has gone since the beginning."""
        for folder, full in self._full.items():
            now = self._system.number(folder + "/energy_uj")
            if now is None:
                continue
            gone = now - self._last.get(folder, now)
            self._total += max(gone if gone >= 0 else gone + full, 0.0) / 1e6
            self._last[folder] = now
        return self._total

    def fault(self) -> str | None:
        """Say why the figures are of no use."""
        return None


class Gauge:
    """A sensor of power, whose readings are added up over the time between them."""

    def __init__(self, source: str, detail: str, watts: Callable[[], float | None]) -> None:
        """Read once."""
        self.source, self.detail, self._read = source, detail, watts
        self._then, self._last = time.perf_counter(), watts() or 0.0
        self._total, self._seen = 0.0, {self._last}

    def watts(self) -> float:
        """Return the last reading."""
        return self._last

    def joules(self) -> float:
        """Return what has gone since the beginning."""
        watts, now = self._read(), time.perf_counter()
        if watts is not None:
            self._total += (watts + self._last) / 2 * (now - self._then)
            self._then, self._last = now, watts
            self._seen.add(watts)
        return self._total

    def fault(self) -> str | None:
        """Say why the figures are of no use: one that stands still has not been looking."""
        return None if len(self._seen) > 2 else "the sensor is too slow: it stood still"


Meter = Union[Counter, Gauge]
#: Chips on boards that measure the power of a supply; others measure a battery or a GPU.
_CHIPS = ("ina", "ltc", "pac19", "adm1", "isl28", "power_meter")


def find_meter(system: System) -> tuple[Meter | None, str]:
    """Return the best sensor of energy there is, or None and why."""
    folders = system.find("/sys/class/powercap/intel-rapl:*")
    packages = [f for f in folders if system.text(f + "/name").startswith("package-")]
    readable = [f for f in packages if system.number(f + "/energy_uj") is not None]
    if readable:
        return Counter(system, readable), ""
    gauges = []
    for chip in system.find("/sys/class/hwmon/hwmon*"):
        if system.text(chip + "/name").startswith(_CHIPS):
            gauges += _channels(system, chip)
    if gauges:
        # The supply's own channel carries what all others of a board do.
        return max(gauges, key=Gauge.watts), ""
    battery, why = _battery(system)
    if packages and battery is None:
        why = "RAPL's counters (/sys/class/powercap/*/energy_uj) may be read by root only"
    return battery, why


def _channels(system: System, chip: str) -> list[Gauge]:
    """Return the channels of a chip in watts: its own product, or volts times amperes."""
    name, found = system.text(chip + "/name"), []
    for path in system.find(chip + "/power*_input") or system.find(chip + "/power*_average"):
        found.append(Gauge("hwmon", f"{name} {Path(path).name}", _product(system, (path, 1e-6))))
    for path in [] if found else system.find(chip + "/curr*_input"):
        volts = str(Path(path).with_name(Path(path).name.replace("curr", "in")))
        watts = _product(system, (path, 1e-3), (volts, 1e-3))
        if watts() is not None:
            found.append(Gauge("hwmon", f"{name} {Path(path).name} x {Path(volts).name}", watts))
    return found


def _product(system: System, *factors: tuple[str, float]) -> Callable[[], float | None]:
    def watts() -> float | None:
        found = 1.0
        for path, unit in factors:
            value = system.number(path)
            if value is None:
                return None
            found *= abs(value) * unit  # batteries count what leaves them as they like
        return found

    return watts


def _battery(system: System) -> tuple[Gauge | None, str]:
    """Return the gauge of a battery that nothing charges."""
    for path in system.find("/sys/class/power_supply/*/type"):
        folder = path[: -len("/type")]
        if system.text(path) != "Battery":
            continue
        if system.text(folder + "/status") != "Discharging":
            return None, "the battery is not discharging: what it gives is not what is used"
        watts = _product(system, (folder + "/power_now", 1e-6))
        if watts() is None:
            # By the rule they are millionths; some phones give thousandths.
            current, voltage = folder + "/current_now", folder + "/voltage_now"
            ampere = 1e-6 if abs(system.number(current) or 0) > 1e4 else 1e-3
            volt = 1e-6 if (system.number(voltage) or 0) > 1e5 else 1e-3
            watts = _product(system, (current, ampere), (voltage, volt))
        if watts() is not None:
            return Gauge("battery", f"{Path(folder).name}, the whole device", watts), ""
        return None, "the battery's gauge may not be read"
    return None, "no sensor: neither RAPL, nor one on the board, nor a battery"


class Watch:
    """Reads clock, heat and power while inferences run, a few times a second."""

    def __init__(self, system: System, meter: Meter | None = None, why: str = "") -> None:
        """Note signs of throttling, and power at rest where there is a sensor of it.

        Args:
            system: tells clock and heat.
            meter: tells energy.
            why: there is none.
        """
        self.system, self._meter, self._why = system, meter, why
        self._signs = system.signs()
        self._readings: list[dict[str, Any]] = []
        self._energy: dict[str, Any] | None = None
        told = (meter, system.frequency(), system.temperature())
        self._useful = any(value is not None for value in told)
        self._begin = self._next = 0
        self._used, self._idle = 0.0, self._rest() if meter else 0.0

    def _rest(self) -> float:
        begin, before = time.perf_counter(), self._joules()
        while time.perf_counter() - begin < REST_S:
            time.sleep(READ_EVERY_S / 5)
            self._joules()
        return (self._joules() - before) / (time.perf_counter() - begin)

    def _joules(self) -> float:
        return self._meter.joules() if self._meter else 0.0

    def start(self) -> None:
        """Begin."""
        self._used, self._begin = self._joules(), time.perf_counter_ns()
        self._next = self._begin

    def due(self, now: int) -> bool:
        """Say whether it is time to read again.

        Args:
            now: `time.perf_counter_ns`.
        """
        return self._useful and now >= self._next

    def note(self) -> None:
        """Read."""
        self._joules()
        now = time.perf_counter_ns()
        self._next = now + int(READ_EVERY_S * 1e9)
        self._readings.append(
            {
                "seconds": round((now - self._begin) / 1e9, 3),
                "frequency_mhz": self.system.frequency(),
                "temperature_c": self.system.temperature(),
            }
        )

    def stop(self, runs: int) -> None:
        """End; work out the energy of one inference, over what the device takes at rest.

        Args:
            runs: inferences since the start, besides one after each reading.
        """
        if self._meter is None:
            return
        joules = self._joules() - self._used
        seconds = (time.perf_counter_ns() - self._begin) / 1e9
        each = (joules - self._idle * seconds) / (runs + len(self._readings))
        self._why = self._meter.fault() or ""
        if not self._why and each <= 0:
            self._why = "it is less than the sensor's noise"
        if self._why:
            return
        self._energy = {
            "joules_per_inference": each,
            "source": self._meter.source,
            "detail": self._meter.detail,
            "idle_watts": self._idle,
            "active_watts": joules / seconds,
            "seconds": seconds,
        }

    def report(self) -> dict[str, Any]:
        """Return the part of the reply that the sensors tell."""
        return {
            "readings": self._readings,
            "throttling": throttled(self._signs, self.system.signs(), self._readings),
            "energy": self._energy,
            "no_energy": self._why or None,
        }
