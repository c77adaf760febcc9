"""Boards that tests reach by an import path: this machine behind a cable that can be pulled.

``Board`` has a folder that stands for the board's disk: files are copied there and back. By
itself it answers at once, with a network of one layer; ``STATE.real`` lets the real agent run.
What goes wrong, and when, is ``STATE.fault``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgekd.errors import DeviceGoneError, MissingDeviceError, TransportError
from edgekd.transports.base import Completed
from edgekd.transports.reach import Reach
from tests.bench.replies import good

Fault = Callable[["Board", str, int], None]


class State:
    """What tests set and look at."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.fault: Fault | None = None
        self.made: list[Board] = []
        self.counts: dict[str, int] = {}
        self.runs: list[tuple[str, float, float]] = []
        self.largest = 0
        self.hang = False
        self.hanging = threading.Semaphore(0)
        self.real = False


STATE = State()


def reset() -> None:
    """Forget everything."""
    STATE.__init__()  # type: ignore[misc]


class Board:
    """A board with the tests' own Python."""

    def __init__(self, reach: Reach, *, wait: float = 0.0, say: object = None) -> None:
        """Connect."""
        self.wait, self.say, self.closed = wait, say, False
        self.reach = reach
        self._event("connect")
        self._folder = tempfile.TemporaryDirectory(prefix="board-")
        self.folder = self._folder.name
        self.python = sys.executable
        self._process: subprocess.Popen[str] | None = None
        STATE.made.append(self)

    def _event(self, name: str) -> None:
        STATE.counts[name] = STATE.counts.get(name, 0) + 1
        if STATE.fault is not None:
            STATE.fault(self, name, STATE.counts[name])

    def put(self, source: Path) -> str:
        """Copy a file."""
        self._event("put")
        target = Path(self.folder) / Path(source).name
        shutil.copyfile(source, target)
        held = sum(p.stat().st_size for p in Path(self.folder).iterdir())
        STATE.largest = max(STATE.largest, held)
        return str(target)

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command."""
        # The model that does nothing is measured once a kind, between the files.
        event = "null" if argv[-1].endswith("null.json") else "run"
        self._event(event)
        began = time.monotonic()
        if not STATE.real and not STATE.hang:
            completed = answered(Path(argv[-1]))
            STATE.runs.append((threading.current_thread().name, began, time.monotonic()))
            self._event("ran")
            return completed
        wanted = [self.python, "-c", "import time; time.sleep(60)"] if STATE.hang else list(argv)
        with subprocess.Popen(
            wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            self._process = process
            try:
                if STATE.hang:
                    STATE.hanging.release()
                stdout, stderr = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        if event == "null":
            return Completed(process.returncode, stdout, stderr)
        STATE.runs.append((threading.current_thread().name, began, time.monotonic()))
        if self.closed:
            raise DeviceGoneError("the connection was closed")
        self._event("ran")
        return Completed(process.returncode, stdout, stderr)

    def get(self, remote: str, target: Path) -> None:
        """Copy a file back."""
        self._event("get")
        shutil.copyfile(remote, target)

    def facts(self) -> dict[str, str]:
        """Return what it is."""
        return {"transport": "board"}

    def close(self) -> None:
        """End what runs, and remove the folder."""
        self.closed = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self._folder.cleanup()


def answered(request: Path) -> Completed:
    """Do what the agent does, in a millisecond."""
    asked = json.loads(request.read_text())
    for piece in asked["chunks"]:
        with np.load(piece["inputs"]) as archive:
            x = archive["input_0"].reshape(len(archive["input_0"]), -1)
        layer = np.random.default_rng(0).standard_normal((x.shape[1], 10))
        np.savez(piece["outputs"], output_0=(x @ layer).astype(np.float32))
        Path(piece["inputs"]).unlink()
    sha = hashlib.sha256(Path(asked["model"]).read_bytes()).hexdigest()
    reply = good(model_sha256=sha)
    if asked["mode"] == "accuracy":
        del reply["latency"]
    return Completed(0, json.dumps(reply))


def gone_at(event: str, *numbers: int) -> Fault:
    """The device vanishes at these occurrences of an event."""

    def fault(board: Board, name: str, number: int) -> None:
        if name == event and number in numbers:
            raise DeviceGoneError("the board went away", hint="Look at its cable.")

    return fault


def unreachable(reach: Reach) -> Board:
    """Nobody answers."""
    raise MissingDeviceError("board: no route to host", hint="Is it switched on?")


def refusing(reach: Reach) -> Board:
    """The device does not let anybody in."""
    raise TransportError("board: its host key is not known", hint="ssh board")
