"""``edgekd devices up`` and ``down`` as they are typed; nothing is really brought up."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.cli.devices_boxes import complete_emulated
from edgekd.emulation import binfmt, boxes, state
from edgekd.emulation.process import find
from edgekd.emulation.spec import Emulation
from edgekd.errors import MissingDeviceError
from edgekd.transports.reach import Reach

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path))
    monkeypatch.setattr(binfmt, "_NOTES", tmp_path / "notes")

    def call(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["devices", *words])
        return result.exit_code, result.stdout, result.stderr

    return call


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Emulation]:
    """What was brought up: name -> what it is made of."""
    found: dict[str, Emulation] = {}

    def up(name: str, emulation: Emulation, *, say: object) -> Reach:
        found[name] = emulation
        me = find(os.getpid())
        assert me is not None
        noted = state.State(
            device=name,
            kind=emulation.kind,
            processes=(me.model_copy(update={"boot": "another"}),),
            private="x",
            since="now",
            port=4711,
            address=name,
            ssh_config="/x/config",
        )
        state.write(noted)
        return noted.reach()

    monkeypatch.setattr(boxes, "up", up)
    return found


def test_up_says_where_and_what_next(run: Run, started: dict[str, Emulation]) -> None:
    code, out, err = run("up", "pi5-emulated", "pi4-legacy-emulated")
    assert code == 0
    assert out.splitlines() == [
        "pi5-emulated is up on 127.0.0.1:4711",
        "pi4-legacy-emulated is up on 127.0.0.1:4711",
    ]
    assert "edgekd benchmark --device pi5-emulated" in err
    assert "ssh -F /x/config pi5-emulated" in err
    assert "edgekd devices down pi5-emulated" in err
    assert started["pi5-emulated"].cpu == "cortex-a76"
    assert "tflite-runtime==2.14.0" in started["pi4-legacy-emulated"].packages
    code, out, _ = run("up", "pi5-emulated", "--json")
    assert code == 0 and json.loads(out)["devices"][0]["port"] == 4711


def test_up_with_what_is_no_emulated_device(run: Run, started: dict[str, Emulation]) -> None:
    code, _, err = run("up", "cpu")
    assert code == 2 and "unknown emulated device 'cpu'" in err and "pi5-emulated" in err
    code, _, err = run("up", "pi5-emulatd")
    assert code == 2 and "Did you mean 'pi5-emulated'" in err
    assert not started


def test_a_machine_that_lacks_something(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def up(*args: object, **more: object) -> Reach:
        raise MissingDeviceError("needs mmdebstrap", hint="Install it: apt-get install mmdebstrap")

    monkeypatch.setattr(boxes, "up", up)
    code, _, err = run("up", "pi5-emulated")
    assert code == 3 and "apt-get install mmdebstrap" in err


def test_down(run: Run, started: dict[str, Emulation], tmp_path: Path) -> None:
    assert run("down", "pi5-emulated")[:2] == (0, "pi5-emulated was not up\n")
    run("up", "pi5-emulated", "pi4-emulated", "pi4-legacy-emulated")
    assert run("down", "pi5-emulated")[:2] == (0, "pi5-emulated is down\n")
    (tmp_path / "roots").mkdir()
    code, out, _ = run("down", "--all", "--roots", "--json")
    assert code == 0
    ended = json.loads(out)
    assert ended["devices"] == ["pi4-emulated", "pi4-legacy-emulated"]
    assert ended["roots_removed"] and not (tmp_path / "roots").exists()
    assert run("down", "--all")[:2] == (0, "no emulated device was up\n")


def test_down_of_one_whose_profile_is_gone(run: Run) -> None:
    (state.device_folder("gone") / "box").mkdir(parents=True)
    boxes.leftovers.state.atomic_write(state.device_folder("gone") / "state.json", "{}")
    assert run("down", "gone")[:2] == (0, "gone is down\n")
    code, _, err = run("down", "gone")
    assert code == 2 and "unknown device 'gone'" in err


@pytest.mark.parametrize("words", [(), ("pi5-emulated", "--all"), ("pi5-emulated", "--roots")])
def test_down_of_what(run: Run, words: tuple[str, ...]) -> None:
    code, _, err = run("down", *words)
    assert code == 2 and "edgekd devices down --all" in err


def test_the_shell_completes_emulated_ones_only() -> None:
    assert complete_emulated("pi4") == ["pi4-emulated", "pi4-legacy-emulated"]
    assert complete_emulated("cpu") == []
