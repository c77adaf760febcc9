"""What databases and their drivers raise, in the words of edgekd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from edgekd.errors import HistoryError
from edgekd.history.place import Place

#: Words in a driver's message -> what to do.
_HINTS = {
    "locked": "Another program holds it; try again when it is done.",
    "readonly": "Make it writable, or name another place: --history URL.",
    "read-only": "Make it writable, or name another place: --history URL.",
    "not a database": "It is damaged or another file; move it away and a new one is begun.",
    "malformed": "It is damaged; move it away and a new one is begun.",
    "unable to open": "Does its folder exist, and may you write to it?",
    "full": "Free some space.",
}


@contextmanager
def converting(place: Place) -> Iterator[None]:
    """Turn everything that a database can raise into a `HistoryError` without secrets.

    Args:
        place: the database.

    Raises:
        HistoryError: in place of any error of SQLAlchemy or of a driver.
    """
    try:
        yield
    except HistoryError:
        raise
    except ModuleNotFoundError as error:
        raise HistoryError(
            f"{place.shown}: the driver {error.name!r} is not installed",
            hint=f"Install it: pip install {error.name}",
        ) from error
    except NoSuchModuleError as error:
        raise HistoryError(
            f"{place.shown}: SQLAlchemy has no dialect {place.url.drivername!r}",
            hint="sqlite, postgresql+psycopg, mysql+pymysql, mariadb+pymysql are some that it has.",
        ) from error
    except (SQLAlchemyError, OSError, ValueError, TypeError) as error:
        # The traceback of the original would repeat it with its secrets.
        raise _fault(place, error) from None


def _fault(place: Place, error: Exception) -> HistoryError:
    said = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = place.without_secrets(str(said)).strip().splitlines()
    words = lines[0] if lines else type(said).__name__
    hint = next((hint for word, hint in _HINTS.items() if word in words.lower()), None)
    return HistoryError(f"the history {place.shown}: {words}", hint=hint)
