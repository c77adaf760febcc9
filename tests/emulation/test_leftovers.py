"""What a crash leaves is cleared away, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.emulation import binfmt, boxes, leftovers, state
from edgekd.emulation.process import Process, find
from edgekd.emulation.spec import Emulation
from edgekd.emulation.state import State
from edgekd.errors import MeasurementError
from edgekd.transports.reach import Reach


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path / "emulation"))
    monkeypatch.setattr(binfmt, "_NOTES", tmp_path / "notes")
    return tmp_path / "emulation"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def note(*processes: Process, spec: str = "") -> Path:
    private = leftovers.private("box")
    (private / "root").mkdir(parents=True)
    state.write(
        State(
            device="box",
            kind="pi",
            processes=processes,
            private=str(private),
            since="now",
            spec=spec,
            address="box",
        )
    )
    return private


def test_a_box_is_ended_and_its_folder_removed(sleeper: subprocess.Popen[bytes]) -> None:
    found = find(sleeper.pid)
    assert found is not None
    private = note(found)
    assert boxes.down("box")
    assert sleeper.wait(timeout=5) != 0
    assert not private.exists() and state.read("box") is None
    assert not boxes.down("box"), "there is nothing left"


def test_a_number_that_another_process_has_by_now(sleeper: subprocess.Popen[bytes]) -> None:
    found = find(sleeper.pid)
    assert found is not None
    private = note(found.model_copy(update={"boot": "before the machine was started again"}))
    assert boxes.down("box")
    assert sleeper.poll() is None, "it is none of ours"
    assert not private.exists()


def test_a_box_that_was_started_but_never_noted(sleeper: subprocess.Popen[bytes]) -> None:
    private = leftovers.private("box")
    private.mkdir(parents=True)
    (private / leftovers.STAT).write_text(Path(f"/proc/{sleeper.pid}/stat").read_text())
    assert boxes.down("box")
    assert sleeper.wait(timeout=5) != 0
    assert not private.exists()


def test_a_damaged_note(own_folder: Path) -> None:
    private = leftovers.private("box")
    private.mkdir(parents=True)
    (own_folder / "box" / "state.json").write_text("{")
    (private / leftovers.STAT).write_text("nonsense")
    assert boxes.down("box")
    assert list((own_folder / "box").iterdir()) == []


def test_what_is_mounted_is_never_removed(
    own_folder: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "precious").write_text("x")
    assert leftovers.mounts(small_disk) == [str(small_disk)]
    assert leftovers.mounts(small_disk.parent) == [str(small_disk)]
    assert leftovers.mounts(small_disk / "deeper") == []
    monkeypatch.setattr(leftovers, "private", lambda name: small_disk)
    monkeypatch.setattr(leftovers.host, "run", lambda *args, **more: "")  # umount does nothing
    with pytest.raises(MeasurementError, match="still mounted"):
        leftovers.clear("box")
    assert (small_disk / "precious").exists()


@pytest.mark.parametrize("name", ["roots", "downloads", "../x", "a/b", "", "-a", "a b", ".."])
def test_a_name_that_would_lead_elsewhere(name: str) -> None:
    with pytest.raises(MeasurementError, match="cannot be named"):
        boxes.up(name, Emulation(kind="pi", cpu="cortex-a72"), say=print)


def test_up_twice_starts_once(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    said: list[str] = []

    def start(name: str, emulation: Emulation, *, say: object) -> Reach:
        started.append(emulation.cpu)
        found = find(sleeper.pid) or Process(pid=1, started=0, boot="")
        note(found, spec=emulation.to_json(indent=None))
        return Reach(address=name)

    monkeypatch.setattr("edgekd.emulation.pi.up", start)
    one = Emulation(kind="pi", cpu="cortex-a72")
    assert boxes.up("box", one, say=said.append).address == "box"
    assert boxes.up("box", one, say=said.append).address == "box"
    assert started == ["cortex-a72"] and not said
    # Made of something else by now: the old one is ended first.
    boxes.up("box", Emulation(kind="pi", cpu="cortex-a76"), say=said.append)
    assert started == ["cortex-a72", "cortex-a76"]
    assert sleeper.wait(timeout=5) != 0
    assert "restarting it" in said[0]


def test_root_file_systems_in_use_stay(sleeper: subprocess.Popen[bytes], own_folder: Path) -> None:
    (own_folder / "roots" / "one").mkdir(parents=True)
    found = find(sleeper.pid)
    assert found is not None
    note(found)
    with pytest.raises(MeasurementError, match="box is up and uses them"):
        boxes.remove_roots()
    boxes.down("box")
    assert boxes.remove_roots() and not (own_folder / "roots").exists()
    assert not boxes.remove_roots()
