"""The kernel's list, on a made-up one: what is added, what is left alone, what is taken away."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from edgekd.emulation import binfmt
from edgekd.emulation.process import find
from edgekd.errors import MissingDeviceError

ENTRY = "enabled\ninterpreter /qemu\nflags: {flags}\noffset 0\nmagic {magic}\nmask ff\n"
AARCH64 = "7f454c460201010000000000000000000200b700"


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like /proc/sys/fs/binfmt_misc; its `register` keeps what is written."""
    folder = tmp_path / "binfmt_misc"
    folder.mkdir()
    (folder / "register").write_text("")
    (folder / "status").write_text("enabled\n")
    (folder / "python3.11").write_text("enabled\ninterpreter /p\nflags: \noffset 0\nmagic a7\n")
    monkeypatch.setattr(binfmt, "_LIST", folder)
    monkeypatch.setattr(binfmt, "_NOTES", tmp_path / "notes")
    monkeypatch.setattr(binfmt.entries, "__defaults__", (folder,))
    monkeypatch.setattr(binfmt.host, "find", lambda name: f"/usr/bin/{name}")
    return folder


def registered(folder: Path, flags: str = "POF", name: str = "qemu-aarch64") -> Path:
    path = folder / name
    path.write_text(ENTRY.format(flags=flags, magic=AARCH64))
    return path


def test_an_entry_of_somebody_else_is_used_and_stays(listed: Path) -> None:
    entry = registered(listed, name="theirs")
    before = entry.read_text()
    with binfmt.arm64():
        assert (listed / "register").read_text() == ""
    assert entry.read_text() == before
    assert binfmt.entries()["theirs"]["interpreter"] == "/qemu"
    assert set(binfmt.entries()) == {"theirs"}, "other architectures are no business of ours"


def test_what_is_added_is_taken_away_when_nobody_needs_it(listed: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as box:
        try:
            with binfmt.arm64():
                line = (listed / "register").read_text()
                entry = registered(listed)  # what the kernel would make of it
                found = find(box.pid)
                assert found is not None
                binfmt.hold(found)
            assert entry.read_text().startswith("enabled"), "the box still needs it"
            binfmt.sweep()
            assert entry.read_text().startswith("enabled")
        finally:
            box.kill()
            box.wait()
    binfmt.sweep()
    assert entry.read_text() == "-1", "the kernel removes an entry that gets this"
    assert not list((tmp_path / "notes").glob("holder-*"))
    parts = line.split(":")
    assert parts[:3] == ["", "qemu-aarch64", "M"]
    assert bytes.fromhex(parts[4].replace("\\x", "")).hex() == AARCH64
    assert len(parts[5]) == len(parts[4]) and "F" in parts[7]


def test_the_magic_fits_a_real_program_and_no_other() -> None:
    def taken(header: bytes) -> bool:
        magic, mask = bytes.fromhex(binfmt._MAGIC), bytes.fromhex(binfmt._MASK)
        return all(h & m == x & m for h, m, x in zip(header, mask, magic, strict=False))

    def elf(machine: int, kind: int = 3, bits: int = 2) -> bytes:
        # e_ident: class, little endian, version, ABI and padding; e_type; e_machine (183: AArch64)
        ident = b"\x7fELF" + bytes([bits, 1, 1, 0]) + bytes(8)
        return ident + kind.to_bytes(2, "little") + machine.to_bytes(2, "little")

    assert taken(elf(183)) and taken(elf(183, kind=2))
    assert not taken(elf(62)) and not taken(elf(40)) and not taken(elf(183, bits=1))
    assert not taken(Path("/proc/self/exe").read_bytes()[:20]) or os.uname().machine == "aarch64"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda f: (f / "status").write_text("disabled\n"), "runs no foreign programs"),
        (lambda f: registered(f, flags="PO"), "without the flag F"),
    ],
)
def test_what_cannot_work_is_told(listed: Path, prepare: object, message: str) -> None:
    prepare(listed)  # type: ignore[operator]
    with pytest.raises(MissingDeviceError, match=message), binfmt.arm64():
        pytest.fail("never reached")
    assert (listed / "register").read_text() == ""


def test_a_kernel_without_the_list(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (listed / "register").unlink()
    monkeypatch.setattr(binfmt.host, "find", lambda name: "/bin/false")
    with pytest.raises(MissingDeviceError, match="no binfmt_misc") as caught, binfmt.arm64():
        pytest.fail("never reached")
    assert "modprobe binfmt_misc" in str(caught.value.hint)


def test_a_note_that_cannot_be_read_takes_nothing_away(listed: Path, tmp_path: Path) -> None:
    entry = registered(listed)
    notes = tmp_path / "notes"
    notes.mkdir()
    for text in ("", "{", json.dumps([1])):
        (notes / "added.json").write_text(text)
        (notes / "holder-1-1").write_text("no record")
        binfmt.sweep()
        assert entry.read_text().startswith("enabled")
        assert not (notes / "holder-1-1").exists()
