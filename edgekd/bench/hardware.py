"""Readers of what Linux and Android tell of themselves in text.

Nothing here fails: what cannot be read is None or missing, since vendors leave out and add lines
as they like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from edgekd.records_devices import CoreGroup

#: Arm's part numbers, from the Main ID registers in its Technical Reference Manuals.
_ARM_PARTS = {
    0xB76: "ARM1176",
    0xC07: "Cortex-A7",
    0xC0F: "Cortex-A15",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
}
_ARM = 0x41

#: What kernels are chosen by, and the flags of /proc/cpuinfo that it takes: Documentation/arch/
#: arm64/elf_hwcaps.rst and arch/x86/include/asm/cpufeatures.h of the Linux kernel.
_FEATURES: dict[str, tuple[frozenset[str], ...]] = {
    "neon": (frozenset({"asimd"}), frozenset({"neon"})),
    "dotprod": (frozenset({"asimddp"}),),
    "fp16": (frozenset({"fphp", "asimdhp"}),),
    "i8mm": (frozenset({"i8mm"}),),
    "bf16": (frozenset({"bf16"}), frozenset({"avx512_bf16"})),
    "sve": (frozenset({"sve"}),),
    "sve2": (frozenset({"sve2"}),),
    "sme": (frozenset({"sme"}),),
    "avx": (frozenset({"avx"}),),
    "fma": (frozenset({"fma"}),),
    "avx2": (frozenset({"avx2"}),),
    "avx512": (frozenset({"avx512f"}),),
    "vnni": (frozenset({"avx512_vnni"}), frozenset({"avx_vnni"})),
    "amx": (frozenset({"amx_int8"}),),
}

#: Bits of the Raspberry Pi's ``get_throttled``; 16 more: it has happened since the start.
#: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_THROTTLED = (
    "the supply's voltage is too low",
    "the frequency is capped",
    "the cores are throttled",
    "the soft temperature limit is active",
)
_SINCE_START = 16

#: ``PowerManager.THERMAL_STATUS_*`` of Android, from 0.
_ANDROID_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def processors(cpuinfo: str) -> list[dict[str, str]]:
    """Return the fields of ``/proc/cpuinfo``, a dictionary a processor.

    Fields of the whole board, such as ``Model`` of a Raspberry Pi, are in none of them.
    """
    found: list[dict[str, str]] = []
    for line in cpuinfo.splitlines():
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon:
            continue
        if key == "processor" and value.isdecimal():
            found.append({})
        if found:
            found[-1].setdefault(key, value)
    return found


def core_name(fields: Mapping[str, str]) -> str:
    """Return what a processor is called: Arm's part, or the model name that the system gives."""
    part, implementer = _hex(fields.get("CPU part")), _hex(fields.get("CPU implementer"))
    if implementer == _ARM and part in _ARM_PARTS:
        return _ARM_PARTS[part]
    if fields.get("model name"):
        return " ".join(fields["model name"].split())
    if part is not None:
        return f"part {part:#x} of implementer {implementer or 0:#x}"
    return "unknown"


