"""Recipes on real data."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def real_data(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let recipes find their data, and runs stand in a folder of the test's own."""
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EDGEKD_DATA", str(data_root))
