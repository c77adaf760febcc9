"""Closing while a command runs: all of it ends, nothing stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.errors import TransportError
from tests.transports.rigs import DEVICES, connected


@pytest.mark.parametrize("name", DEVICES[1:])
def test_close_removes_the_folder_and_ends_what_runs(
    name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    """Another thread closes it, as Ctrl-C does where several devices are measured."""
    (tmp_path / "left").write_text("behind")
    ended: list[object] = []

    def sleep() -> None:
        try:
            ended.append(device.run(["sleep", "60"], timeout=100).returncode)
        except TransportError as error:
            ended.append(error)

    with connected(name, request) as device:
        remote = device.put(tmp_path / "left")
        thread = threading.Thread(target=sleep)
        thread.start()
        look = ["sh", "-c", f"ls -a {device.folder}"]
        eventually(lambda: device.run(look, timeout=60).stdout.count(".running") == 2)
        began = time.monotonic()
        device.close()
        thread.join(15)
        assert ended and time.monotonic() - began < 15
        device.close()
        with pytest.raises(TransportError, match="closed"):
            device.run(["true"], timeout=9)
    with connected(name, request) as again:
        assert again.run(["test", "-e", remote], timeout=60).returncode == 1
        assert again.run(["test", "-e", device.folder], timeout=60).returncode == 1
