"""The lock of this machine: the same as on any other device, held by a shell that runs here.

Whoever reaches this machine by ssh meets the same lock. A process takes it once, however many
transports it makes.
"""

from __future__ import annotations

import os
import shutil
import threading

from edgekd.errors import TransportError
from edgekd.transports import lock, scripts
from edgekd.transports.keeper import Keeper, KeeperGoneError

#: Names another place for the lock; empty: no lock.
VARIABLE = "EDGEKD_LOCK"
_WHERE = "this machine"
_CONNECT = 60.0

_guard = threading.Lock()
_keeper: Keeper | None = None
_owner = ""
_holders = 0


def hold(*, say: lock.Say | None = None, wait: float = lock.WAIT) -> bool:
    """Take the lock, or share what this process has already; say whether there is one.

    Raises:
        TransportError: another edgekd measures on this machine and does not end.
    """
    global _keeper, _owner, _holders
    if os.environ.get(VARIABLE) == "" or os.name != "posix" or shutil.which("sh") is None:
        return False
    with _guard:
        if _holders == 0:
            _owner = lock.new_owner()
            try:
                _keeper = _take(say, wait)
            except BaseException:
                lock.forget(_owner)
                raise
        _holders += 1
    return True


def release() -> None:
    """Give up what `hold` gave; the last one frees the lock."""
    global _keeper, _holders
    with _guard:
        _holders -= 1
        if _holders == 0 and _keeper is not None:
            try:
                _keeper.close()
            finally:
                _keeper = None
                lock.forget(_owner)


def _take(say: lock.Say | None, wait: float) -> Keeper:
    mark = "edgekd"
    argv = ["sh", "-c", scripts.KEEPER, "edgekd", mark, lock.LOCK, "-", _owner]
    try:
        keeper = Keeper(argv, mark, timeout=_CONNECT)
        try:
            lock.acquire(keeper, where=_WHERE, lock=keeper.told["lock"], wait=wait, say=say)
        except BaseException:
            keeper.close()
            raise
    except KeeperGoneError as error:
        raise TransportError(f"the lock of {_WHERE} cannot be taken: {error}") from error
    return keeper
