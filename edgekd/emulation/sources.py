"""Where Debian packages come from: the host's own sources of apt, never a fixed mirror."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import MissingDeviceError

_ETC_APT = Path("/etc/apt")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Source:
    """One place of packages.

    Attributes:
        uri: the archive.
        suite: the release as apt names it, e.g. ``bookworm-updates``.
        components: e.g. ``main``.
        signed_by: the keyring that signs it; None: any that apt trusts.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None

    def line(self) -> str:
        """Return it as a line of ``sources.list``."""
        option = f" [signed-by={self.signed_by}]" if self.signed_by else ""
        return f"deb{option} {self.uri} {self.suite} {' '.join(self.components)}"


def sources_for(suite: str, *, etc: Path = _ETC_APT) -> tuple[Source, ...]:
    """Return the sources of a release, its updates and security fixes among them.

    They are those that apt uses here. Where the host is of another release of Debian, its main
    archive is asked for this one: an archive holds all releases. ``EDGEKD_APT_SOURCES`` names a
    file to read instead, in either of apt's formats.

    Args:
        suite: a release, e.g. ``bookworm``.
        etc: the folder of apt's configuration.

    Raises:
        MissingDeviceError: no source has Debian's packages.
    """
    found = list(_host_sources(etc))
    direct = [s for s in found if s.suite == suite or s.suite.startswith(f"{suite}-")]
    if any(s.suite == suite for s in direct):
        return tuple(dict.fromkeys(direct))
    for source in found:
        # Updates and security fixes stand under other names, which differ between releases.
        if _archive(source) and "-" not in source.suite:
            return (Source(source.uri, suite, ("main",), _keyring(source)),)
    raise MissingDeviceError(
        f"apt knows no source of Debian's packages here, and a box is made of those of {suite}",
        hint="Name one in a file, e.g. `deb [signed-by=KEYRING] URI "
        f"{suite} main`, and set EDGEKD_APT_SOURCES to its path.",
    )


def _archive(source: Source) -> bool:
    return "main" in source.components and source.uri.rstrip("/").endswith("/debian")


def _keyring(source: Source) -> str | None:
    # Another release may be signed by keys that only the whole keyring holds.
    return _KEYRING if Path(_KEYRING).exists() else source.signed_by


def _host_sources(etc: Path) -> Iterator[Source]:
    given = os.environ.get("EDGEKD_APT_SOURCES")
    if given:
        files: Iterable[Path] = [Path(given)]
    else:
        files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            if given:
                raise MissingDeviceError(
                    f"EDGEKD_APT_SOURCES: cannot read {path}: {error.strerror}"
                ) from error
            continue
        yield from _stanzas(text) if _is_deb822(path, text) else _lines(text)


def _is_deb822(path: Path, text: str) -> bool:
    return path.suffix == ".sources" or text.lstrip().lower().startswith("types:")


def _lines(text: str) -> Iterator[Source]:
    """Read the one-line format: ``deb [option=value ...] URI SUITE COMPONENT ...``."""
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        kind, _, rest = line.partition(" ")
        if kind != "deb":
            continue
        options = ""
        rest = rest.strip()
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
        words = rest.split()
        given = dict(word.split("=", 1) for word in options.split() if "=" in word)
        if len(words) >= 3 and _wanted(given.get("arch", "")):
            yield Source(words[0], words[1], tuple(words[2:]), given.get("signed-by"))


def _stanzas(text: str) -> Iterator[Source]:
    """Read the deb822 format: stanzas of ``Key: value``."""
    for stanza in text.replace("\r", "").split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() == "no":
            continue
        if not _wanted(fields.get("architectures", "")):
            continue
        signed_by = fields.get("signed-by")
        if signed_by and "\n" in signed_by:  # a key in the file itself, which a line cannot hold
            signed_by = _KEYRING if Path(_KEYRING).exists() else None
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                if components:
                    yield Source(uri, suite, components, signed_by)


def _wanted(architectures: str) -> bool:
    """Whether a source may have packages of arm64: a host often lists its own architecture."""
    names = architectures.replace(",", " ").split()
    return not names or any(name in ("arm64", "amd64") for name in names)