def features(found: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the instruction sets that every processor has and that matter for inference."""
    flags = [set((p.get("Features") or p.get("flags") or "").lower().split()) for p in found]
    if not flags:
        return ()
    common = set.intersection(*flags)
    return tuple(n for n, ways in _FEATURES.items() if any(way <= common for way in ways))


def board(cpuinfo: str) -> str | None:
    """Return the field ``Model`` of a Raspberry Pi's cpuinfo."""
    match = re.search(r"^Model\s*:\s*(\S.*)$", cpuinfo, re.MULTILINE)
    return match[1].strip() if match else None


def core_groups(found: Sequence[Mapping[str, str]], cpufreq: str) -> tuple[CoreGroup, ...]:
    """Return the cores by kind, in the order of their numbers.

    Args:
        found: what `processors` gave.
        cpufreq: lines ``CORE KEY VALUE`` of ``/sys/devices/system/cpu/cpuN/cpufreq``.
    """
    speeds: dict[int, dict[str, str]] = {}
    for line in cpufreq.splitlines():
        core, key, value = (*line.split(maxsplit=2), "", "", "")[:3]
        if core.isdecimal() and value:
            speeds.setdefault(int(core), {})[key] = value
    groups: dict[tuple[str, float | None, float | None, str | None], list[int]] = {}
    for position, fields in enumerate(found):
        number = fields.get("processor", "")
        core_number = int(number) if number.isdecimal() else position
        speed = speeds.get(core_number, {})
        lowest, highest = (_mhz(speed.get(f"scaling_{end}_freq")) for end in ("min", "max"))
        kind = (core_name(fields), lowest, highest, speed.get("scaling_governor"))
        groups.setdefault(kind, []).append(core_number)
    return tuple(
        CoreGroup(name=name, cores=tuple(cores), min_mhz=low, max_mhz=high, governor=governor)
        for (name, low, high, governor), cores in groups.items()
    )


def memory(meminfo: str) -> tuple[int | None, int | None]:
    """Return total and available memory in bytes from ``/proc/meminfo``."""
    found = dict(re.findall(r"^(\w+):\s*(\d+) kB", meminfo, re.MULTILINE))
    total, free = found.get("MemTotal"), found.get("MemAvailable") or found.get("MemFree")
    return (int(total) * 1024 if total else None), (int(free) * 1024 if free else None)


def properties(getprop: str) -> dict[str, str]:
    """Return Android's properties from the output of ``getprop``, those with a value."""
    return dict(re.findall(r"^\[([^\]]+)\]: \[([^\]]+)\]\r?$", getprop, re.MULTILINE))


def free_disk(df: str) -> int | None:
    """Return the available bytes from the output of ``df -k FOLDER``.

    A long device name may stand on a line of its own.
    """
    words = " ".join(df.splitlines()[1:]).split()
    for word, after in pairwise(words):
        if re.fullmatch(r"-|\d+%", after) and word.isdecimal():
            return int(word) * 1024
    return None


def temperature(zones: str) -> float | None:
    """Return the hottest zone in degrees Celsius, from lines ``TYPE MILLIDEGREES``.

    Some kernels write whole degrees; what no chip survives or starts at is not believed.
    """
    values = []
    for line in zones.splitlines():
        last = line.split()[-1:] or [""]
        if re.fullmatch(r"-?\d+", last[0]):
            number = int(last[0])
            values.append(number / 1000 if abs(number) >= 1000 else float(number))
    return max((value for value in values if -40 < value < 150 and value), default=None)


def throttling(text: str) -> tuple[str, ...]:
    """Say what slows a Raspberry Pi down, from ``throttled=0x50000`` or ``50000``."""
    match = re.search(r"(?:0x)?([0-9a-fA-F]+)\s*$", text.strip())
    if not match:
        return ()
    bits = int(match[1], 16)
    now = [what for bit, what in enumerate(_THROTTLED) if bits >> bit & 1]
    past = [
        f"{what}: not now, but since it was started"
        for bit, what in enumerate(_THROTTLED)
        if bits >> bit + _SINCE_START & 1 and not bits >> bit & 1
    ]
    return (*now, *past)


def android_throttling(dumpsys: str) -> tuple[str, ...]:
    """Say how much Android slows itself down, from ``dumpsys thermalservice``."""
    match = re.search(r"Thermal Status: (\d+)", dumpsys)
    if not match or not int(match[1]):
        return ()
    level = _ANDROID_STATUS[min(int(match[1]), len(_ANDROID_STATUS) - 1)]
    return (f"Android's thermal status is {level}",)


def _hex(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _mhz(kilohertz: str | None) -> float | None:
    return int(kilohertz) / 1000 if kilohertz and kilohertz.isdecimal() else None
