"""The database: one table of numbers, and one of its version. SQLAlchemy's core, no ORM.

Times are UTC without a zone, as every database stores them alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from edgekd.errors import HistoryError
from edgekd.history.faults import converting
from edgekd.history.place import Place
from edgekd.history.rows import Row
from edgekd.storage import writing

#: Of the tables. A newer edgekd adds what is missing in older ones.
VERSION = 1

#: How long to wait for another check that writes to the same SQLite file, or for a server.
WAIT_S = 10

_METADATA = MetaData()

NUMBERS = Table(
    "edgekd_history",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("check_id", String(32), nullable=False),
    Column("checked_at", DateTime, nullable=False),
    Column("measured_at", DateTime),
    Column("git_commit", String(64)),
    Column("git_branch", String(255)),
    Column("run", String(255)),
    Column("artifact", String(255), nullable=False),
    Column("device", String(100)),
    Column("metric", String(100), nullable=False),
    Column("value", Double),
    Column("limit_value", Double),
    Column("status", String(20)),
    Column("ratio", Double),
    Column("ratio_low", Double),
    Column("ratio_high", Double),
    Column("model_sha256", String(64)),
    Column("runtime", String(64)),
    Column("runtime_version", String(64)),
    Column("threads", Integer),
    Column("machine", String(255)),
    Column("edgekd", String(32)),
    Index("edgekd_history_series", "artifact", "device", "metric", "checked_at"),
)

_SCHEMA = Table(
    "edgekd_history_schema",
    _METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

#: Columns of text -> how much they hold. Servers refuse more, and a check must not fail for that.
_LENGTHS = {c.name: c.type.length for c in NUMBERS.columns if isinstance(c.type, String)}

#: What makes a driver give up; others wait as long as their system does.
_PATIENCE = {
    "pysqlite": {"timeout": WAIT_S},
    "psycopg": {"connect_timeout": WAIT_S},
    "psycopg2": {"connect_timeout": WAIT_S},
    "pymysql": {"connect_timeout": WAIT_S},
    "mysqldb": {"connect_timeout": WAIT_S},
}


def write(place: Place, rows: Sequence[Row]) -> int:
    """Add rows, all of them or none; those of an import that are there already are left out.

    Args:
        place: the database; its tables are made where there are none.
        rows: what to add.

    Returns:
        How many were added.

    Raises:
        HistoryError: the database cannot be reached, read or written.
        StorageError: the folder of its file cannot be made.
    """
    file = place.file
    if file is not None:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
    with converting(place):
        for attempt in (1, 2):
            try:
                with _connected(place, writes=True) as connection:
                    return _add(place, connection, rows)
            except (OperationalError, ProgrammingError, IntegrityError):
                # On a server, somebody else may have made the same tables at the same moment.
                if attempt == 2 or file is not None:
                    raise
    return 0


def read(
    place: Place,
    *,
    artifact: str | None = None,
    device: str | None = None,
    metric: str | None = None,
    branch: str | None = None,
) -> list[Row]:
    """Return rows in the order in which they were written; none where nothing was yet.

    Args:
        place: the database; nothing is made where there is none.
        artifact: only those of this file.
        device: only those of this device.
        metric: only this number.
        branch: only those of this branch.

    Raises:
        HistoryError: the database cannot be reached or read, or a newer edgekd wrote it.
    """
    if place.file is not None and not place.file.exists():
        return []
    wanted = {"artifact": artifact, "device": device, "metric": metric, "git_branch": branch}
    query = select(*(c for c in NUMBERS.columns if c.name != "id")).order_by(NUMBERS.c.id)
    for column, value in wanted.items():
        if value is not None:
            query = query.where(NUMBERS.c[column] == value)
    with converting(place), _connected(place, writes=False) as connection:
        if not inspect(connection).has_table(NUMBERS.name):
            return []
        _refuse_newer(place, connection)
        return [Row(**row) for row in connection.execute(query).mappings()]


@contextmanager
def _connected(place: Place, *, writes: bool) -> Iterator[Connection]:
    """Give a connection in a transaction, which is committed when the block succeeds."""
    driver = place.url.get_dialect()().driver
    engine = create_engine(place.url, poolclass=NullPool, connect_args=_PATIENCE.get(driver, {}))
    if driver == "pysqlite":
        _begin_at_once(engine, "BEGIN IMMEDIATE" if writes else "BEGIN")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _begin_at_once(engine: Any, statement: str) -> None:
    """Let SQLite lock before it reads: of two that read first and write then, one would fail."""

    @event.listens_for(engine, "connect")
    def _(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # the driver begins nothing by itself

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql(statement)


def _add(place: Place, connection: Connection, rows: Sequence[Row]) -> int:
    _METADATA.create_all(connection)
    if connection.execute(select(_SCHEMA.c.version)).first() is None:
        connection.execute(insert(_SCHEMA).values(version=VERSION))
    _refuse_newer(place, connection)
    new = _unknown(connection, rows)
    if new:
        connection.execute(insert(NUMBERS), [_fitting(row) for row in new])
    return len(new)


def _unknown(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Leave out imported rows that are there: same run, file, device, number and time."""
    runs = sorted({row.run for row in rows if row.imported and row.run})
    if not runs:
        return list(rows)
    columns = [NUMBERS.c[name] for name in ("run", "artifact", "device", "metric", "measured_at")]
    found = connection.execute(select(*columns).where(NUMBERS.c.run.in_(runs)))
    known = {tuple(one) for one in found}
    return [
        row
        for row in rows
        if not row.imported
        or (row.run, row.artifact, row.device, row.metric, row.measured_at) not in known
    ]


def _fitting(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in asdict(row).items() if name != "imported"}
    for name, length in _LENGTHS.items():
        if values[name] is not None:
            values[name] = values[name][:length]
    return values


def _refuse_newer(place: Place, connection: Connection) -> None:
    version = connection.execute(select(_SCHEMA.c.version)).scalar() or VERSION
    if version > VERSION:
        raise HistoryError(
            f"the history {place.shown} is of version {version}, this edgekd knows {VERSION}",
            hint="Update edgekd, or name another place: --history URL.",
        )
