"""The README's commands, run in order in an empty folder, each in a process of its own.

As written they train for a minute: that is for `make test-full`. The quick variant shortens the
training through overrides, and loosens the budget that such a student cannot keep; everything
else is as written.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import README, Block, blocks

SESSIONS = [block for block in blocks("sh", "console", pages=[README]) if block.commands]

QUICK = {
    "train.epochs": "4",
    "train.seeds": "[0]",
    "train.baseline": "false",
    "budget.accuracy": "0.2",
    "budget.agreement": "0.2",
}


def quick(words: list[str]) -> list[str]:
    """Shorten a training."""
    if words[:2] != ["edgekd", "distill"]:
        return words
    return [*words, *(part for key in QUICK for part in ("--set", f"{key}={QUICK[key]}"))]


def write_files(folder: Path) -> None:
    for block in blocks("python", "toml", pages=[README]):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "EDGEKD_RUNS"}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def play(session: Block, folder: Path, *, shorten: bool) -> dict[str, str]:
    """Run a session; return what each command printed, by its first two words."""
    write_files(folder)
    printed = {}
    for line in session.commands:
        words = shlex.split(line)
        done = run(quick(words) if shorten else words, folder)
        printed[" ".join(words[:2])] = done.stdout
    return printed


def test_there_are_two_sessions() -> None:
    """A first one of five commands, and one for the user's own model and data."""
    first, own = SESSIONS
    assert first.commands == [
        "edgekd distill",
        "edgekd export",
        "edgekd benchmark",
        "edgekd check",
        "edgekd report",
    ]
    assert own.commands[0] == "edgekd distill my-recipe.toml"
    demo = (README.parent / "benchmarks" / "demo.sh").read_text()
    verbs = [line.split()[1] for line in demo.splitlines() if line.startswith("edgekd ")]
    assert verbs[:5] == [command.split()[1] for command in first.commands]


@pytest.mark.slow  # the first is what `make demo` does, the second the same with another recipe
@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_the_sessions_work(session: Block, tmp_path: Path) -> None:
    printed = play(session, tmp_path, shorten=True)
    assert "student" in printed["edgekd distill"]
    assert "tflite-int8" in printed["edgekd benchmark"]
    assert "passed" in printed["edgekd check"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("runs"))


@pytest.mark.slow
@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_the_sessions_work_as_written(session: Block, tmp_path: Path) -> None:
    printed = play(session, tmp_path, shorten=False)
    assert "tflite-int8" in printed["edgekd benchmark"]
    assert "passed" in printed["edgekd check"]


@pytest.mark.slow
def test_the_python_session_works_as_written(tmp_path: Path) -> None:
    (block,) = [b for b in blocks("python", pages=[README]) if not b.file]
    (tmp_path / "session.py").write_text(
        block.text + "print(all(verdict.status != 'fail' for verdict in verdicts))\n"
    )
    assert run(["session"], tmp_path).stdout.splitlines()[-1] == "True"
