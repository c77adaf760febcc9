"""What every check found, kept in a database; its trends and where they change.

`append` adds a check, `trend` and `trends` read back, `changes` names every change point. The
database is a SQLite file beside the runs, or whatever a SQLAlchemy URL names.
"""

from __future__ import annotations

from edgekd.history.stage import append, changes, import_runs, trend, trends

__all__ = ["append", "changes", "import_runs", "trend", "trends"]
