"""The live view: it follows a run, serves nothing else, and answers this machine alone."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from edgekd.errors import StorageError
from edgekd.records import RunManifest
from edgekd.report.live import server, state
from edgekd.rundir import Run, read_record, write_record
from tests.synthetic_runs import make_run, metric_lines


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in the making: its manifest, its recipe, ten epochs of the teacher."""
    path = make_run(tmp_path / "live", artifacts=(), devices=()).path
    manifest = read_record(path / "manifest.json", RunManifest)
    write_record(path / "manifest.json", manifest.model_copy(update={"status": "incomplete"}))
    lines = metric_lines(1, baseline=False)[:10]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def port(run: Path) -> Iterator[int]:
    serving = server(run, 0)
    thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield serving.server_port
    serving.shutdown()
    serving.server_close()
    thread.join()


def get(port: int, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_it_listens_on_the_loopback_alone(run: Path) -> None:
    with server(run, 0) as serving:
        assert serving.server_address[0] == "127.0.0.1"


def test_the_page_of_a_run_in_the_making(port: int, run: Path) -> None:
    status, page = get(port, "/")
    assert status == 200
    assert "Training. The newest epoch:" in page
    assert "connect-src 'self'" in page
    assert 'fetch("state"' in page
    line = {**metric_lines(1, baseline=False)[9], "epoch": 11, "loss": 7.77}
    before = get(port, "/state")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert get(port, "/state") != before
    assert "7.77" in get(port, "/")[1]


def test_nothing_else_is_served(port: int) -> None:
    for path in ("/manifest.json", "/../manifest.json", "/recipe.toml", "//etc/passwd"):
        status, text = get(port, path)
        assert status == 404
        assert "nothing" in text


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:1", 200), ("127.0.0.1", 200), ("evil.example", 403)]
)
def test_only_this_machines_names_are_answered(port: int, host: str, status: int) -> None:
    assert get(port, "/state", host)[0] == status


def test_a_run_that_cannot_be_read_says_so(port: int, run: Path) -> None:
    (run / "manifest.json").write_text("{")
    status, page = get(port, "/")
    assert status == 200
    assert "manifest.json" in page


def test_a_port_that_is_taken(port: int, run: Path) -> None:
    with pytest.raises(StorageError, match=f"port {port}") as caught:
        server(run, port)
    assert "--port" in str(caught.value.hint)


def test_a_whole_run_is_served_too(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", artifacts=(), devices=())
    assert state(whole.path) == state(whole.path)
    with server(Run.open(whole.path), 0) as serving:
        assert serving.server_port > 0
