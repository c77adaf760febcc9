"""Asks a device what it is: one shell script, and one short Python program for each runtime.

Both are sent as arguments, so that a device whose disk is full, or that has no Python, answers too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekd.errors import MissingError
from edgekd.transports.base import Completed, Transport

#: Runtime -> what Python imports, and the distribution whose version counts. As in the agent,
#: which cannot be imported here: it needs NumPy.
MODULES = {
    "litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite-runtime": ("tflite_runtime.interpreter", "tflite-runtime"),
    "tensorflow": ("tensorflow", "tensorflow"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "torch": ("torch", "torch"),
}

#: Below the user's home on the device; `edgekd devices setup` installs there.
HOME_FOLDER = ".local/share/edgekd/runtime"

_MARK = "@@edgekd "

# POSIX sh and nothing else: it runs in dash, busybox and Android's mksh. $1 is the work folder.
_SHELL = r"""
s() { printf '\n@@edgekd %s\n' "$1"; }
s system; uname -s -r
s machine; uname -m
s cpuinfo; cat /proc/cpuinfo 2>/dev/null
s meminfo; cat /proc/meminfo 2>/dev/null
s model; cat /proc/device-tree/model 2>/dev/null
s cpufreq
for d in /sys/devices/system/cpu/cpu[0-9]*; do
  n=${d##*/cpu}
  for k in scaling_governor scaling_min_freq scaling_max_freq; do
    [ -r "$d/cpufreq/$k" ] && printf '%s %s %s\n' "$n" "$k" "$(cat "$d/cpufreq/$k" 2>/dev/null)"
  done
done
s thermal
for z in /sys/class/thermal/thermal_zone*; do
  [ -r "$z/temp" ] && printf '%s %s\n' "$(cat "$z/type" 2>/dev/null)" "$(cat "$z/temp" 2>/dev/null)"
done
s throttled
t=/sys/devices/platform/soc/soc:firmware/get_throttled
if [ -r "$t" ]; then cat "$t"
elif command -v vcgencmd >/dev/null 2>&1; then vcgencmd get_throttled 2>/dev/null
fi
s disk; df -k "$1" 2>/dev/null
s libc; getconf GNU_LIBC_VERSION 2>/dev/null
if command -v getprop >/dev/null 2>&1; then
  s getprop; getprop
  s thermalservice; dumpsys thermalservice 2>/dev/null
fi
s end
"""

# Python 3.0 is enough to be told that it is too old. What `setup` installed is looked for first.
_PYTHON = r"""
import json, os, platform, struct, sys, sysconfig
base = os.environ.get("EDGEKD_RUNTIME") or os.path.expanduser("~/HOME_FOLDER")
own = os.path.join(base, "py%d.%d" % sys.version_info[:2])
if os.path.isdir(own):
    sys.path.insert(0, own)
module, distribution = sys.argv[1:]
out = {"python": platform.python_version(), "bits": 8 * struct.calcsize("P"), "own": own,
       "machine": platform.machine(), "implementation": platform.python_implementation(),
       "executable": sys.executable, "venv": sys.prefix != getattr(sys, "base_prefix", sys.prefix),
       "managed": os.path.exists(
           os.path.join(sysconfig.get_path("stdlib") or "", "EXTERNALLY-MANAGED")),
       "libc": list(platform.libc_ver())}
try:
    __import__(module)
    try:
        from importlib import metadata
        out["version"] = metadata.version(distribution)
    except Exception:
        top = sys.modules[module.split(".")[0]]
        out["version"] = getattr(top, "__version__", "unknown")
except BaseException as error:
    out["error"] = "%s: %s" % (type(error).__name__, error)
sys.stdout.write("\n@@edgekd " + json.dumps(out) + "\n")
sys.stdout.flush()
os._exit(0)
""".replace("HOME_FOLDER", HOME_FOLDER)


@dataclass(frozen=True)
class Python:
    """The interpreter on a device.

    Attributes:
        command: how it was called.
        version: e.g. ``3.11.2``.
        machine: of its wheels, e.g. ``aarch64``: a 32-bit Python under a 64-bit kernel is
            ``armv7l``.
        glibc: the version of the C library, e.g. ``(2, 36)``; None where it is another library.
        implementation: e.g. ``CPython``.
        managed: pip refuses to install beside the system's packages (PEP 668).
        own: where `edgekd devices setup` installs for it.
    """

    command: str
    version: str
    machine: str
    glibc: tuple[int, int] | None
    implementation: str
    managed: bool
    own: str

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)


@dataclass(frozen=True)
class Found:
    """A package on a device: its version, or why it cannot be imported."""

    version: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Probe:
    """What a device answered.

    Attributes:
        sections: output of the shell script by section.
        python: the interpreter, or None.
        no_python: why there is none.
        numpy: whether NumPy can be imported.
        runtimes: whether each runtime that was asked for can be.
    """

    sections: dict[str, str]
    python: Python | None = None
    no_python: str | None = None
    numpy: Found = field(default_factory=Found)
    runtimes: dict[str, Found] = field(default_factory=dict)


def ask(transport: Transport, runtimes: Sequence[str], *, timeout: float = 120.0) -> Probe:
    """Ask a device what it is.

    Args:
        transport: the way to it.
        runtimes: which to try to import; each in a process of its own, since one may kill it.
        timeout: seconds for each question.

    Raises:
        TransportError: the device could not be reached.
    """
    shell = transport.run(["sh", "-c", _SHELL, "edgekd", transport.folder], timeout=timeout)
    sections = _sections(shell.stdout)
    try:
        command = transport.python
    except MissingError as error:
        return Probe(sections, no_python=error.message)
    numpy, told = _import(transport, command, "numpy", "numpy", timeout)
    if told is None:
        return Probe(sections, no_python=numpy.error)
    found = {
        name: _import(transport, command, *MODULES[name], timeout)[0]
        for name in runtimes
        if numpy.error is None
    }
    return Probe(sections, python=_python(command, told), numpy=numpy, runtimes=found)


def _import(
    transport: Transport, command: str, module: str, distribution: str, timeout: float
) -> tuple[Found, dict[str, Any] | None]:
    """Import a module on the device; return what came of it, and what Python said of itself."""
    argv = [command, "-c", _PYTHON, module, distribution]
    done = transport.run(argv, timeout=timeout)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(_MARK):
            try:
                told = json.loads(line.removeprefix(_MARK))
            except ValueError:
                break
            return Found(told.get("version"), told.get("error")), told
    return Found(error=_silence(done)), None


def _silence(done: Completed) -> str:
    if done.timed_out:
        return "it took too long"
    said = done.stderr.strip().splitlines()
    if said:
        return said[-1].strip()
    return f"it ended with exit code {done.returncode} and said nothing"


def _sections(text: str) -> dict[str, str]:
    found = {}
    for part in text.replace("\r\n", "\n").replace("\0", "").split("\n" + _MARK)[1:]:
        name, _, content = part.partition("\n")
        found[name.strip()] = content.strip("\n")
    return found


def _python(command: str, told: dict[str, Any]) -> Python:
    name, version = (*told.get("libc", []), "", "")[:2]
    parts = version.split(".")[:2]
    known = name == "glibc" and len(parts) == 2 and all(part.isdecimal() for part in parts)
    machine = told["machine"]
    if told["bits"] == 32 and machine in ("aarch64", "armv8l"):
        machine = "armv7l"
    return Python(
        command=command,
        version=told["python"],
        machine=machine,
        glibc=(int(parts[0]), int(parts[1])) if known else None,
        implementation=told["implementation"],
        managed=bool(told.get("managed")) and not told.get("venv"),
        own=told["own"],
    )
