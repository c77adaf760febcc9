"""What devices say of themselves, read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.bench import hardware
from tests.bench import device_texts as texts


@pytest.mark.parametrize(
    ("text", "kinds", "features", "board"),
    [
        (
            texts.PI5,
            [("Cortex-A76", (0, 1, 2, 3))],
            ("neon", "dotprod", "fp16"),
            "Raspberry Pi 5 Model B Rev 1.0",
        ),
        (
            texts.PI4,
            [("Cortex-A72", (0, 1, 2, 3))],
            ("neon",),
            "Raspberry Pi 4 Model B Rev 1.5",
        ),
        (
            texts.PI4_32BIT,
            [("Cortex-A72", (0, 1, 2, 3))],
            ("neon",),
            "Raspberry Pi 4 Model B Rev 1.4",
        ),
        (
            texts.PIXEL8,
            [("Cortex-A510", (0, 1, 2, 3)), ("Cortex-A715", (4, 5, 6, 7)), ("Cortex-X3", (8,))],
            ("neon", "dotprod", "fp16", "i8mm", "sve", "sve2"),
            None,
        ),
        (texts.X86, [("AMD EPYC", (0, 1))], ("avx", "fma", "avx2"), None),
    ],
    ids=["pi5", "pi4", "pi4-32bit", "pixel8", "x86"],
)
def test_processors_of_real_devices(
    text: str, kinds: list[tuple[str, tuple[int, ...]]], features: tuple[str, ...], board: str
) -> None:
    found = hardware.processors(text)
    assert [(g.name, g.cores) for g in hardware.core_groups(found, "")] == kinds
    assert hardware.features(found) == features
    assert hardware.board(text) == board


def test_features_are_those_of_every_core() -> None:
    # A core without dot products takes them from all: a thread may move to it.
    mixed = texts.PI5 + texts.PI4.replace("processor\t: ", "processor\t: 1")
    assert hardware.features(hardware.processors(mixed)) == ("neon",)


def test_frequencies_and_governors_make_kinds_of_cores() -> None:
    (group,) = hardware.core_groups(hardware.processors(texts.PI5), texts.CPUFREQ_PI5)
    assert (group.min_mhz, group.max_mhz, group.governor) == (1500.0, 2400.0, "ondemand")
    other = texts.CPUFREQ_PI5.replace("3 scaling_governor ondemand", "3 scaling_governor powersave")
    groups = hardware.core_groups(hardware.processors(texts.PI5), other)
    assert [(g.cores, g.governor) for g in groups] == [
        ((0, 1, 2), "ondemand"),
        ((3,), "powersave"),
    ]


def test_an_unknown_part_keeps_its_number() -> None:
    text = texts.PI5.replace("0xd0b", "0xfff").replace("0x41", "0x51")
    (group,) = hardware.core_groups(hardware.processors(text), "")
    assert group.name == "part 0xfff of implementer 0x51"


def test_memory_and_disk() -> None:
    assert hardware.memory(texts.MEMINFO) == (24678896 * 1024, 22904300 * 1024)
    old_kernel = "MemTotal: 1000 kB\nMemFree: 300 kB\n"
    assert hardware.memory(old_kernel) == (1024000, 307200)
    assert hardware.free_disk(texts.DF_GNU) == 67369252 * 1024
    assert hardware.free_disk(texts.DF_TOYBOX) == 102887036 * 1024
    assert hardware.free_disk(texts.DF_FULL) == 0


def test_properties_of_android() -> None:
    found = hardware.properties(texts.GETPROP)
    assert found["ro.product.model"] == "Pixel"
    assert found["ro.product.cpu.abilist"] == "arm64-v8a,armeabi-v7a,armeabi"
    assert "persist.empty" not in found


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ("cpu-thermal 48312", 48.312),
        ("battery 31000\nBIG 62500\nsoc 61000", 62.5),
        ("acpitz 45", 45.0),
        # Sensors that are switched off say 0, -40000 or what no chip survives.
        ("off 0\nodd 255000\ncold -274000\nskin 30500", 30.5),
        ("cpu-thermal", None),
        ("", None),
    ],
)
def test_temperature(zones: str, expected: float | None) -> None:
    assert hardware.temperature(zones) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("throttled=0x0", ()),
        ("0", ()),
        ("", ()),
        ("throttled=0x1", ("the supply's voltage is too low",)),
        ("throttled=0x4", ("the cores are throttled",)),
        (
            "throttled=0x50000",
            (
                "the supply's voltage is too low: not now, but since it was started",
                "the cores are throttled: not now, but since it was started",
            ),
        ),
        # Now and before: said once.
        ("50005", ("the supply's voltage is too low", "the cores are throttled")),
    ],
)
def test_throttling_of_a_raspberry_pi(text: str, expected: tuple[str, ...]) -> None:
    assert hardware.throttling(text) == expected


def test_throttling_of_android() -> None:
    assert hardware.android_throttling(texts.THERMALSERVICE) == (
        "Android's thermal status is moderate",
    )
    assert hardware.android_throttling("Thermal Status: 0\n") == ()
    assert hardware.android_throttling("Can't find service: thermalservice") == ()


READERS = (
    lambda text: hardware.core_groups(hardware.processors(text), text),
    lambda text: hardware.features(hardware.processors(text)),
    hardware.board,
    hardware.memory,
    hardware.properties,
    hardware.free_disk,
    hardware.temperature,
    hardware.throttling,
    hardware.android_throttling,
)
SAMPLES = "".join(value for key, value in vars(texts).items() if key.isupper())
LINES = st.lists(st.sampled_from(SAMPLES.splitlines()), max_size=20).map("\n".join)


@given(st.one_of(st.text(max_size=200), LINES, LINES.map(lambda text: text[7:-5])))
def test_nothing_that_a_device_may_say_breaks_a_reader(text: str) -> None:
    for reader in READERS:
        reader(text)


@given(st.integers(1, 64), st.permutations(range(8)))
def test_every_core_is_in_one_group(count: int, order: list[int]) -> None:
    blocks = [f"processor\t: {n}\nCPU part\t: 0xd0{n % 3}\n" for n in range(count)]
    groups = hardware.core_groups(hardware.processors("\n".join(blocks)), "")
    assert sorted(core for group in groups for core in group.cores) == list(range(count))
