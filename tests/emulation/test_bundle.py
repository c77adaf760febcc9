"""The bundle's scripts and its archive; the bundle itself runs in test_phone.py."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from edgekd.emulation import adb_server, bundle
from edgekd.storage import sha256_file

#: Prints what it was started with, in place of the loader.
LOADER = """\
#!/bin/sh
printf '%s\\n' "$@" "home $PYTHONHOME" "path $PYTHONPATH" "preload ${LD_PRELOAD-none}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle with a loader that only tells what it is asked."""
    made = tmp_path / "a 'bundle'"
    (made / "lib").mkdir(parents=True)
    (made / "bin").mkdir()
    (made / "bin/python3").write_text("")
    loader = made / "lib/ld-linux-aarch64.so.1"
    loader.write_text(LOADER)
    loader.chmod(0o755)
    return made


def told(argv: list[str]) -> list[str]:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": ""},
    )
    return done.stdout.splitlines()


def expected(folder: Path) -> list[str]:
    return [
        *("--library-path", f"{folder}/lib", f"{folder}/bin/python3"),
        *("-c", "print('a b')", ""),
        *(f"home {folder}", f"path {folder}/site", "preload none"),
    ]


ARGUMENTS = ["-c", "print('a b')", ""]


def test_the_bundles_script_finds_itself_and_passes_arguments_on(folder: Path) -> None:
    script = folder / "python3"
    script.write_text(bundle._LAUNCHER.replace("/system/bin/sh", "/bin/sh"))
    script.chmod(0o755)
    assert told([str(script), *ARGUMENTS]) == expected(folder)


def test_a_starter_runs_any_command_with_the_bundles_variables(folder: Path) -> None:
    script = folder / "counted"
    text = bundle.starter(str(folder), bundle.command(str(folder)))
    script.write_text(text.replace("/system/bin/sh", "/bin/sh"))
    script.chmod(0o755)
    assert told([str(script), *ARGUMENTS]) == expected(folder)


def test_the_command_needs_no_script(folder: Path) -> None:
    home = str(folder)
    argv = [*bundle.environment(home), *bundle.command(home), *ARGUMENTS]
    assert told(argv) == expected(folder)


def test_a_bundle_of_other_wheels_is_another_one() -> None:
    names = {
        bundle.identity(wanted)
        for wanted in (("numpy==1.26.4",), ("numpy==2.0.0",), ("numpy==2.0.0", "a==1"))
    }
    assert len(names) == 3
    assert bundle.identity(("numpy==2.0.0",)) in names


def test_the_archive_tells_nothing_of_who_packed_it(folder: Path, tmp_path: Path) -> None:
    first = bundle.archive(folder)
    digest = sha256_file(first)
    with tarfile.open(first) as tar:
        members = tar.getmembers()
    assert {m.name for m in members} >= {"bin/python3", "lib/ld-linux-aarch64.so.1"}
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert next(m for m in members if m.name.startswith("lib/ld")).mode & 0o111
    first.unlink()
    (folder / "bin/python3").touch()
    assert sha256_file(bundle.archive(folder)) == digest


def test_the_server_of_a_box_is_none_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:5037")
    monkeypatch.setenv("ADB_VENDOR_KEYS", "/home/somebody/keys")
    variables = adb_server.environment(tmp_path)
    assert variables["HOME"] == str(tmp_path)
    assert variables["ADB_USB"] == variables["ADB_EMU"] == variables["ADB_MDNS"] == "0"
    assert "ADB_SERVER_SOCKET" not in variables
    assert "ADB_VENDOR_KEYS" not in variables
    ports = {adb_server.free_port() for _ in range(20)}
    assert not ports & {5037, *range(5554, 5586)}
