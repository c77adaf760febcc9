"""A report that follows a run while it is being made, served to this machine alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from edgekd.errors import EdgekdError, StorageError
from edgekd.report import contents, page
from edgekd.rundir import Run, list_runs

#: Nobody else can reach it.
LOOPBACK = "127.0.0.1"

#: What is looked at in a run's folder to see whether something is new.
_WATCHED = (
    "manifest.json", "metrics.jsonl", "artifacts/*/manifest.json", "measurements/*.json",
    "evaluations/*.json", "robustness/*.json", "exits/*.json", "artifacts/*.sensitivity.json",
)  # fmt: skip


def server(run: str | Path | Run | None, port: int) -> ThreadingHTTPServer:
    """Return a server of the report, listening and not yet serving.

    It answers two addresses: ``/``, the page as the run is now, and ``/state``, which changes when
    the run does. No file is served, and only this machine is answered, under its own names.

    Args:
        run: a run, which may be incomplete; None for the newest, whole or not.
        port: to listen on; 0 for a free one.

    Raises:
        RunError: there is no such run.
        StorageError: the port is taken.
    """
    known = list_runs() if run is None else []
    # The newest of all: `latest` points at the newest that is whole.
    found = Run.open(known[0][0] if known else run, allow_incomplete=True)
    pages = _Pages(found.path)

    class Handler(_Handler):
        answers = pages.answer

    try:
        return ThreadingHTTPServer((LOOPBACK, port), Handler)
    except OSError as error:
        raise StorageError(
            f"cannot serve on port {port}: {error.strerror or error}",
            hint="Choose another one with --port, or 0 for any that is free.",
        ) from error


def state(folder: Path) -> str:
    """Return what changes whenever a run's records do."""
    found = hashlib.sha256()
    for pattern in _WATCHED:
        for path in sorted(folder.glob(pattern)):
            try:
                about = path.stat()
            except FileNotFoundError:  # replaced at this very moment: the next look sees it
                continue
            found.update(f"{path.name}|{about.st_size}|{about.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]


class _Pages:
    """Makes the page again only when the run has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._made: tuple[str, bytes] | None = None

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, type and content for an address."""
        if path == "/state":
            return 200, "text/plain", state(self._folder).encode()
        if path != "/":
            return 404, "text/plain", b"there is nothing here"
        with self._lock:
            now = state(self._folder)
            if self._made is None or self._made[0] != now:
                self._made = now, self._page()
            return 200, "text/html", self._made[1]

    def _page(self) -> bytes:
        try:
            run = Run.open(self._folder, allow_incomplete=True)
            found = contents.gather(run)
        except EdgekdError as error:
            found = contents.failed(self._folder.name, error)
        return page.lay_out(found, live=True).encode()


class _Handler(BaseHTTPRequestHandler):
    """Answers whoever asks this machine by one of its own names."""

    answers: Callable[[str], tuple[int, str, bytes]]

    def do_GET(self) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        # A page of someone else's whose name leads to this machine is not answered.
        if host not in (LOOPBACK, "localhost"):
            status, kind, content = 403, "text/plain", b"this machine only"
        else:
            status, kind, content = type(self).answers(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page that looks every two seconds would fill the terminal."""
