"""The database: whole rows, several writers, and nothing that it does breaks a check."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from edgekd import history
from edgekd.errors import HistoryError
from edgekd.history.place import place
from edgekd.history.store import VERSION
from tests.history.made import measured, verdict

URL = "postgresql+psycopg://ci:s3cr3t%2F@db.example:5432/models?sslpassword=hush&sslmode=require"


def rows(file: Path, query: str = "select * from edgekd_history") -> list[sqlite3.Row]:
    with sqlite3.connect(file) as raw:
        raw.row_factory = sqlite3.Row
        found = raw.execute(query).fetchall()
    raw.close()
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


def test_a_check_is_kept_as_it_was(file: Path) -> None:
    slow = verdict("fail", value=3.0, ratio=1.2, low=1.1, high=1.3)
    assert history.append([slow], [measured(1, 2.5)], url=file) is None
    found = {row["metric"]: row for row in rows(file)}
    assert set(found) == {"latency_ms_p50", "size_bytes", "accuracy"}
    row = found["latency_ms_p50"]
    assert row["value"] == 2.5  # what was measured; the ratio is the check's
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == (1.2, 1.1, 1.3)
    assert (row["limit_value"], row["status"]) == (2.0, "fail")
    assert row["git_commit"] == "01" * 20
    assert row["measured_at"].startswith("2025-10-01 10:00:00")
    assert (row["runtime"], row["runtime_version"], row["threads"]) == ("litert", "2.3.0", 1)
    assert (row["model_sha256"], row["machine"]) == ("a" * 64, "Example CPU @ 2.50GHz")
    assert (found["size_bytes"]["device"], found["size_bytes"]["machine"]) == (None, None)
    assert found["size_bytes"]["status"] is None
    assert len({row["check_id"] for row in found.values()}) == 1


def test_the_worst_of_several_verdicts_is_kept(file: Path) -> None:
    several = [verdict("pass", limit=5.0), verdict("fail", limit=0.5), verdict("warn", limit=2.0)]
    assert history.append(several, url=file) is None
    assert [(row["status"], row["limit_value"]) for row in rows(file)] == [("fail", 0.5)]


def test_measurements_of_other_files_and_failed_ones_are_left_out(file: Path) -> None:
    stale = measured(1, 1.0)
    broken = measured(1, 1.0, name="other", status="failed", error="killed")
    network = measured(1, 1.0, name="student", runtime="torch")
    found = history.append(
        [verdict()], [stale, broken, network], url=file, hashes={"tflite-int8": "b" * 64}
    )
    assert found is None
    assert [(row["metric"], row["model_sha256"]) for row in rows(file)] == [
        ("latency_ms_p50", "b" * 64)
    ]


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKD_HISTORY", raising=False)
    monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path / "deep" / "runs"))
    assert history.append([verdict()]) is None
    assert len(rows(tmp_path / "deep" / "runs" / "history.sqlite")) == 1
    monkeypatch.setenv("EDGEKD_HISTORY", f"sqlite:///{tmp_path / 'own.db'}")
    assert history.append([verdict()]) is None
    assert len(rows(tmp_path / "own.db")) == 1


def test_reading_makes_no_file(file: Path) -> None:
    assert history.trends(url=file) == []
    assert history.trend("x", "cpu", "latency_ms_p50", file).points == ()
    assert not file.exists()
    sqlite3.connect(file).close()
    assert history.trends(url=file) == []


def test_checks_at_once_lose_nothing(file: Path) -> None:
    """Three processes begin with no database and write at the same time."""
    code = (
        "import sys; from edgekd import history; from tests.history.made import verdict\n"
        "found = [history.append([verdict(value=float(i)), verdict(metric='accuracy')], "
        f"url={str(file)!r}) for i in range(8)]\n"
        "sys.exit(str(found) if any(found) else 0)"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
    assert len(rows(file)) == 3 * 8 * 2
    whole = rows(file, "select count(*) n from edgekd_history group by check_id")
    assert [row["n"] for row in whole] == [2] * 24
    assert len(rows(file, "select * from edgekd_history_schema")) == 1


class TestBroken:
    """Each is a warning of `append` and an error of `trends`, never a traceback."""

    def check(self, file: Path | str, expected: str, *, reads: bool = True) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            said = history.append([verdict()], url=file)
        assert said is not None
        assert said.startswith("the history was not written")
        assert expected in said
        if reads:
            with pytest.raises(HistoryError, match=expected):
                history.trends(url=file)
        return said

    def test_not_a_database(self, file: Path) -> None:
        file.write_text("This is a text of some length, and it is no database at all. " * 20)
        before = file.read_bytes()
        assert "move it away" in self.check(file, "not a database")
        assert file.read_bytes() == before

    def test_a_folder(self, tmp_path: Path) -> None:
        self.check(tmp_path, "unable to open")

    @pytest.mark.skipif(
        not Path("/proc/self").exists(), reason="needs a place where root cannot write either"
    )
    def test_read_only(self) -> None:
        said = history.append([verdict()], url="/proc/nowhere/history.sqlite")
        assert said is not None
        assert "the history was not written" in said

    def test_locked(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(history_store()._PATIENCE, "pysqlite", {"timeout": 0.05})
        assert history.append([verdict()], url=file) is None
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("begin immediate")
        assert "try again" in self.check(file, "locked", reads=False)
        assert len(history.trends(url=file)) == 1  # others may read meanwhile
        holder.close()
        assert len(rows(file)) == 1

    def test_tables_of_somebody_else(self, file: Path) -> None:
        with sqlite3.connect(file) as raw:
            raw.execute("create table edgekd_history (id integer primary key, other text)")
        raw.close()
        self.check(file, "edgekd_history")

    def test_a_newer_version(self, file: Path) -> None:
        assert history.append([verdict()], url=file) is None
        with sqlite3.connect(file) as raw:
            raw.execute("update edgekd_history_schema set version = ?", [VERSION + 1])
        raw.close()
        assert "Update edgekd" in self.check(file, "version")
        assert len(rows(file)) == 1

    def test_urls(self) -> None:
        self.check("nonsense://host/db", "no dialect")
        self.check("sqlite://", "in memory")

    def test_a_driver_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        assert "pip install psycopg" in self.check(URL, "psycopg")


@pytest.mark.parametrize(
    "url", [URL, "postgresql://u:s3cr3t/@host:port/x", "mysql://s3cr3t/:hush@[bad/db"]
)
def test_secrets_are_never_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    said = history.append([verdict()], url=url)
    assert said is not None
    assert "s3cr3t" not in said
    assert "hush" not in said


def test_a_shown_url_says_where_but_not_how() -> None:
    found = place(URL)
    assert found.shown == (
        "postgresql+psycopg://ci:***@db.example:5432/models?sslmode=require&sslpassword=***"
    )
    assert found.without_secrets("no role for s3cr3t/ with hush") == "no role for *** with ***"


def history_store() -> object:
    from edgekd.history import store

    return store
