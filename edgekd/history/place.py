"""Where the history is: a SQLite file, or a database that a SQLAlchemy URL names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from edgekd.errors import HistoryError
from edgekd.runs import runs_root

#: The environment variable that names the database.
VARIABLE = "EDGEKD_HISTORY"

FILE = "history.sqlite"

#: A URL's query keys with one of these in them are not shown.
_SECRET = ("pass", "pwd", "secret", "token", "key", "auth", "credential")
_MASK = "***"


@dataclass(frozen=True)
class Place:
    """A database.

    Attributes:
        url: of SQLAlchemy, secrets and all; never to be shown.
    """

    url: URL

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for others, and for ``file:`` URIs of SQLite."""
        name = self.url.database
        if self.url.get_backend_name() != "sqlite" or not name or name.startswith("file:"):
            return None
        return Path(name)

    @property
    def shown(self) -> str:
        """The database as it may be shown: without passwords."""
        if self.file is not None:
            return str(self.file)
        query = {key: _MASK if _is_secret(key) else value for key, value in self.url.query.items()}
        shown = self.url.set(query=query).render_as_string(hide_password=True)
        return shown.replace(quote(_MASK, safe=""), _MASK)

    def without_secrets(self, text: str) -> str:
        """Return somebody else's words without the URL's secrets in them."""
        secrets = [self.url.password]
        for key, value in self.url.query.items():
            if _is_secret(key):
                secrets += [value] if isinstance(value, str) else list(value)
        for secret in secrets:
            if secret:
                text = text.replace(secret, _MASK)
        return text


def place(given: str | Path | None = None) -> Place:
    """Find the database.

    Args:
        given: a SQLAlchemy URL, or the path of a SQLite file. By default $EDGEKD_HISTORY, and
            without that ``history.sqlite`` in the folder of runs.

    Raises:
        HistoryError: it is neither, or it keeps nothing.
    """
    text = str(given or os.environ.get(VARIABLE) or runs_root() / FILE)
    if "://" not in text:
        return Place(URL.create("sqlite", database=text))
    url = _parsed(text)
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise HistoryError(
            "a SQLite database in memory keeps no history", hint="Name a file: sqlite:///FILE"
        )
    return Place(url)


def _parsed(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None  # their message repeats the URL, and a password may stand in it
    # With an @ in the wrong place a password was read as a host or a database, and would be shown.
    if url is None or (url.username is None and "@" in f"{url.host}{url.database}"):
        raise HistoryError(
            "the URL of the history cannot be read",
            hint=f"Write --history or {VARIABLE} as dialect://user:password@host/database, with "
            "special characters of the password in percent encoding, or give a file's path.",
        )
    return url


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET)
