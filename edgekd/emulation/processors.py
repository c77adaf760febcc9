"""What Linux says of the processors that can be emulated.

Libraries choose their kernels by these files and by what QEMU tells a program at its start; both
must name the same processor. Features are those that 64-bit Raspberry Pi OS shows on the board.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import UnknownNameError

CORES = 4


@dataclass(frozen=True)
class Processor:
    """One processor, in the words of ``/proc/cpuinfo``.

    Attributes:
        part: the number that Arm gave it.
        variant: the major revision.
        revision: the minor revision.
        features: the instructions beyond the base, as the kernel names them.
    """

    part: int
    variant: int
    revision: int
    features: str

    @property
    def midr(self) -> int:
        """The main identification register: Arm (0x41), architecture by features (0xf)."""
        return (0x41 << 24) | (self.variant << 20) | (0xF << 16) | (self.part << 4) | self.revision


#: QEMU's name -> processor. Revisions are those that QEMU's own registers hold.
PROCESSORS = {
    "cortex-a53": Processor(0xD03, 0, 4, "fp asimd evtstrm crc32 cpuid"),
    "cortex-a72": Processor(0xD08, 0, 3, "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": Processor(
        0xD0B,
        4,
        1,
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc "
        "dcpop asimddp",
    ),
}


def processor(name: str) -> Processor:
    """Return a processor by QEMU's name.

    Raises:
        UnknownNameError: it is none of those that are known here.
    """
    if name not in PROCESSORS:
        raise UnknownNameError("emulated processor", name, PROCESSORS)
    return PROCESSORS[name]


def cpuinfo(name: str) -> str:
    """Return the content of ``/proc/cpuinfo``.

    >>> print(cpuinfo("cortex-a72").splitlines()[2])
    Features        : fp asimd evtstrm crc32 cpuid
    """
    model = processor(name)
    core = (
        "BogoMIPS\t: 108.00\n"
        f"Features\t: {model.features}\n"
        "CPU implementer\t: 0x41\n"
        "CPU architecture: 8\n"
        f"CPU variant\t: {model.variant:#x}\n"
        f"CPU part\t: {model.part:#x}\n"
        f"CPU revision\t: {model.revision}\n"
    )
    blocks = "\n".join(f"processor\t: {number}\n{core}" for number in range(CORES))
    return f"{blocks}\nModel\t\t: emulated by QEMU ({name})\n"


def write_sys(folder: Path, name: str) -> None:
    """Write what ``/sys`` says of the processors, and nothing else: no clock, no heat.

    An emulated processor has neither, and a made-up frequency would be taken for a measured one.
    """
    cpu = folder / "devices/system/cpu"
    cores = f"0-{CORES - 1}\n"
    for file in ("possible", "present", "online"):
        _write(cpu / file, cores)
    _write(cpu / "kernel_max", "255\n")
    midr = f"{processor(name).midr:#018x}\n"
    for number in range(CORES):
        core = cpu / f"cpu{number}"
        _write(core / "regs/identification/midr_el1", midr)
        _write(core / "topology/physical_package_id", "0\n")
        _write(core / "topology/core_id", f"{number}\n")
        for file in ("core_siblings_list", "package_cpus_list"):
            _write(core / "topology" / file, cores)
        for file in ("thread_siblings_list", "core_cpus_list"):
            _write(core / "topology" / file, f"{number}\n")
        for file in ("core_siblings", "package_cpus"):
            _write(core / "topology" / file, f"{(1 << CORES) - 1:x}\n")
        for file in ("thread_siblings", "core_cpus"):
            _write(core / "topology" / file, f"{1 << number:x}\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
