"""One edgekd at a time, by a real shell, and whose lock may be taken over."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekd.errors import TransportError
from edgekd.transports import host_lock, lock, scripts
from edgekd.transports.keeper import Keeper, KeeperGoneError
from edgekd.transports.local import LocalTransport
from edgekd.transports.reach import Reach

SHELLS = [name for name in ("dash", "bash", "mksh", "busybox", "yash") if shutil.which(name)]
Eventually = Callable[[Callable[[], bool]], None]


class Board:
    """A "device" whose shell runs here: a folder with a lock."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, shell: str = "sh") -> None:
        self.root, self.shell = root, shell
        self.lock = root / "the lock"
        self.keepers: list[Keeper] = []
        monkeypatch.setenv("EDGEKD_LOCK", str(self.lock))

    def keeper(self, owner: str | None = None) -> Keeper:
        start = [self.shell, *(["sh"] if self.shell == "busybox" else [])]
        owner = owner or lock.new_owner()
        argv = [*start, "-c", scripts.KEEPER, "edgekd", "mark", "/nowhere", str(self.root), owner]
        self.keepers.append(Keeper(argv, "mark", timeout=20))
        return self.keepers[-1]

    def acquire(self, keeper: Keeper, *, wait: float = 0.0, said: list[str] | None = None) -> None:
        say = None if said is None else said.append
        lock.acquire(keeper, where="the board", lock=str(self.lock), wait=wait, say=say)

    def pid(self) -> int:
        found = re.match(r"pid=(\d+) ", str(self.lock.readlink()))
        assert found is not None
        return int(found[1])


@pytest.fixture(params=SHELLS)
def board(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Board]:
    found = Board(tmp_path, monkeypatch, request.param)
    yield found
    for keeper in found.keepers:
        keeper.close()


def test_the_second_one_waits_and_says_so(board: Board) -> None:
    first, second = board.keeper(), board.keeper()
    board.acquire(first)
    said: list[str] = []
    with pytest.raises(TransportError, match="in use by the edgekd of") as caught:
        board.acquire(second, wait=0.6, said=said)
    assert f"process {os.getpid()}, since 20" in caught.value.message
    assert "--wait" in str(caught.value.hint) and str(board.lock) in str(caught.value.hint)
    assert len(said) == 1 and said[0].startswith("the board: waiting for the edgekd of ")
    first.close()
    assert not os.path.lexists(board.lock)
    board.acquire(second)
    assert os.path.lexists(board.lock)


def test_waiting_ends_when_the_first_one_does(board: Board) -> None:
    first, second = board.keeper(), board.keeper()
    board.acquire(first)
    threading.Timer(0.3, first.close).start()
    board.acquire(second, wait=20)
    assert board.pid() != 0


def test_folder_and_lock_go_with_the_connection(board: Board, eventually: Eventually) -> None:
    """What the shell sees when edgekd is killed or the cable is pulled is an end of input."""
    keeper = board.keeper()
    board.acquire(keeper)
    folder = Path(keeper.told["folder"])
    (folder / "model.tflite").write_text("left")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert keeper._process.stdin is not None
    keeper._process.stdin.close()
    eventually(lambda: not folder.exists() and not os.path.lexists(board.lock))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_keeper_that_is_told_to_go_leaves_nothing(
    board: Board, eventually: Eventually, number: int
) -> None:
    keeper = board.keeper()
    board.acquire(keeper)
    folder = Path(keeper.told["folder"])
    os.kill(board.pid(), number)
    eventually(lambda: not folder.exists() and not os.path.lexists(board.lock))


def test_a_killed_keeper_leaves_a_stale_lock(board: Board, eventually: Eventually) -> None:
    """And a folder, and a process that runs out of it: all three are cleared away."""
    dead = board.keeper()
    board.acquire(dead)
    folder = Path(dead.told["folder"])
    running = subprocess.Popen(["sleep", "60"], start_new_session=True)
    began = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[19]
    (folder / f".running.{running.pid}.{began}").touch()
    os.kill(board.pid(), signal.SIGKILL)
    dead._process.wait()
    said: list[str] = []
    board.acquire(board.keeper(), said=said)
    assert said == []
    assert not folder.exists()
    assert running.wait(10) == -signal.SIGKILL


def test_a_process_with_a_number_used_again_is_left_alone(board: Board) -> None:
    dead = board.keeper()
    board.acquire(dead)
    folder = Path(dead.told["folder"])
    running = subprocess.Popen(["sleep", "60"], start_new_session=True)
    (folder / f".running.{running.pid}.12345").touch()
    os.kill(board.pid(), signal.SIGKILL)
    dead._process.wait()
    board.acquire(board.keeper())
    assert not folder.exists()
    assert running.poll() is None
    running.kill()
    running.wait()


def test_only_work_folders_are_ever_removed(board: Board) -> None:
    """A lock is a text that somebody wrote: what it names is not removed for that."""
    precious = board.root / "precious"
    precious.mkdir()
    content = f"pid=999999999 began=1 boot=x owner=a@b/1/2/c/3 since=never folder={precious}"
    board.lock.symlink_to(content)
    board.acquire(board.keeper())
    assert precious.exists()
    assert board.pid() != 999999999


