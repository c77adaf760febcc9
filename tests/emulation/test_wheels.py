"""Packages for another machine, by the real pip from a folder of wheels."""

from __future__ import annotations

import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest

from edgekd.emulation import rootfs, wheels
from edgekd.emulation.spec import Emulation
from edgekd.errors import MeasurementError


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds wheels in, and no other place."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for tag in ("cp311-cp311-manylinux_2_28_aarch64", "cp311-cp311-manylinux_2_28_x86_64"):
        with zipfile.ZipFile(folder / f"tiny-1.5-{tag}.whl", "w") as wheel:
            wheel.writestr("tiny/__init__.py", f"TAG = {tag!r}\n")
            wheel.writestr("tiny-1.5.dist-info/METADATA", "Name: tiny\nVersion: 1.5\n")
            wheel.writestr("tiny-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\n")
            wheel.writestr("tiny-1.5.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_wheel_of_the_other_machine_is_unpacked(index: Path, tmp_path: Path) -> None:
    names = wheels.unpack(["tiny==1.5"], tmp_path / "site", python="3.11", glibc=(2, 36))
    assert names == ("tiny-1.5-cp311-cp311-manylinux_2_28_aarch64.whl",)
    assert "aarch64" in (tmp_path / "site/tiny/__init__.py").read_text()
    assert (tmp_path / "site/tiny-1.5.dist-info/METADATA").exists()


@pytest.mark.parametrize(
    ("package", "python", "glibc"),
    [("tiny==2.0", "3.11", (2, 36)), ("tiny", "3.11", (2, 27))],
)
def test_a_wheel_that_there_is_not(
    index: Path, tmp_path: Path, package: str, python: str, glibc: tuple[int, int]
) -> None:
    with pytest.raises(MeasurementError) as caught:
        wheels.unpack([package], tmp_path / "site", python=python, glibc=glibc)
    assert caught.value.message.startswith(
        f"there is no wheel of {package} for Python {python} on arm64"
    )
    assert not (tmp_path / "site").exists()


def test_a_bare_name_gets_the_version_that_is_installed_here() -> None:
    numpy = metadata.version("numpy")
    given = ["numpy", "numpy==1.26.4", "numpy>=1.26", "no-such-package-of-anybody"]
    assert wheels.pinned(given) == (f"numpy=={numpy}", *given[1:])


def test_a_root_is_known_by_what_is_in_it() -> None:
    one = rootfs.identity("bookworm", ("numpy==2.0",))
    assert one == rootfs.identity("bookworm", ("numpy==2.0",))
    assert (
        len({one, rootfs.identity("trixie", ("numpy==2.0",)), rootfs.identity("bookworm", ())}) == 3
    )


def test_a_root_that_is_there_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path))
    root = tmp_path / "roots" / rootfs.identity("bookworm", ("numpy==2.0",))
    root.mkdir(parents=True)
    spec = Emulation(kind="pi", cpu="cortex-a72", packages=("numpy==2.0",))
    assert rootfs.build(spec, say=pytest.fail) == root


def test_two_at_once_build_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path))
    monkeypatch.setattr(rootfs.host, "require", lambda: None)
    built: list[Path] = []
    both = threading.Barrier(2, timeout=20)

    def pretend(root: Path, *more: object) -> None:
        built.append(root)
        root.mkdir()

    monkeypatch.setattr(rootfs, "_build", pretend)
    spec = Emulation(kind="pi", cpu="cortex-a72", packages=("numpy==2.0",))

    def build(_: int) -> Path:
        both.wait()
        return rootfs.build(spec, say=print)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(build, range(2))
    assert built == [first] == [second]


def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_EMULATION", str(tmp_path))
    monkeypatch.setattr(rootfs.host, "require", lambda: None)
    name = rootfs.identity("bookworm", ("numpy==2.0",))
    stale = tmp_path / "roots" / f"{name}.part-99999999"
    stale.mkdir(parents=True)

    def extract(target: Path, **more: object) -> None:
        assert not stale.exists(), "an older attempt is swept away first"
        target.mkdir()
        (target / "half").write_text("x")
        raise KeyboardInterrupt

    monkeypatch.setattr(rootfs.debian, "extract", extract)
    spec = Emulation(kind="pi", cpu="cortex-a72", packages=("numpy==2.0",))
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        rootfs.build(spec, say=said.append)
    assert [path.name for path in (tmp_path / "roots").iterdir()] == [f"{name}.lock"]
    assert "numpy==2.0" in said[0]
