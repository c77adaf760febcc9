"""Bringing a Python along, to a device that a function plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.bench import visit
from edgekd.bench.bundle import Bundled
from edgekd.bench.devices import load_device
from edgekd.bench.options import Options
from edgekd.bench.settings import Settings
from edgekd.emulation import bundle, host, packages, phone_root
from edgekd.errors import (
    MeasurementError,
    MissingDeviceError,
    MissingRuntimeError,
    TransportError,
)
from edgekd.transports.adb import AdbTransport
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from edgekd.transports.reach import Reach


class Phone(FakeTransport):
    """A device whose commands answer as they are told to."""

    def __init__(self, answers: dict[str, Completed], machine: str = "aarch64") -> None:
        super().__init__(self.answer)
        self.answers = answers
        self.machine = machine

    def answer(self, argv: Sequence[str], files: dict[str, bytes]) -> Completed:
        if argv[0] == "rm":
            del files[argv[-1]]
        return self.answers.get(argv[0], Completed(0))

    def facts(self) -> dict[str, str]:
        return {"transport": "fake", "machine": self.machine}


PROVED = {"env": Completed(0, "edgekd: this Python runs\n")}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(b"packed")
    return path


def test_the_bundle_is_unpacked_once_and_runs_by_its_own_loader(archive: Path) -> None:
    phone, said = Phone(PROVED), list[str]()
    way = Bundled(phone, say=said.append, archive=archive)
    home = f"{phone.folder}/python"
    assert [command[0] for command in phone.commands] == ["mkdir", "tar", "rm", "env"]
    assert phone.commands[1] == ("tar", "-xzf", f"{phone.folder}/bundle.tar.gz", "-C", home)
    assert phone.files == {}, "the packed bundle takes no room any more"
    way.run([way.python, "agent.py", "a b"], timeout=1)
    command = list(phone.commands[-1])
    assert command[:5] == ["env", "-u", "LD_PRELOAD", "-u", "LD_LIBRARY_PATH"]
    assert f"PYTHONHOME={home}" in command
    start = command.index(f"{home}/lib/ld-linux-aarch64.so.1")
    assert command[start + 1 :] == [
        *("--library-path", f"{home}/lib", f"{home}/bin/python3", "agent.py", "a b")
    ]
    way.run(["uname", "-m"], timeout=1)
    assert phone.commands[-1] == ("uname", "-m"), "other programs are none of its business"
    assert way.facts()["bundle"] == "experimental"
    way.close()
    assert phone.closed


@pytest.mark.parametrize(
    ("phone", "error", "message"),
    [
        (Phone({}, machine="armv7l"), MeasurementError, "armv7l"),
        (
            Phone({"tar": Completed(1, "", "tar: No space left on device\n")}),
            TransportError,
            "No space left",
        ),
        (Phone({"env": Completed(159, "", "Bad system call\n")}), MeasurementError, "Bad system"),
        (Phone({"env": Completed(-9, timed_out=True)}), MeasurementError, "too long"),
    ],
    ids=["other processor", "no room", "kernel refuses", "hangs"],
)
def test_a_device_that_cannot_have_it_is_left_as_it_was(
    phone: Phone, error: type[Exception], message: str, archive: Path
) -> None:
    with pytest.raises(error, match=message):
        Bundled(phone, say=lambda text: None, archive=archive)
    assert phone.closed


@pytest.mark.device
def test_it_runs_on_a_phone_without_python_and_goes_with_the_work_folder(phone_box: Reach) -> None:
    phone = AdbTransport(replace(phone_box, python=None))
    folder = phone.folder
    with pytest.raises(MissingRuntimeError, match="no python3"):
        assert phone.python
    # Without the runtimes: under emulation, unpacking those takes a minute.
    small = bundle.archive(bundle.build(("flatbuffers",), say=print))
    way = Bundled(phone, say=print, archive=small)
    try:
        code = "import sys, ctypes, flatbuffers; print(sys.executable, sys.argv[1:])"
        done = way.run([way.python, "-c", code, "it's"], timeout=120)
        assert done.stdout == f'{folder}/python/bin/python3 ["it\'s"]\n'
    finally:
        way.close()
    left = AdbTransport(phone_box)
    try:
        names = left.run(["ls", phone_root.WORK], timeout=60).stdout.split()
    finally:
        left.close()
    assert Path(folder).name not in names


@pytest.mark.parametrize(
    ("options", "python", "wanted"),
    [
        (Options(bundle=True), None, True),
        (Options(), None, False),
        (Options(bundle=True), "/opt/python3", False),
    ],
    ids=["asked for", "not asked for", "its own interpreter is named"],
)
def test_a_visit_brings_it_along_where_it_is_asked_for(
    options: Options, python: str | None, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = []
    monkeypatch.setattr(visit, "connect", lambda *given, **named: Phone({}))
    monkeypatch.setattr(
        visit, "Bundled", lambda transport, say: brought.append(transport) or transport
    )
    stay = visit.Visit(
        load_device("cpu"), Reach(python=python), (), Settings(), visit.Shared(options)
    )
    stay._connect()
    assert bool(brought) == wanted


def test_a_machine_without_apt_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "find", lambda program: None)
    with pytest.raises(MissingDeviceError, match="apt-get") as caught:
        packages.unpack(["libc6"], tmp_path / "tree", suite="bookworm")
    assert "Debian or Ubuntu" in str(caught.value.hint)
    assert not (tmp_path / "tree").exists()
