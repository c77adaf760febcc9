"""A tree of Debian packages of another architecture, made in seconds: nothing of it is run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from edgekd.emulation import host, state
from edgekd.emulation.sources import sources_for

_MINUTES = 60.0
#: Who there is. Maintainer scripts, which would make these, are not run.
_ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n"
# "*": no password fits; the account itself is open to keys.
_SHADOW = "root:*:19700:0:99999:7:::\nsshd:!:19700:0:99999:7:::\nnobody:!:19700:0:99999:7:::\n"
_FILES = {
    "etc/passwd": (_ACCOUNTS, 0o644),
    "etc/group": (_GROUP, 0o644),
    "etc/shadow": (_SHADOW, 0o640),
    "etc/nsswitch.conf": ("passwd: files\ngroup: files\nshadow: files\nhosts: files\n", 0o644),
    "etc/hosts": ("127.0.0.1 localhost\n", 0o644),
}


def extract(
    target: Path, *, suite: str, packages: Sequence[str], architecture: str = "arm64"
) -> None:
    """Unpack packages and what they depend on into a new folder, and write who there is.

    Downloaded packages are kept in `state.folder`, so that another tree needs them no more.

    Args:
        target: the folder; it must not exist.
        suite: the release of Debian, e.g. ``bookworm``.
        packages: names of packages.
        architecture: as Debian names it.

    Raises:
        MissingDeviceError: apt has no source of Debian's packages.
        MeasurementError: mmdebstrap failed.
    """
    kept = state.folder() / "downloads" / f"debian-{suite}-{architecture}"
    kept.mkdir(parents=True, exist_ok=True)
    store = shlex.quote(str(kept))
    archives = '"$1"/var/cache/apt/archives/'
    host.run(
        [
            host.find("mmdebstrap") or "mmdebstrap",
            f"--architectures={architecture}",
            "--variant=extract",
            "--format=directory",
            f"--include={','.join(packages)}",
            *_proxies(),
            f"--setup-hook=mkdir -p {archives}",
            f"--setup-hook=find {store} -name '*.deb' -exec ln -t {archives} {{}} + 2>/dev/null"
            f" || find {store} -name '*.deb' -exec cp -t {archives} {{}} +",
            f"--extract-hook=find {archives} -name '*.deb' -exec cp -un -t {store} {{}} +",
            suite,
            str(target),
            *[source.line() for source in sources_for(suite)],
        ],
        what=f"a root file system of {suite} for {architecture}",
        timeout=15 * _MINUTES,
        hint="Is the archive of Debian's packages reachable? Try: apt-get update",
    )
    for name, (text, mode) in _FILES.items():
        path = target / name
        path.unlink(missing_ok=True)  # resolv.conf and the like may be links out of the tree
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)


def _proxies() -> list[str]:
    """Return the host's own proxies of apt: mmdebstrap does not read the host's configuration."""
    program = host.find("apt-config")
    if program is None:
        return []
    said = host.run([program, "dump"], what="the settings of apt", timeout=60)
    wanted = ("Acquire::http::Proxy ", "Acquire::https::Proxy ", "Acquire::https::CaInfo ")
    return [f"--aptopt={line}" for line in said.splitlines() if line.startswith(wanted)]


def interpreter(root: Path) -> str:
    """Return the name of the Python that a tree has, e.g. ``python3.11``.

    Raises:
        FileNotFoundError: it has none.
    """
    return (root / "usr/bin/python3").readlink().name
