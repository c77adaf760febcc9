"""Baselines out of git, with the real git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd.check.gitref import GitRef, NotInCommitError, fetched, parse
from edgekd.check.stage import check
from edgekd.errors import EdgekdError, ModelFileError, RunError
from tests.synthetic_runs import model_bytes

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
ODD = 'mo dels/a:b "c" \u00e9[1]*.onnx'


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits; `main` is the first, the working tree has the second."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    folder = tmp_path / "repository"
    (folder / "mo dels").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ODD).write_bytes(model_bytes(".onnx", 1000))
    (folder / "pointer.onnx").write_bytes(POINTER)
    (folder / "link.onnx").symlink_to(ODD)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=one")
    git(folder, "switch", "--quiet", "--create", "feature/b@c")
    (folder / ODD).write_bytes(model_bytes(".onnx", 1060))
    git(folder, "commit", "--quiet", "--all", "--message=two")
    (folder / ODD).write_bytes(model_bytes(".onnx", 1200))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("ref", "size"),
    [
        ("main", 1000),
        ("HEAD", 1060),
        ("HEAD~1", 1000),
        ("feature/b@c", 1060),
        ("main^{commit}", 1000),
    ],
)
def test_the_file_of_a_commit(repository: Path, ref: str, size: int) -> None:
    found = parse(f"git:{ref}:{ODD}")
    assert found == GitRef(ref, ODD)
    with fetched(found) as path:
        assert path.name == Path(ODD).name
        assert path.read_bytes() == model_bytes(".onnx", size)
    assert not path.exists()
    assert (repository / ODD).stat().st_size == 1200


def test_paths_of_the_current_folder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "mo dels")
    for path in (ODD, f"./{Path(ODD).name}", f"../{ODD}"):
        with fetched(GitRef("main", path)) as file:
            assert file.stat().st_size == 1000
    with pytest.raises(RunError, match="leaves the repository"), fetched(GitRef("main", "../../x")):
        pass


def test_the_gate_against_a_commit(repository: Path) -> None:
    def size(baseline: str) -> tuple[str, float | None]:
        verdicts = check(ODD, baseline=baseline, latency=False)
        (verdict,) = [v for v in verdicts if v.metric == "size_bytes"]
        return verdict.status, verdict.baseline

    assert size(f"git:main:{ODD}") == ("fail", 1000)
    assert size("git:main") == ("fail", 1000)
    (repository / ODD).write_bytes(model_bytes(".onnx", 1100))
    assert size("git:HEAD") == ("pass", 1060)


def test_a_file_that_is_new(repository: Path) -> None:
    (repository / "new.onnx").write_bytes(model_bytes(".onnx", 10))
    (repository / "none").mkdir()
    found = check(["new.onnx", ODD], baseline="git:main", size_only=True, budget={})
    assert {(v.artifact, v.metric): v.status for v in found} == {
        ("new.onnx", "file"): "warn",
        (Path(ODD).name, "size_bytes"): "fail",
    }
    alone = check("new.onnx", baseline="git:main", size_only=True, budget={})
    assert [v.status for v in alone] == ["warn", "fail"]  # a gate that looked at nothing


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("git:", "names no commit"),
        ("git:main:", "names no path"),
        ("git:--output=x:a.onnx", "no name of a commit"),
        ("git:-h:a.onnx", "no name of a commit"),
        ("git::a.onnx", "names no commit"),
    ],
)
def test_what_is_no_reference(text: str, what: str) -> None:
    with pytest.raises(RunError, match=what):
        parse(text)


@pytest.mark.parametrize(
    ("ref", "path", "kind", "what"),
    [
        ("nowhere", "a.onnx", RunError, "no commit 'nowhere'"),
        ("main", "nowhere.onnx", NotInCommitError, "has no file"),
        ("main", "mo dels", RunError, "a folder"),
        ("main", "mo dels/", RunError, "a folder"),
        ("main", "link.onnx", RunError, "symbolic link"),
        ("main", "*.onnx", NotInCommitError, "has no file"),
        ("main", "/etc/passwd", RunError, "leaves the repository"),
        ("main:x", "y", RunError, "no commit"),
        ("$(touch owned)", "a.onnx", RunError, "no commit"),
    ],
)
def test_what_cannot_be_had(
    repository: Path, ref: str, path: str, kind: type[EdgekdError], what: str
) -> None:
    with pytest.raises(kind, match=what) as caught, fetched(GitRef(ref, path)):
        pass
    assert caught.value.hint
    assert not (repository / "owned").exists()


def test_the_branch_of_a_remote_is_suggested(repository: Path) -> None:
    git(repository, "update-ref", "refs/remotes/origin/trunk", "main")
    with pytest.raises(RunError) as caught, fetched(GitRef("trunk", ODD)):
        pass
    assert caught.value.hint == "Did you mean git:origin/trunk?"


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(RunError, match="not in a git repository"), fetched(GitRef("main", "a")):
        pass


def fake_lfs(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a `git lfs` in the place of the real one, which need not be installed."""
    script = folder / "bin" / "git-lfs"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport os, sys\ngiven = sys.stdin.buffer.read()\n{body}"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_pointer_is_followed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    fake_lfs(
        tmp_path,
        "assert sys.argv[1:] == ['smudge', '--', 'pointer.onnx'], sys.argv\n"
        "assert given.startswith(b'version https://git-lfs') and b'oid sha256:' in given\n"
        "assert 'GIT_LFS_SKIP_SMUDGE' not in os.environ\n"
        "sys.stdout.buffer.write(b'the file')\n",
        monkeypatch,
    )
    with fetched(GitRef("main", "pointer.onnx")) as path:
        assert path.read_bytes() == b"the file"


@pytest.mark.parametrize("body", ["sys.exit('no such object')", "sys.stdout.buffer.write(given)"])
def test_a_pointer_without_its_file(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    fake_lfs(tmp_path, body, monkeypatch)
    with pytest.raises(ModelFileError, match="Git LFS pointer") as caught:
        with fetched(GitRef("main", "pointer.onnx")):
            pass
    assert "git lfs fetch" in str(caught.value.hint)
