"""The filter of a box, run by an interpreter of its own."""

from __future__ import annotations

import errno
import platform
import socket
import struct

import pytest

from edgekd.emulation.jail import socket_filter

ALLOWED = 0x7FFF0000
X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003
#: asm/unistd.h and asm-generic/unistd.h
CALLS = {
    "x86_64": {"socket": 41, "socketpair": 53, "read": 0, "arch": X86_64},
    "aarch64": {"socket": 198, "socketpair": 199, "read": 63, "arch": AARCH64},
}


def judge(program: bytes, number: int, arch: int, argument: int) -> int:
    """Run a classic BPF program on a ``struct seccomp_data``."""
    data = struct.pack("<IIQQQQQQQ", number, arch, 0, argument, *[0] * 5)
    position = accumulator = 0
    while True:
        code, true, false, k = struct.unpack_from("HBBI", program, 8 * position)
        position += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
            position += true if accumulator == k else false
        elif code == 0x35:  # BPF_JMP | BPF_JGE | BPF_K
            position += true if accumulator >= k else false
        elif code == 0x06:  # BPF_RET | BPF_K
            return int(k)
        else:
            raise AssertionError(f"code {code:#x}")


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("machine", CALLS)
def test_only_four_families_of_sockets_are_made(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program, calls = socket_filter(), CALLS[machine]
    for call in ("socket", "socketpair"):
        allowed = {
            family
            for family in range(64)
            if judge(program, calls[call], calls["arch"], family) == ALLOWED
        }
        assert allowed == {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16}
        vsock = judge(program, calls[call], calls["arch"], 40)
        assert vsock == refused(errno.EAFNOSUPPORT)
    assert judge(program, calls["read"], calls["arch"], 40) == ALLOWED


def test_no_other_way_to_a_socket_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    program = socket_filter()
    absent = refused(errno.ENOSYS)
    assert judge(program, 425, X86_64, 0) == absent, "io_uring_setup"
    assert judge(program, 41 | 0x40000000, X86_64, socket.AF_INET) == absent, "x32"
    assert judge(program, 102, I386, 0) == absent, "socketcall of 32-bit programs"


def test_a_machine_whose_calls_are_unknown_gets_no_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="riscv64"):
        socket_filter()
