"""What a program inside reads of its processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.emulation import processors
from edgekd.emulation.processors import PROCESSORS, cpuinfo, processor, write_sys
from edgekd.errors import UnknownNameError

#: MIDR_EL1 as Arm's manuals give it, at the revisions that QEMU emulates.
MIDR = {"cortex-a53": 0x410FD034, "cortex-a72": 0x410FD083, "cortex-a76": 0x414FD0B1}


@pytest.mark.parametrize("name", sorted(PROCESSORS))
def test_the_file_and_the_register_name_one_processor(name: str) -> None:
    fields: dict[str, str] = {}
    for line in cpuinfo(name).splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    assert fields["processor"] == "3", "four cores, counted from 0"
    read = (
        int(fields["CPU implementer"], 16) << 24
        | int(fields["CPU variant"], 16) << 20
        | 0xF << 16
        | int(fields["CPU part"], 16) << 4
        | int(fields["CPU revision"])
    )
    assert read == processor(name).midr == MIDR[name]


def test_what_decides_the_kernels() -> None:
    old, new = (set(PROCESSORS[name].features.split()) for name in ("cortex-a72", "cortex-a76"))
    assert old < new
    assert {"asimddp", "asimdhp", "fphp", "atomics"} <= new - old


def test_sys_agrees_and_invents_no_frequency(tmp_path: Path) -> None:
    write_sys(tmp_path, "cortex-a76")
    cpu = tmp_path / "devices/system/cpu"
    assert (cpu / "possible").read_text() == (cpu / "present").read_text() == "0-3\n"
    assert sorted(path.name for path in cpu.glob("cpu[0-9]*")) == [f"cpu{n}" for n in range(4)]
    register = (cpu / "cpu2/regs/identification/midr_el1").read_text()
    assert int(register, 16) == MIDR["cortex-a76"] and len(register) == 19
    assert (cpu / "cpu2/topology/thread_siblings").read_text() == "4\n"
    assert not list(tmp_path.rglob("cpufreq")) and not list(tmp_path.rglob("thermal*"))


def test_an_unknown_processor() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cortex-a76'"):
        processors.cpuinfo("cortex-a77")