def test_a_restarted_machine_makes_locks_stale(board: Board) -> None:
    holder = board.keeper()
    board.acquire(holder)
    content = str(board.lock.readlink())
    board.lock.unlink()
    board.lock.symlink_to(re.sub(r"boot=\S+", "boot=another", content))
    board.acquire(board.keeper())


def test_a_lock_that_this_process_gave_up_is_taken_over(board: Board) -> None:
    """The network was cut: the keeper on the device does not know it yet."""
    owner = lock.new_owner()
    lost = board.keeper(owner)
    board.acquire(lost)
    folder = Path(lost.told["folder"])
    lock.forget(owner)
    board.acquire(board.keeper())
    assert lost._process.wait(10) == -signal.SIGKILL
    assert not folder.exists()


def test_what_is_in_the_way_is_named(board: Board) -> None:
    board.lock.write_text("not a lock")
    with pytest.raises(TransportError, match=r"the lock .* cannot be made"):
        board.acquire(board.keeper())
    assert board.lock.read_text() == "not a lock"


def test_no_lock_where_the_device_wants_none(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_LOCK", "")
    board.acquire(board.keeper())
    board.acquire(board.keeper())
    assert not os.path.lexists(board.lock)


def test_only_one_of_many_gets_it(board: Board) -> None:
    """All ask at once, again and again, while a stale lock lies there."""
    content = f"pid=999999999 began=1 boot=x owner=a@b/1/2/c/3 since=never folder={board.root}"
    board.lock.symlink_to(content)
    keepers = [board.keeper() for _ in range(4)]
    start = threading.Barrier(len(keepers))
    answers: list[str] = []

    def ask(keeper: Keeper) -> None:
        start.wait()
        for _ in range(8):
            answer, _rest = keeper.ask("try")
            if answer == "mine":
                answers.append(answer)
                break

    threads = [threading.Thread(target=ask, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["mine"]
    assert not os.path.lexists(f"{board.lock}.take")


def test_one_that_was_killed_while_it_took_a_lock_is_no_obstacle(board: Board) -> None:
    content = f"pid=999999999 began=1 boot=x owner=a@b/1/2/c/3 since=never folder={board.root}"
    board.lock.symlink_to(content)
    Path(f"{board.lock}.take").symlink_to(content)
    board.acquire(board.keeper())
    assert not os.path.lexists(f"{board.lock}.take")


def test_a_keeper_that_ends_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeeperGoneError) as caught:
        Keeper(["sh", "-c", "echo no shell here >&2; exit 4"], "mark", timeout=20)
    assert caught.value.completed.returncode == 4
    assert caught.value.completed.stderr == "no shell here\n"
    with pytest.raises(TransportError, match="no-such-program"):
        Keeper(["no-such-program"], "mark", timeout=20)


@pytest.mark.parametrize(
    ("base", "message"), [("/no/such", "/no/such"), ("/proc", "edgekd-XXXXXX")]
)
def test_a_folder_that_cannot_be(base: str, message: str) -> None:
    argv = ["sh", "-c", scripts.KEEPER, "edgekd", "mark", "/nowhere", base, "me"]
    with pytest.raises(TransportError, match=message):
        Keeper(argv, "mark", timeout=20)


def owned(**changes: object) -> str:
    """Return a lock's content as this process writes it."""
    parts = lock.new_owner().split("/")
    for key, value in changes.items():
        parts[["who", "process", "began", "machine", "number"].index(key)] = str(value)
    return f"pid=1 began=2 boot=3 owner={'/'.join(parts)} since=now folder=/x"


def test_whose_lock_may_be_taken() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not lock.abandoned(owned())
    assert lock.abandoned(owned(number=10**9))
    assert lock.abandoned(owned(process=ended.pid))
    assert lock.abandoned(owned(process=os.getppid(), began=1)), "another process has its number"
    assert not lock.abandoned(owned(process=ended.pid, machine="another"))
    assert not lock.abandoned("pid=1 owner=me")
    assert not lock.abandoned("")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock of this machine, elsewhere."""
    monkeypatch.setenv(host_lock.VARIABLE, str(tmp_path / "lock"))
    return tmp_path / "lock"


def test_this_machine_is_locked_once_a_process(machine: Path) -> None:
    first, second, bare = LocalTransport(Reach()), LocalTransport(Reach()), LocalTransport()
    assert os.path.lexists(machine)
    first.close()
    first.close()
    bare.close()
    assert os.path.lexists(machine)
    second.close()
    assert not os.path.lexists(machine)


MEASURE = """
import sys
from edgekd.transports.local import LocalTransport
from edgekd.transports.reach import Reach
LocalTransport(Reach(), say=print, wait=float(sys.argv[1])).close()
print("measured")
"""


def test_another_process_waits_for_this_machine(machine: Path) -> None:
    transport = LocalTransport(Reach())
    argv = [sys.executable, "-c", MEASURE, "0.1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "this machine is in use by the edgekd of" in done.stderr
    nested = transport.run(argv, timeout=60)
    assert nested.stdout == "measured\n", "what a measurement starts is part of it"
    transport.close()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout == "measured\n"


def test_a_bare_transport_takes_no_lock(machine: Path) -> None:
    LocalTransport().close()
    assert not os.path.lexists(machine)
