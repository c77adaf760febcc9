"""What a host needs for boxes, and what to type where it lacks some of it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekd.errors import MeasurementError, MissingDeviceError

#: Program -> the package of Debian that holds it.
PROGRAMS: Mapping[str, str] = {
    "mmdebstrap": "mmdebstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-aarch64": "qemu-user",
    "gcc": "gcc",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "mount": "mount",
    "chroot": "coreutils",
}
_SBIN = f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
_NO_PIP = "pip, which fetches the packages of the device"


def require(programs: Sequence[str] = tuple(PROGRAMS), *, what: str = "an emulated device") -> None:
    """Refuse where this machine cannot hold a box.

    Args:
        programs: those of `PROGRAMS` that are needed.
        what: what needs them, for the message.

    Raises:
        MissingDeviceError: another system than Linux, an arm64 machine, not root, or a program is
            missing; all that is missing is told at once, with the line that installs it.
    """
    if sys.platform != "linux":
        raise MissingDeviceError(
            f"{what} needs Linux, and this is {sys.platform}",
            hint="Run edgekd in a virtual machine with Debian or Ubuntu.",
        )
    if platform.machine() in ("aarch64", "arm64"):
        # Handing arm64 programs to QEMU would hand it the machine's own, too.
        raise MissingDeviceError(
            f"{what} stands on a machine of another architecture, and this one is arm64 itself",
            hint="Measure here with --device cpu.",
        )
    missing = [name for name in programs if find(name) is None]
    if missing:
        packages = sorted({PROGRAMS[name] for name in missing})
        raise MissingDeviceError(
            f"{what} needs {', '.join(missing)}, which this machine lacks",
            hint=f"Install it: apt-get install {' '.join(packages)}",
        )
    if os.geteuid() != 0:
        raise MissingDeviceError(
            f"{what} needs root: it is a root file system with its own /proc, which only root "
            "may make",
            hint="Run the command as root, e.g. with sudo -E.",
        )


def require_namespaces() -> None:
    """Refuse where root is not allowed what root is for, as in most containers.

    Raises:
        MissingDeviceError: namespaces of mounts and processes cannot be made.
    """
    try:
        run(
            [find("unshare") or "unshare", "--mount", "--pid", "--fork", "true"],
            what="a box with its own mounts and processes",
            timeout=30,
        )
    except MeasurementError as error:
        raise MissingDeviceError(
            error.message, hint="In a container, start it with --privileged."
        ) from error


def find(program: str) -> str | None:
    """Return the path of a program; sbin counts, which is not on every user's PATH."""
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + _SBIN)


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    hint: str | None = None,
) -> str:
    """Run a program of this machine that builds a part of a box.

    Args:
        argv: the program and its arguments.
        what: what it does, for the message, e.g. ``the root file system``.
        timeout: seconds after which it is ended.
        environment: the variables of the process; None: those of this one.
        hint: what to do where it fails.

    Returns:
        what it printed.

    Raises:
        MeasurementError: it failed or took too long; the last lines of what it said are told.
    """
    try:
        done = subprocess.run(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if environment is None else dict(environment),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(
            f"cannot make {what}: {argv[0]} took more than {timeout:g} s", hint=hint
        ) from error
    except OSError as error:
        raise MeasurementError(f"cannot make {what}: {argv[0]}: {error}", hint=hint) from error
    if done.returncode:
        raise MeasurementError(
            f"cannot make {what}: {Path(argv[0]).name} ended with {done.returncode}\n"
            + tail(done.stderr or done.stdout),
            hint=hint,
        )
    return done.stdout


def tail(text: str, lines: int = 6) -> str:
    """Return the last lines that say something, indented."""
    said = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in said[-lines:])


def require_pip() -> None:
    """Refuse where edgekd's own interpreter has no pip.

    Raises:
        MissingDeviceError: with the line that installs it.
    """
    from importlib.util import find_spec

    if find_spec("pip") is None:
        raise MissingDeviceError(
            f"an emulated device needs {_NO_PIP}, and {sys.executable} has none",
            hint=f"Install it: {sys.executable} -m ensurepip --upgrade",
        )
