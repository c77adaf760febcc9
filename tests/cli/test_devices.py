"""``edgekd devices`` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekd.bench import setup
from edgekd.bench.probe import Found
from edgekd.cli.app import app
from edgekd.errors import TransportError
from tests.bench.test_doctor import Pi

BOARD = """
[devices.board]
description = "a board that answers from memory"
transport = "tests.bench.test_doctor:Pi"
runtimes = ["litert", "tflite-runtime", "onnxruntime"]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Call the command; there is one device of the user's own."""
    (tmp_path / "devices.toml").write_text(BOARD)
    monkeypatch.setenv("EDGEKD_CONFIG", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["devices", *words])
        return result.exit_code, result.stdout, result.stderr

    return call


def test_list_shows_the_users_own(run, tmp_path: Path) -> None:
    code, out, _ = run("list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert listed["states"]["cpu"] == "here"
    assert "board" in {device["name"] for device in listed["devices"]}
    code, out, _ = run("list")
    assert code == 0 and "answers from memory" in out


def test_show_says_that_a_profile_was_changed(run, tmp_path: Path) -> None:
    (tmp_path / "devices.toml").write_text("[devices.cpu]\nthreads = 4\n")
    code, out, err = run("show", "cpu")
    assert code == 0
    assert "threads = 4" in out
    assert "devices.toml changes what comes with edgekd: threads" in " ".join(err.split())


def test_doctor_by_exit_code(run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("doctor", "board")
    assert code == 0 and "litert" in out
    code, out, _ = run("doctor", "board", "--json")
    report = json.loads(out)
    assert report["reachable"] and report["python"] == "3.11.2"

    with monkeypatch.context() as patch:
        patch.setattr("tests.bench.test_doctor.VERSIONS", {})
        code, out, _ = run("doctor", "board")
        assert code == 1 and "edgekd devices setup board" in " ".join(out.split())

    def gone(*args: object, **options: object) -> None:
        raise TransportError("the board was unplugged")

    monkeypatch.setattr(Pi, "run", gone)
    code, out, _ = run("doctor", "board", "--json")
    assert code == 3 and json.loads(out)["reachable"] is False


def test_doctor_of_an_unknown_device_gets_the_closest(run) -> None:
    code, _, err = run("doctor", "bord")
    assert code == 2 and "'board'" in err
    code, _, err = run("doctor", "cpu", "--address", "pi@host")
    assert code == 2 and "takes no --address" in " ".join(err.split())


def test_setup_dry_run_asks_and_does_nothing(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "install", None)
    code, out, _ = run("setup", "board", "--dry-run")
    assert code == 0
    assert "litert, onnxruntime for Python 3.11.2 on aarch64" in out
    assert "pip download --only-binary=:all:" in out
    assert "/home/pi/.local/share/edgekd/runtime/py3.11" in out


def test_setup_by_exit_code(run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"litert": Found("2.3.0"), "onnxruntime": Found(error="ImportError: GLIBC_2.38")}
    monkeypatch.setattr(setup, "install", lambda plan, transport, say: found)
    code, out, _ = run("setup", "board", "--json")
    told = json.loads(out)
    assert code == 1
    assert (told["installed"], list(told["failed"])) == ({"litert": "2.3.0"}, ["onnxruntime"])
    monkeypatch.setattr(setup, "remove", lambda transport: None)
    code, out, _ = run("setup", "board", "--remove")
    assert code == 0 and "nothing to remove" in out


def test_the_commands_import_nothing_heavy() -> None:
    program = (
        "import sys\nfrom edgekd.cli.app import app\n"
        "try:\n    app(['devices', 'doctor', 'cpu', '--quiet'])\n"
        "except SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'onnxruntime', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr
