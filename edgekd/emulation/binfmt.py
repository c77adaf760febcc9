"""The kernel's list of who runs foreign programs: there arm64 programs are handed to QEMU.

The list is the machine's own. What edgekd adds to it is noted under ``/run``, with the processes
that need it, and is taken away again when the last of them has ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekd.emulation import host
from edgekd.emulation.process import Process, find
from edgekd.errors import MissingDeviceError
from edgekd.storage import process_lock

_LIST = Path("/proc/sys/fs/binfmt_misc")
_NOTES = Path("/run/edgekd/binfmt")
_ENTRY = "qemu-aarch64"
#: The first bytes of an ELF file for AArch64, and which bits of them count.
_MAGIC = "7f454c460201010000000000000000000200b700"
_MASK = "ffffffffffffff00fffffffffffffffffeffffff"
#: As Debian names it. By this name QEMU knows that it is handed the program's own first argument.
_DEBIAN = Path("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")
_HINT = "Install it: apt-get install qemu-user-static binfmt-support"


@contextmanager
def arm64() -> Iterator[None]:
    """See to it that arm64 programs run on this machine while the block runs.

    Raises:
        MissingDeviceError: the kernel has no such list, or it may not be changed.
    """
    me = find(os.getpid())
    with _locked():
        _ensure()
        if me is not None:
            _hold(me)
    try:
        yield
    finally:
        if me is not None:
            _file(me).unlink(missing_ok=True)
        sweep()


def hold(process: Process) -> None:
    """Note that a process needs the entry for as long as it lives. Only inside `arm64`."""
    with _locked():
        _hold(process)


def sweep() -> None:
    """Take away what edgekd added, if nobody needs it any more."""
    if not _NOTES.is_dir():
        return
    with _locked():
        for path in _NOTES.glob("holder-*"):
            if not _alive(path):
                path.unlink(missing_ok=True)
        if not any(_NOTES.glob("holder-*")):
            _undo()


def entries(folder: Path = _LIST) -> dict[str, dict[str, str]]:
    """Return what the list says of arm64 programs: entry -> its fields, ``state`` among them."""
    found = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.name in ("register", "status"):
            continue
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        fields = {"state": lines[0] if lines else ""}
        for line in lines[1:]:
            key, _, value = line.partition(" ")
            fields[key.rstrip(":")] = value.strip()
        if fields.get("magic") == _MAGIC:
            found[path.name] = fields
    return found


def _ensure() -> None:
    mounted = (_LIST / "register").exists()
    if not mounted:
        _mount()
    status = (_LIST / "status").read_text().strip()
    if status != "enabled":
        raise MissingDeviceError(
            f"the kernel runs no foreign programs: {_LIST}/status says {status!r}",
            hint=f"Switch it on, as root: echo 1 > {_LIST}/status",
        )
    usable = [e for e in entries().values() if e["state"] == "enabled"]
    if any("F" in entry.get("flags", "") for entry in usable):
        if not mounted:
            _note(mounted=True, registered=False)
        return
    if usable:
        raise MissingDeviceError(
            f"arm64 programs are handed to {usable[0].get('interpreter')} without the flag F, so "
            "that they do not run inside a root file system",
            hint="Let Debian's own package do it: apt-get install qemu-user-static binfmt-support",
        )
    _register()
    _note(mounted=not mounted, registered=True)


def _mount() -> None:
    program = host.find("mount") or "mount"
    try:
        host.run([program, "-t", "binfmt_misc", "binfmt_misc", _LIST], what=str(_LIST), timeout=30)
    except Exception as error:
        raise MissingDeviceError(
            "this kernel has no binfmt_misc, which hands arm64 programs to QEMU",
            hint="Try, as root: modprobe binfmt_misc. In a container, start it with --privileged.",
        ) from error


def _register() -> None:
    interpreter = str(_DEBIAN) if _DEBIAN.exists() else host.find("qemu-aarch64-static")
    if interpreter is None:
        raise MissingDeviceError("this machine has no qemu-aarch64-static", hint=_HINT)
    # F: QEMU is opened now, so that it is found inside a root file system as well;
    # O: it is handed the open program; P: and the program's own first argument.
    flags = "OPF" if _DEBIAN.exists() else "F"
    line = f":{_ENTRY}:M::{_escaped(_MAGIC)}:{_escaped(_MASK)}:{interpreter}:{flags}"
    try:
        (_LIST / "register").write_text(line)
    except OSError as error:
        raise MissingDeviceError(
            f"cannot register QEMU for arm64 programs in {_LIST}: {error.strerror}", hint=_HINT
        ) from error


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[i : i + 2]}" for i in range(0, len(digits), 2))


def _note(*, mounted: bool, registered: bool) -> None:
    (_NOTES / "added.json").write_text(json.dumps({"mounted": mounted, "registered": registered}))


def _undo() -> None:
    note = _NOTES / "added.json"
    try:
        added = json.loads(note.read_text())
    except (OSError, ValueError):
        return
    if not isinstance(added, dict):
        return
    entry = _LIST / _ENTRY
    if added.get("registered") and entry.exists():
        entry.write_text("-1")
    if added.get("mounted") and not entries() and (_LIST / "register").exists():
        host.run([host.find("umount") or "umount", _LIST], what=f"no {_LIST}", timeout=30)
    note.unlink(missing_ok=True)


@contextmanager
def _locked() -> Iterator[None]:
    with process_lock(_NOTES / "lock", wait=True):
        yield


def _file(process: Process) -> Path:
    return _NOTES / f"holder-{process.pid}-{process.started}"


def _hold(process: Process) -> None:
    _file(process).write_text(process.to_json())


def _alive(path: Path) -> bool:
    try:
        return Process.model_validate_json(path.read_bytes()).alive()
    except (OSError, ValueError):
        return False
