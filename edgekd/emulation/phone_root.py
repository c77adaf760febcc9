"""The root file system of a phone in a box: adbd, and the programs that Android's shell has."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from edgekd.emulation import binfmt, debian, host, state
from edgekd.storage import process_lock

Say = Callable[[str], None]

#: Raise it where the same packages give another root file system.
_LAYOUT = 1
#: Android's own shell is mksh, and its small programs are toybox's.
PACKAGES = ("adbd", "mksh", "toybox")
#: As on Android: the user of adb's shell, and the one place that it may write to.
SHELL_USER = 2000
WORK = "/data/local/tmp"
#: Where the bundle appears.
PYTHON = "/data/local/python"
ADBD = "/usr/lib/android-sdk/platform-tools/adbd"
_FOLDERS = ("proc", "sys", "dev", "tmp", "system", WORK[1:], PYTHON[1:])
_USELESS = ("usr/share", "usr/lib/systemd", "usr/lib/aarch64-linux-gnu/gconv", "var", "etc/init.d")
_PROPERTIES = {
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.manufacturer": "edgekd",
    "ro.product.model": "phone in a box",
    "ro.boot.qemu": "1",
}
_GETPROP = """\
#!/system/bin/sh
# Android's getprop, for the few properties that a phone in a box has.
case ${1-} in
"") %(all)s ;;
%(each)s
*) echo "${2-}" ;;
esac
"""


def build(suite: str, *, say: Say) -> Path:
    """Return the root file system; build it if it is not there.

    It is mounted read-only. An interrupted build leaves nothing that would be taken for a whole
    one, and two at once build it once.

    Args:
        suite: a release of Debian that has adbd: ``trixie`` or later.
        say: gets a line before what takes long.

    Raises:
        MissingDeviceError: this machine cannot build it.
        MeasurementError: a package is missing, or the archive cannot be reached.
    """
    made_of = {"layout": _LAYOUT, "packages": PACKAGES, "getprop": _getprop()}
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    root = state.folder() / "roots" / f"phone-{suite}-arm64-{digest[:12]}"
    if root.is_dir():
        return root
    with process_lock(root.with_name(f"{root.name}.lock"), wait=True):
        if not root.is_dir():
            say(f"building a root file system with adbd of {suite}; once, about 15 seconds")
            for stale in root.parent.glob(f"{root.name}.part-*"):
                shutil.rmtree(stale, ignore_errors=True)
            _build(root, suite)
    return root


def _build(root: Path, suite: str) -> None:
    part = root.with_name(f"{root.name}.part-{os.getpid()}")
    try:
        debian.extract(part, suite=suite, packages=PACKAGES)
        for name in _USELESS:
            shutil.rmtree(part / name, ignore_errors=True)
        for name in ("bin", "sbin", "lib"):
            if not (part / name).exists():
                (part / name).symlink_to(f"usr/{name}")
        for name in _FOLDERS:
            (part / name).mkdir(parents=True, exist_ok=True)
        (part / "system/bin").symlink_to("/usr/bin")
        _write_users(part)
        programs = part / "usr/bin"
        getprop = programs / "getprop"
        getprop.write_text(_getprop())
        getprop.chmod(0o755)
        (programs / "sh").symlink_to("mksh")
        with binfmt.arm64():
            for name in _applets(part):
                if not (programs / name).exists():
                    (programs / name).symlink_to("toybox")
        part.replace(root)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_users(root: Path) -> None:
    users = {"root": 0, "system": 1000, "shell": SHELL_USER, "nobody": 9999}
    lines = [f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in users.items()]
    (root / "etc/passwd").write_text("".join(lines))
    (root / "etc/group").write_text("".join(f"{n}:x:{i}:\n" for n, i in users.items()))
    (root / "etc/shadow").unlink(missing_ok=True)


def _applets(root: Path) -> list[str]:
    """Ask toybox which programs it is; so it is proved that arm64 programs run."""
    chroot = host.find("chroot") or "chroot"
    said = host.run(
        [chroot, root, "/usr/bin/toybox"],
        what="an arm64 toybox that runs here",
        timeout=120,
        environment={"PATH": "/usr/bin"},
    )
    return said.split()


def _getprop() -> str:
    # As Android prints them all, and one.
    every = "; ".join(f"echo '[{name}]: [{value}]'" for name, value in _PROPERTIES.items())
    each = "\n".join(f"{name}) echo '{value}' ;;" for name, value in _PROPERTIES.items())
    return _GETPROP % {"all": every, "each": each}
