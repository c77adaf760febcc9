"""The root file system of a Raspberry Pi in a box: built once, kept by what it is made of."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from edgekd.emulation import binfmt, debian, host, state, wheels
from edgekd.emulation.spec import Emulation
from edgekd.errors import MeasurementError
from edgekd.storage import atomic_write, process_lock

Say = Callable[[str], None]

#: Raise it where the same packages give another root file system.
_LAYOUT = 1
#: What a Pi needs to be reached and to run Python; no init, no apt.
PACKAGES = (
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "gzip",
    "libc6",
    "libssl3",
    "libstdc++6",
    "mount",
    "openssh-client",
    "openssh-server",
    "openssh-sftp-server",
    "procps",
    "python3",
    "python3-minimal",
    "sed",
    "tar",
    "util-linux",
)
DEFAULT_WHEELS = ("ai-edge-litert", "onnxruntime", "numpy>=1.26")
#: Package -> the module of it that runs models, where it is not named like the package.
_MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
#: Removed after unpacking: nothing reads it there.
_USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt", "usr/share/info")
_ASK = "import os,sys;print('%d.%d' % sys.version_info[:2], os.confstr('CS_GNU_LIBC_VERSION'))"


def build(emulation: Emulation, *, say: Say) -> Path:
    """Return the root file system of a specification; build it if it is not there.

    It is shared by all boxes of the specification, which mount it read-only. An interrupted build
    leaves nothing that would be taken for a whole one, and two at once build it once.

    Args:
        emulation: what it is made of.
        say: gets a line before what takes long.

    Raises:
        MissingDeviceError: this machine cannot build it.
        MeasurementError: a package is missing, or an archive cannot be reached.
        StorageError: it cannot be written.
    """
    packages = wheels.pinned(emulation.packages or DEFAULT_WHEELS)
    name = identity(emulation.suite, packages)
    root = state.folder() / "roots" / name
    if root.is_dir():
        return root
    host.require()
    host.require_pip()
    with process_lock(root.with_name(f"{name}.lock"), wait=True):
        if not root.is_dir():
            say(
                f"building a root file system of {emulation.suite} for arm64 with "
                f"{', '.join(packages)}; once, under a minute"
            )
            for stale in root.parent.glob(f"{name}.part-*"):
                shutil.rmtree(stale, ignore_errors=True)
            _build(root, emulation.suite, packages)
    return root


def identity(suite: str, packages: tuple[str, ...]) -> str:
    """Return the name that a root file system is kept under."""
    made_of = {"layout": _LAYOUT, "suite": suite, "wheels": packages, "packages": PACKAGES}
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return f"{suite}-arm64-{digest[:12]}"


def _build(root: Path, suite: str, packages: tuple[str, ...]) -> None:
    part = root.with_name(f"{root.name}.part-{os.getpid()}")
    try:
        debian.extract(part, suite=suite, packages=PACKAGES)
        for name in _USELESS:
            shutil.rmtree(part / name, ignore_errors=True)
        for folder in ("root/.ssh", "run/sshd", "etc/ssh", "tmp", "proc", "sys", "dev"):
            (part / folder).mkdir(parents=True, exist_ok=True)
        with binfmt.arm64():
            python, glibc = _versions(part)
            site = part / f"usr/local/lib/python{python}/dist-packages"
            unpacked = wheels.unpack(packages, site, python=python, glibc=glibc)
            _compile(part, packages)
        made = {"suite": suite, "python": python, "glibc": glibc, "wheels": unpacked}
        atomic_write(root.with_name(f"{root.name}.json"), json.dumps(made, indent=2))
        part.replace(root)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _versions(root: Path) -> tuple[str, tuple[int, int]]:
    """Ask the Python inside for its version and that of its C library: it also proves that it runs.

    Raises:
        MeasurementError: it does not run.
    """
    said = host.run(
        [host.find("chroot") or "chroot", root, "/usr/bin/python3", "-c", _ASK],
        what="an arm64 Python that runs here",
        timeout=120,
        environment={"PATH": "/usr/bin:/bin"},
    ).split()
    if len(said) != 3:
        raise MeasurementError(f"the Python of {root} says {' '.join(said)!r}")
    major, minor = said[2].split(".")[:2]
    return said[0], (int(major), int(minor))


def _compile(root: Path, packages: tuple[str, ...]) -> None:
    """Import every package once, so that Python keeps what it compiled: a box is read-only.

    Compiling all modules there are takes minutes under emulation, and most are never imported.
    """
    code = "\n".join(
        ["import ctypes, hashlib, json, platform, subprocess, tempfile, importlib.metadata"]
        + [f"try:\n    import {name}\nexcept ImportError:\n    pass" for name in _modules(packages)]
    )
    subprocess.run(
        [host.find("chroot") or "chroot", root, "/usr/bin/python3", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin"},
        timeout=600,
        check=False,  # a runtime that cannot be imported is told when it is used
    )


def _modules(packages: tuple[str, ...]) -> list[str]:
    names = [re.split(r"[=<>~!@\[; ]", package)[0] for package in packages]
    return [_MODULES.get(name, name.replace("-", "_")) for name in names]
