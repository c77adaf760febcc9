"""Model files out of git: ``git:main:models/student.tflite``, as a baseline.

What stands behind the first colon is a commit, what stands behind the second a path, as
``git show`` takes them: from the root of the repository, or with ``./`` from the current folder.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgekd.errors import MissingError, ModelFileError, RunError

PREFIX = "git:"

_POINTER = b"version https://git-lfs.github.com/spec/v1"
_POINTER_SIZE = 1024  # by the specification of pointers
_SECONDS = 60
_LFS_SECONDS = 600
_MODES = {"120000": "a symbolic link", "160000": "a submodule", "040000": "a folder"}


@dataclass(frozen=True)
class GitRef:
    """A file in a commit.

    Attributes:
        ref: a branch, a tag, a commit.
        path: in the repository; None: the path of the file that is checked.
    """

    ref: str
    path: str | None = None

    def __str__(self) -> str:
        """Write it as it is given."""
        return f"{PREFIX}{self.ref}" + ("" if self.path is None else f":{self.path}")


class NotInCommitError(RunError):
    """A commit has no such file."""


def parse(text: str) -> GitRef | None:
    """Read ``git:REF:PATH`` or ``git:REF``; None where it is something else.

    Raises:
        RunError: a part is missing, or could be taken for an option.

    >>> parse("git:main:models/a:b.tflite")
    GitRef(ref='main', path='models/a:b.tflite')
    >>> parse("models/a.tflite") is None
    True
    """
    if not text.startswith(PREFIX):
        return None
    ref, colon, path = text.removeprefix(PREFIX).partition(":")
    hint = "Write it as git:REF:PATH, e.g. git:main:models/student.tflite."
    if not ref or (colon and not path):
        raise RunError(f"{text!r} names no {'path' if ref else 'commit'}", hint=hint)
    if ref.startswith("-") or "\0" in text or "\n" in text:
        raise RunError(f"{text!r}: {ref!r} is no name of a commit", hint=hint)
    return GitRef(ref, path if colon else None)


@contextmanager
def fetched(ref: GitRef, *, beside: Path | None = None) -> Iterator[Path]:
    """Give a file of a commit as a temporary file, which keeps its name.

    Args:
        ref: what to fetch.
        beside: the file that is checked, whose repository and path count where ``ref`` has none.

    Raises:
        RunError: this is no repository, or it has no such commit; NotInCommitError: no such file.
        ModelFileError: it is a Git LFS pointer whose file cannot be had.
        MissingError: git is not installed.
    """
    folder = Path.cwd()
    path = ref.path
    if path is None:
        if beside is None:
            raise RunError(f"{ref} names no path", hint=f"Write it as {ref}:PATH.")
        folder = beside.resolve().parent
        path = f"./{beside.name}"
    commit = _commit(folder, ref)
    place = _place(folder, path)
    content = _blob(folder, ref, commit, place)
    if len(content) <= _POINTER_SIZE and content.startswith(_POINTER):
        content = _smudge(folder, ref, place, content)
    with tempfile.TemporaryDirectory(prefix="edgekd-git-") as temporary:
        file = Path(temporary) / PurePosixPath(place).name
        file.write_bytes(content)
        yield file


def _commit(folder: Path, ref: GitRef) -> str:
    """Return the hash of the commit."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    if root.returncode:
        said = _said(root)
        unsafe = "safe.directory" in said
        raise RunError(
            f"{ref}: {folder} is not in a git repository that can be read: {said}",
            hint=f"Trust it: git config --global --add safe.directory {folder}"
            if unsafe
            else "Run edgekd in the repository.",
        )
    found = _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref.ref}^{{commit}}"
    )
    if found.returncode == 0:
        return found.stdout.decode().strip()
    remote = f"origin/{ref.ref}"
    there = _git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{remote}^{{commit}}"
    )
    if there.returncode == 0:
        hint = f"Did you mean git:{remote}?"
    else:
        hint = (
            f"Fetch it first: git fetch origin {ref.ref}; GitHub's checkout needs fetch-depth: 0."
        )
    raise RunError(f"{ref}: there is no commit {ref.ref!r} here", hint=hint)


def _place(folder: Path, path: str) -> str:
    """Return a path from the root of the repository."""
    if not path.startswith(("./", "../")):
        return posixpath.normpath(path)
    prefix = os.fsdecode(_git(folder, "rev-parse", "--show-prefix").stdout).rstrip("\n")
    return posixpath.normpath(posixpath.join(prefix, path))


def _blob(folder: Path, ref: GitRef, commit: str, place: str) -> bytes:
    if place.startswith(("/", "..")):
        raise RunError(
            f"{ref}: the path leaves the repository", hint="Name it from the repository's root."
        )
    listed = _git(folder, "ls-tree", "-z", "--full-tree", commit, "--", place)
    entry = os.fsdecode(listed.stdout).split("\0")[0]
    head, _, found = entry.partition("\t")
    if listed.returncode or found != place:
        raise NotInCommitError(
            f"{ref}: {ref.ref} has no file {place}",
            hint=f"See what it has: git ls-tree -r --name-only {ref.ref}",
        )
    mode, _, name = head.split(" ", 2)
    if mode in _MODES:
        raise RunError(f"{ref}: {place} is {_MODES[mode]} there", hint="Name a model file.")
    blob = _git(folder, "cat-file", "blob", name)
    if blob.returncode:
        raise RunError(f"{ref}: git cannot read it: {_said(blob)}")
    return blob.stdout


def _smudge(folder: Path, ref: GitRef, place: str, pointer: bytes) -> bytes:
    """Return the file that a Git LFS pointer stands for."""
    hint = f"Install git-lfs, then fetch the file: git lfs fetch origin {ref.ref}"
    done = _git(folder, "lfs", "smudge", "--", place, given=pointer, seconds=_LFS_SECONDS)
    if done.returncode or done.stdout.startswith(_POINTER):
        said = _said(done) or "git lfs gave the pointer back"
        raise ModelFileError(
            f"{ref} is a Git LFS pointer, and its file cannot be had: {said}", hint=hint
        )
    return done.stdout


def _git(
    folder: Path, *arguments: str, given: bytes = b"", seconds: float = _SECONDS
) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **{key: value for key, value in os.environ.items() if key != "GIT_LFS_SKIP_SMUDGE"},
        "LC_ALL": "C",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    command: Sequence[str] = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(
            command, input=given, capture_output=True, env=environment, timeout=seconds, check=False
        )
    except FileNotFoundError as error:
        raise MissingError(
            "a baseline out of git needs git, which is not installed", hint="Install git."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RunError(f"git {arguments[0]} did not end within {seconds:g} s") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the last lines of what git said, as one."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-2:])
