from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.data.paths import expand, folder, read_bytes
from edgekd.errors import DataError


def test_variables_and_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_DATA", "/there")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand("$EDGEKD_DATA/mnist") == Path("/there/mnist")
    assert expand("${EDGEKD_DATA}_2/mnist") == Path("/there_2/mnist")
    assert expand("~/mnist") == Path("/home/me/mnist")
    assert expand("plain/mnist") == Path("plain/mnist")


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    with pytest.raises(DataError, match="environment variable EDGEKD_DATA is not set") as caught:
        folder("$EDGEKD_DATA/mnist")
    assert "export EDGEKD_DATA=" in str(caught.value.hint)


def test_an_unknown_home() -> None:
    with pytest.raises(DataError, match="~nobody-of-that-name"):
        expand("~nobody-of-that-name/mnist")


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="no data folder"):
        folder(tmp_path / "file")
    with pytest.raises(DataError, match="cannot read"):
        read_bytes(tmp_path)
