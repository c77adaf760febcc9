"""What real devices say of themselves, shortened to what differs.

Sources of /proc/cpuinfo: Raspberry Pi 5, github.com/hrw/arm-socs-table/issues/96; Pi 4 with a
64-bit system, github.com/fastfetch-cli/fastfetch/issues/1529, and with a 32-bit one, issue 28 of
hrw/arm-socs-table; Pixel 8 Pro, issue 99 there. The x86 processor and its memory are a virtual
machine's. Properties of Android: a Pixel's, cut down.
"""

from __future__ import annotations


def _arm(number: int, features: str, part: str, bogomips: str = "108.00") -> str:
    return (
        f"processor\t: {number}\nBogoMIPS\t: {bogomips}\nFeatures\t: {features}\n"
        f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {part}\n"
        "CPU revision\t: 1\n\n"
    )


_A76 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)
_G3 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt "
    "fcma lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs "
    "sb paca pacg dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint "
    "svei8mm svebf16 i8mm bti mte mte3"
)

PI5 = "".join(_arm(n, _A76, "0xd0b") for n in range(4)) + (
    "Hardware\t: BCM2835\nRevision\t: d04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n"
)
PI4 = "".join(_arm(n, "fp asimd evtstrm crc32 cpuid", "0xd08") for n in range(4)) + (
    "Revision\t: d03115\nModel\t\t: Raspberry Pi 4 Model B Rev 1.5\n"
)
PI4_32BIT = (
    "".join(
        f"processor       : {n}\nmodel name      : ARMv7 Processor rev 3 (v7l)\n"
        "BogoMIPS        : 144.00\nFeatures        : half thumb fastmult vfp edsp neon vfpv3 tls "
        "vfpv4 idiva idivt vfpd32 lpae evtstrm crc32 \nCPU implementer : 0x41\n"
        "CPU architecture: 7\nCPU variant     : 0x0\nCPU part        : 0xd08\n"
        "CPU revision    : 3\n\n"
        for n in range(4)
    )
    + "Hardware        : BCM2711\nModel           : Raspberry Pi 4 Model B Rev 1.4\n"
)
PIXEL8 = "".join(
    _arm(n, _G3, "0xd46" if n < 4 else "0xd4d" if n < 8 else "0xd4e", "49.15") for n in range(9)
)
X86 = "".join(
    f"processor\t: {n}\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n"
    "model name\t: AMD EPYC\nstepping\t: 1\ncpu MHz\t\t: 2445.428\n"
    "flags\t\t: fpu sse sse2 ht pni ssse3 fma sse4_1 sse4_2 avx f16c bmi1 avx2 bmi2 sha_ni vaes\n"
    "bugs\t\t: sysret_ss_attrs\npower management:\n\n"
    for n in range(2)
)

MEMINFO = (
    "MemTotal:       24678896 kB\nMemFree:        11533504 kB\nMemAvailable:   22904300 kB\n"
    "Buffers:            1896 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n"
)

GETPROP = (
    "[ro.build.version.release]: [10]\r\n[ro.product.board]: [sailfish]\r\n"
    "[ro.product.cpu.abi]: [arm64-v8a]\r\n[ro.product.model]: [Pixel]\r\n"
    "[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]\r\n[persist.empty]: []\r\n"
)

DF_GNU = (
    "Filesystem     1K-blocks     Used Available Use% Mounted on\n"
    "/dev/root      105089260 33333776  67369252  34% /\n"
)
DF_TOYBOX = (
    "Filesystem     1K-blocks    Used Available Use% Mounted on\n"
    "/dev/block/dm-47\n               112461144 9213428 102887036   9% /data\n"
)
DF_FULL = (
    "Filesystem     1K-blocks Used Available Use% Mounted on\n"
    "tmpfs               4096 4096         0 100% /mnt\n"
)

CPUFREQ_PI5 = "".join(
    f"{n} scaling_governor ondemand\n{n} scaling_min_freq 1500000\n{n} scaling_max_freq 2400000\n"
    for n in range(4)
)

THERMALSERVICE = (
    "IsStatusOverride: false\nThermal Status: 2\nCached temperatures:\n"
    "\tTemperature{mValue=37.0, mType=0, mName=CPU0, mStatus=0}\n"
)
