"""Fixtures for all tests.

torch is not imported here: tests of the light parts must not pay for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.fixtures_boxes",
    "tests.fixtures_disks",
    "tests.fixtures_tiny",
    "tests.fixtures_exits",
    "tests.fixtures_old_runtime",
]

REPOSITORY = Path(__file__).resolve().parent.parent

# Nobody's own devices: a test that wants some names a folder of its own.
os.environ["EDGEKD_CONFIG"] = str(REPOSITORY / "tests" / "no-devices-of-ones-own")
# Tests run side by side on one machine; those of the lock name one of their own.
os.environ["EDGEKD_LOCK"] = ""


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of third-party data: $EDGEKD_DATA, or ../shared/data beside the repository."""
    given = os.environ.get("EDGEKD_DATA")
    root = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip("no real data here: set EDGEKD_DATA to its folder")
    return root


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    """Keep torch to one thread: tests run side by side, and small work is slower on more."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
