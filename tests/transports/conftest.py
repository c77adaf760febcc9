"""The rigs of `tests.transports.rigs`; all that they start ends with the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.transports.rigs import Phone, Sshd, make_phone, make_sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd that no test stops."""
    found = make_sshd(tmp_path_factory.mktemp("sshd"))
    found.start()
    try:
        yield found
    finally:
        found.stop(power=False)


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """An sshd to do with as one likes."""
    found = make_sshd(tmp_path / "sshd")
    found.start()
    try:
        yield found
    finally:
        found.stop(power=False)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    return make_phone(tmp_path / "adb", monkeypatch)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so; fail where it does not become so in ten seconds."""

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline, "it did not happen in ten seconds"
            time.sleep(0.02)

    return wait
