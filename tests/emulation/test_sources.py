"""Both formats of apt's sources, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.emulation import sources
from edgekd.emulation.sources import Source, sources_for
from edgekd.errors import MissingDeviceError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEB822 = f"""\
Types: deb
# a comment in the middle
URIs: http://mirror/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: {KEYRING}

Types: deb deb-src
URIs: http://mirror/debian-security
Suites: bookworm-security
Components: main
Signed-By: {KEYRING}

Types: deb-src
URIs: http://sources/debian
Suites: bookworm
Components: main

Types: deb
Enabled: no
URIs: http://off/debian
Suites: bookworm
Components: main
"""
LINES = """\
# deb http://commented/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main non-free # trailing
deb-src http://mirror/debian bookworm main
deb [arch=i386] http://other/debian bookworm main
deb https://elsewhere/apt cloud-sdk-bookworm main
"""


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("EDGEKD_APT_SOURCES", raising=False)
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_stanzas(etc: Path) -> None:
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert sources_for("bookworm", etc=etc) == (
        Source("http://mirror/debian", "bookworm", ("main", "contrib"), KEYRING),
        Source("http://mirror/debian", "bookworm-updates", ("main", "contrib"), KEYRING),
        Source("http://mirror/debian-security", "bookworm-security", ("main",), KEYRING),
    )


def test_lines(etc: Path) -> None:
    (etc / "sources.list").write_text(LINES)
    (found,) = sources_for("bookworm", etc=etc)
    assert found.line() == "deb [signed-by=/k.gpg] http://mirror/debian bookworm main non-free"


def test_another_release_comes_from_the_same_archive(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_KEYRING", "/no/such/keyring")
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    (found,) = sources_for("trixie", etc=etc)
    assert found == Source("http://mirror/debian", "trixie", ("main",), KEYRING)


def test_a_file_of_ones_own(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (etc / "sources.list").write_text(LINES)
    own = etc / "own.list"
    own.write_text("deb http://near/debian bookworm main\n")
    monkeypatch.setenv("EDGEKD_APT_SOURCES", str(own))
    assert [s.uri for s in sources_for("bookworm", etc=etc)] == ["http://near/debian"]
    monkeypatch.setenv("EDGEKD_APT_SOURCES", str(etc / "gone.list"))
    with pytest.raises(MissingDeviceError, match=r"EDGEKD_APT_SOURCES: cannot read .*gone\.list"):
        sources_for("bookworm", etc=etc)


def test_no_debian_at_all(etc: Path) -> None:
    (etc / "sources.list").write_text("deb http://archive/ubuntu noble main universe\n")
    with pytest.raises(MissingDeviceError, match="apt knows no source") as caught:
        sources_for("bookworm", etc=etc)
    assert "EDGEKD_APT_SOURCES" in str(caught.value.hint)
