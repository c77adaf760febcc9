"""Runs one program in a box of its own, which nothing but one port of 127.0.0.1 leads into.

It needs Linux, root and Python's standard library, and nothing of edgekd::

    python -I jail.py '{"root": ..., "argv": [...], ...}'        (see `Spec`)

The program gets namespaces of its own: no file, process, mount or network interface of the machine
is in reach of it. It runs as an ordinary user without capabilities that can never get any, and a
seccomp filter lets it make sockets of the families UNIX, INET, INET6 and NETLINK only: AF_VSOCK,
which leads to a virtual machine's host, knows no network namespaces. This process itself stays
outside and relays each connection to the port; a helper on the machine's side may be started with
it. When it ends, however it ends, the kernel kills the helper and all that runs inside, and with
the last process the mounts are gone. It ends by itself when one of those two does.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import json
import os
import platform
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypedDict


class Spec(TypedDict):
    """What is to run, and in what.

    Attributes:
        root: the root file system; it is mounted read-only.
        argv: the program and its arguments, as paths inside.
        environment: its variables.
        user: the number of the user and of the group that it runs as.
        binds: pairs of a file or folder of the machine and where it appears inside.
        inner_port: where the program listens inside.
        ready: the file that says, as JSON, ``port`` on 127.0.0.1, or ``error``.
        note: the file that this process notes itself in first, as ``/proc/self/stat`` has it.
        helper: a program of the machine, outside the box, and its arguments; may be empty.
        helper_environment: its variables.
    """

    root: str
    argv: list[str]
    environment: dict[str, str]
    user: int
    binds: list[tuple[str, str]]
    inner_port: int
    ready: str
    note: str
    helper: list[str]
    helper_environment: dict[str, str]


# Constants of Linux: sched.h, mount.h, prctl.h, seccomp.h, filter.h.
_NEW_MOUNTS, _NEW_NAME, _NEW_IPC, _NEW_PIDS, _NEW_NETWORK = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x20000000,
    0x40000000,
)
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
_SECCOMP_MODE_FILTER = 2
_SECCOMP_ALLOW, _SECCOMP_ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1

#: Machine -> audit's name of it, and the numbers of pivot_root, socket and socketpair.
_MACHINES = {
    "x86_64": (0xC000003E, 155, 41, 53),
    "aarch64": (0xC00000B7, 41, 198, 199),
}
_IO_URING_SETUP = 425  # on every machine: io_uring makes sockets that no filter sees
_X32 = 0x40000000
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)  # 16: AF_NETLINK

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_RESTART_S = 0.3
_CHUNK = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


def main(argv: Sequence[str]) -> NoReturn:
    """Make the box, run the program in it, and relay until this process is ended."""
    spec: Spec = json.loads(argv[1])
    Path(spec["note"]).write_text(Path("/proc/self/stat").read_text())
    ready = Path(spec["ready"])
    try:
        if spec["helper"]:
            _start_helper(spec)
        listener = socket.create_server(("127.0.0.1", 0))
        _check(_libc.unshare(_NEW_NAME | _NEW_IPC | _NEW_PIDS | _NEW_NETWORK), "unshare")
        _loopback_up()
        alive, held = os.pipe()
        told, tell = os.pipe()
        if os.fork() == 0:
            listener.close()
            os.close(held)
            os.close(told)
            _inside(spec, alive, tell)
        os.close(alive)
        os.close(tell)
        fault = _read(told)
    except OSError as error:
        fault = str(error)
    if fault:
        _say(ready, {"error": fault})
        sys.exit(1)
    _say(ready, {"port": listener.getsockname()[1]})
    asyncio.run(_relay(listener, spec["inner_port"]))
    sys.exit(0)


def _start_helper(spec: Spec) -> None:
    if os.fork() == 0:
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            os.execve(spec["helper"][0], spec["helper"], spec["helper_environment"])  # noqa: S606
        finally:
            os._exit(127)


def _inside(spec: Spec, alive: int, tell: int) -> NoReturn:
    """Be the first process of the box: make it, give up all rights, keep the program running.

    Args:
        spec: what is to run.
        alive: becomes readable when the process outside has ended.
        tell: takes what went wrong; closed when the box is made.
    """
    try:
        _make_root(spec)
        _give_up_rights(spec["user"])
        # Only now: a change of the user would take it back.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)
    except OSError as error:
        os.write(tell, str(error).encode())
        os._exit(1)
    os.close(tell)
    while True:
        begin = time.monotonic()
        program = os.fork()
        if program == 0:
            _become(spec)
        while os.wait()[0] != program:
            pass  # a process whose parent has ended
        # As Android's init does; but one that ends at once is not started a thousand times.
        time.sleep(_RESTART_S if time.monotonic() - begin > 1 else 1)


def _become(spec: Spec) -> NoReturn:
    try:
        os.setsid()
        os.execve(spec["argv"][0], spec["argv"], spec["environment"])  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot run {spec['argv'][0]}: {error}\n")
    os._exit(127)


def _make_root(spec: Spec) -> None:
    """Mount the root, what belongs into it, and nothing else."""
    root = spec["root"]
    _check(_libc.unshare(_NEW_MOUNTS), "unshare")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount(root, root, None, _MS_BIND)
    _mount("proc", f"{root}/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _make_devices(f"{root}/dev")
    for source, inside in spec["binds"]:
        _mount(source, root + inside, None, _MS_BIND)
    _mount(None, root, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    os.chdir(root)
    number = _machine()[1]
    # Both at one place: the old root comes to lie on the new one, and is taken away.
    _check(_libc.syscall(number, b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")


def _make_devices(folder: str) -> None:
    """Mount the few devices that a program needs; they are the machine's own."""
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=755,size=64k")
    for name in _DEVICES:
        Path(folder, name).touch()
        _mount(f"/dev/{name}", f"{folder}/{name}", None, _MS_BIND)
    Path(folder, "pts").mkdir()
    options = "newinstance,ptmxmode=0666,mode=620"
    _mount("devpts", f"{folder}/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, options)
    Path(folder, "ptmx").symlink_to("pts/ptmx")
    for name, number in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path(folder, name).symlink_to(f"/proc/self/fd{number}")


def _give_up_rights(user: int) -> None:
    """Become an ordinary user for good, without capabilities and with few kinds of sockets."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # the kernel knows no more of them
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    program = socket_filter()
    held = ctypes.create_string_buffer(program)
    address = ctypes.c_char_p(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held)))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, address, 0, 0), "seccomp")


def socket_filter() -> bytes:
    """Return the seccomp filter of this machine: 8 bytes an instruction.

    Sockets of the families UNIX, INET, INET6 and NETLINK are allowed, the others answered with
    EAFNOSUPPORT; io_uring, which could make sockets too, and the calls of other architectures with
    ENOSYS.

    Raises:
        OSError: the numbers of this machine are not known.
    """
    machine, _, make, make_pair = _machine()
    deny = _SECCOMP_ERRNO | errno.EAFNOSUPPORT
    absent = _SECCOMP_ERRNO | errno.ENOSYS
    number, arch, first_argument = 0, 4, 16  # offsets in struct seccomp_data
    unix, inet, inet6, netlink = (int(family) for family in _FAMILIES)
    lines = [
        (_LOAD, 0, 0, arch),
        (_JUMP_EQUAL, 0, 11, machine),  # else: absent
        (_LOAD, 0, 0, number),
        (_JUMP_AT_LEAST, 9, 0, _X32),  # absent
        (_JUMP_EQUAL, 8, 0, _IO_URING_SETUP),  # absent
        (_JUMP_EQUAL, 1, 0, make),
        (_JUMP_EQUAL, 0, 7, make_pair),  # else: allow
        (_LOAD, 0, 0, first_argument),
        (_JUMP_EQUAL, 5, 0, unix),
        (_JUMP_EQUAL, 4, 0, inet),
        (_JUMP_EQUAL, 3, 0, inet6),
        (_JUMP_EQUAL, 2, 0, netlink),
        (_RETURN, 0, 0, deny),
        (_RETURN, 0, 0, absent),
        (_RETURN, 0, 0, _SECCOMP_ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _machine() -> tuple[int, int, int, int]:
    name = platform.machine()
    if name not in _MACHINES:
        raise OSError(errno.ENOSYS, f"a box is not known to be safe on {name}")
    return _MACHINES[name]


def _loopback_up() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


async def _relay(listener: socket.socket, port: int) -> None:
    """Pass on every connection; this process has the box's network, the listener the machine's."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:  # the program starts anew just now
            writer.close()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    # The helper and the box are of use together only: with either, all ends.
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, os._exit, 1)
    if os.waitpid(-1, os.WNOHANG)[0]:
        os._exit(1)
    server = await asyncio.start_server(serve, sock=listener)
    async with server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(_CHUNK):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass  # either end may vanish
    finally:
        writer.close()


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    parts = [None if part is None else os.fsencode(part) for part in (source, target, kind)]
    data = None if options is None else options.encode()
    _check(_libc.mount(*parts, ctypes.c_ulong(flags), data), f"mount {target}")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _read(pipe: int) -> str:
    with os.fdopen(pipe, "rb") as stream:
        return stream.read().decode()


def _say(ready: Path, content: dict[str, Any]) -> None:
    """Write the file at once: it is there in full, or not at all."""
    partial = ready.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(ready)


if __name__ == "__main__":
    main(sys.argv)
