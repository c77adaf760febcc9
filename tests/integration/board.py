"""A board for tests of faults: this machine behind a real sshd, its interpreter ready for mischief.

What the board's ``python3`` does before it becomes the tests' own Python is a hook: a few lines of
Python, run in the process that then runs the agent. So limits and output are the agent's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edgekd.cli.app import app
from tests.bench import files
from tests.transports.rigs import Sshd, make_sshd

#: ``model``: the file that the agent is about to run; ``once``: true the first time only; ``cut``:
#: end the connection as a pulled cable does, or sshd with it.
PYTHON = """#!{python} -S
import contextlib, json, os, pathlib, resource, sys, time
here = pathlib.Path({root!r})
last = pathlib.Path(sys.argv[-1])
asked = json.loads(last.read_text()) if last.suffix == ".json" else {{}}
model = pathlib.Path(asked.get("model", "")).name
def once(name):
    try:
        (here / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
def servers():
    pid = os.getppid()
    while pid > 1:
        words = pathlib.Path("/proc", str(pid), "stat").read_text()
        if "(sshd" in words:
            yield pid
        pid = int(words.rpartition(") ")[2].split()[1])
def cut(wholly=False):
    main = int((here / "sshd.pid").read_text())
    mine = list(servers())
    assert mine[-1] == main, mine
    for pid in mine if wholly else mine[:-1]:
        os.kill(pid, 9)
    time.sleep(60)  # the board ends what it was doing
exec((here / "hook.py").read_text())
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""
REPOSITORY = Path(__file__).resolve().parents[2]
#: Brief, and no test samples: the files are bare.
BRIEF = ("--seconds", "0.05", "--runs", "10")


@dataclass
class Board:
    """The board, and the command that measures on it.

    Attributes:
        sshd: its server.
        root: what belongs to it.
        out: where the measurements go.
    """

    sshd: Sshd
    root: Path
    out: Path

    def hook(self, code: str) -> None:
        """Have its Python run this first."""
        (self.root / "hook.py").write_text(code)

    def profile(self, **keys: Any) -> None:
        """Describe it in the user's file of devices."""
        known = {
            "transport": "ssh",
            "address": "box",
            "python": str(self.root / "python3"),
            "runtimes": ["litert", "onnxruntime"],
            **keys,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in known.items()]
        (self.root / "devices.toml").write_text("\n".join(["[devices.board]", *lines, ""]))

    def benchmark(self, *sources: str | Path, code: int) -> Told:
        """Run ``edgekd benchmark`` on it; it must end with this exit code."""
        words = [str(source) for source in sources]
        return benchmark(*words, "--device", "board", *BRIEF, out=self.out, code=code)


@dataclass(frozen=True)
class Told:
    """What a person and a program get to know.

    Attributes:
        said: all that was printed, both streams.
        stdout: the table and the remarks.
        stderr: progress and errors.
        records: the measurements that were written, by the name of their file.
    """

    said: str
    stdout: str
    stderr: str
    records: dict[str, dict[str, Any]]

    def failed(self, name: str) -> str:
        """Return the one message about a file that failed; it is in the record and was printed."""
        record = self.records[name]
        assert record["status"] == "failed" and record["latency"] is None
        message: str = record["error"].removeprefix(f"{record['path']}: ")
        assert f"{name} on {record['device']}: failed: {message}\n" in self.stdout, self.stdout
        assert self.said.count(f"failed: {message.splitlines()[0]}") == 1, "it is said once"
        assert len(message.splitlines()) <= 8, message
        return message

    def measured(self, *names: str, by: str = "latency") -> None:
        """These files, and none but these, were measured."""
        good = {name for name, found in self.records.items() if found["status"] == "ok"}
        assert good == set(names)
        assert all(self.records[name][by] for name in names)


def benchmark(*words: str, out: Path, code: int) -> Told:
    """Run ``edgekd benchmark``; no traceback, no internal error, and this exit code."""
    done: Result = CliRunner().invoke(app, ["benchmark", *words, "--out", str(out)])
    said = done.stdout + done.stderr
    assert done.exit_code == code, said
    assert "Traceback" not in said and "fault of edgekd" not in said, said
    records = {}
    runs = [Path(word) / "measurements" for word in words if Path(word, "manifest.json").is_file()]
    for path in [path for folder in (out, *runs) for path in folder.glob("*.json")]:
        record = json.loads(path.read_text())
        records[record["artifact"]] = record
    return Told(said, done.stdout, done.stderr, records)


def good_files(folder: Path) -> list[Path]:
    """Two files that can be measured, one of each kind."""
    return [files.add(folder / "good.tflite"), files.linear_onnx(folder / "good.onnx")]


@contextmanager
def board_in(folder: Path, environment: pytest.MonkeyPatch) -> Iterator[Board]:
    """Start a board, and let the user's ssh and devices know it."""
    sshd = make_sshd(folder / "sshd")
    root = folder / "board"
    (root / "bin").mkdir(parents=True)
    _program(root / "bin" / "ssh", f'#!/bin/sh\nexec {_real("ssh")} -F {sshd.root}/config "$@"\n')
    _program(
        root / "python3",
        PYTHON.format(python=sys.executable, repository=str(REPOSITORY), root=str(root)),
    )
    environment.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    environment.setenv("EDGEKD_CONFIG", str(root))
    environment.setenv("COLUMNS", "200")
    board = Board(sshd, root, folder / "measured")
    board.hook("")
    board.profile()
    sshd.start()
    assert sshd.process is not None
    (root / "sshd.pid").write_text(str(sshd.process.pid))
    try:
        yield board
    finally:
        sshd.stop()


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _real(name: str, folders: Sequence[str] = ("/usr/bin", "/bin", "/usr/local/bin")) -> str:
    return next(str(Path(folder) / name) for folder in folders if (Path(folder) / name).exists())
