"""What a host lacks is named, with what to type."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from edgekd.emulation import host
from edgekd.errors import MeasurementError, MissingDeviceError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with every program that is needed, as empty scripts, and nothing else."""
    for name in host.PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(host, "_SBIN", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_a_host_that_has_everything(programs: Path) -> None:
    host.require()


def test_all_that_is_missing_is_told_at_once(programs: Path) -> None:
    for name in ("ssh", "ssh-keygen", "mmdebstrap"):
        (programs / name).unlink()
    with pytest.raises(MissingDeviceError, match="mmdebstrap, ssh, ssh-keygen") as caught:
        host.require()
    assert caught.value.hint == "Install it: apt-get install mmdebstrap openssh-client"
    assert caught.value.exit_code == 3
    host.require(["mount"])


def test_without_root(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingDeviceError, match="needs root"):
        host.require()


def test_another_machine(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(MissingDeviceError, match="arm64 itself"):
        host.require()
    monkeypatch.setattr(host.sys, "platform", "darwin")
    with pytest.raises(MissingDeviceError, match="needs Linux, and this is darwin"):
        host.require()


def test_root_that_may_not_make_namespaces(programs: Path) -> None:
    unshare = programs / "unshare"
    unshare.write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
    with pytest.raises(MissingDeviceError, match="Operation not permitted") as caught:
        host.require_namespaces()
    assert "--privileged" in str(caught.value.hint)
    unshare.write_text("#!/bin/sh\n")
    host.require_namespaces()


def test_the_list_of_packages_holds_all_that_is_asked_for() -> None:
    from edgekd.emulation import counter

    text = (Path(__file__).parents[2] / "devices" / "packages.txt").read_text()
    listed = {line.partition("#")[0].strip() for line in text.splitlines()}
    essential = {"coreutils", "libc-bin", "apt", "dpkg"}
    needed = " ".join([*host.PROGRAMS.values(), *counter.PROGRAMS.values()]).split()
    assert set(needed) - essential <= listed


def test_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    host.require_pip()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDeviceError, match="ensurepip"):
        host.require_pip()


def test_a_program_that_fails_is_quoted() -> None:
    assert host.run(["sh", "-c", "echo here"], what="x", timeout=10) == "here\n"
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo line $i >&2; done; exit 7"
    with pytest.raises(MeasurementError) as caught:
        host.run(["sh", "-c", script], what="the tree", timeout=10, hint="Try again.")
    assert caught.value.message.splitlines() == [
        "cannot make the tree: sh ended with 7",
        *(f"  line {number}" for number in range(4, 10)),
    ]
    assert caught.value.hint == "Try again."


def test_a_program_that_hangs_or_is_not_there() -> None:
    with pytest.raises(MeasurementError, match=r"took more than 0\.1 s"):
        host.run(["sleep", "20"], what="x", timeout=0.1)
    with pytest.raises(MeasurementError, match="cannot make x: /no/such: "):
        host.run(["/no/such"], what="x", timeout=1)
