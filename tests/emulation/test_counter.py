"""The counter of instructions: what it writes, how it is read, how it comes into a box."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.bench import agent
from edgekd.bench.devices import load_device
from edgekd.bench.remarks import remarks
from edgekd.bench.reply import Reply
from edgekd.bench.settings import Settings
from edgekd.emulation import counter
from edgekd.errors import MeasurementError, MissingDeviceError
from tests.bench.replies import good

Harness = Callable[..., list[str]]

#: What ldd says of Debian 12's qemu-aarch64, shortened.
LDD = """\
\tlinux-vdso.so.1 (0x00007f0357192000)
\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f0357162000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0355e1e000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f0357194000)
"""


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The plugin, compiled for this machine with something that plays QEMU."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc here")
    folder = tmp_path_factory.mktemp("counter")
    program = folder / "harness"
    sources = [counter.SOURCE, Path(__file__).with_name("harness.c")]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1"]
    subprocess.run([compiler, *flags, "-o", program, *sources], check=True)

    def run(*commands: str, file: Path | None = folder / "counts") -> list[str]:
        words = [word for command in commands for word in command.split()]
        environment = {**os.environ, "EDGEKD_COUNTER": str(file)}
        if file is None:
            del environment["EDGEKD_COUNTER"]
        done = subprocess.run(
            [program, *words], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    return run


def test_blocks_add_up_by_thread_and_in_all(harness: Harness) -> None:
    said = harness("run 5", "run 2", "mark", "in 1", "run 100", "mark", "in 0", "run 1 mark show")
    assert said == [
        "file:",
        "edgekd-counter 1 a QEMU",
        "7 7 1",
        "107 100 2",
        "108 8 2",
        "no file",
    ]


def test_only_the_mark_writes(harness: Harness) -> None:
    assert harness("run 5", "pgid 0", "pgid -1", "pgid 718281828", "call 154", "show") == [
        "no file",
        "no file",
    ]


def test_a_mark_whose_upper_half_is_not_extended_is_one(harness: Harness) -> None:
    low = (-agent.MARK) & 0xFFFFFFFF
    assert harness("run 5", f"pgid {low}", "show")[2] == "5 5 1"


def test_a_child_neither_writes_nor_removes(harness: Harness) -> None:
    said = harness("run 5", "mark", "fork", "run 1", "mark", "show")
    assert said[2:] == ["5 5 1", "6 6 1", "no file"]


def test_no_file_is_made_where_none_is_named_or_it_cannot_be(
    harness: Harness, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("somebody's")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    harness("run 5", "mark", file=tmp_path / "no" / "folder")
    harness("run 5", "mark", file=tmp_path / "link")
    assert (tmp_path / "kept").read_text() == "somebody's"


def test_the_agent_counts_what_the_counter_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose marks cost 6,000, whose inference costs 1,000,000; others do 10 meanwhile."""
    file = tmp_path / "counts"
    file.write_text("edgekd-counter 1 a QEMU 1.2\n")
    counts = {"total": 12345, "own": 777}

    def getpgid(number: int) -> int:
        assert number == -agent.MARK
        with file.open("a") as lines:
            lines.write(f"{counts['total']} {counts['own']} 2\n")
        spend(6000)
        raise ProcessLookupError

    def spend(instructions: int, others: int = 0) -> None:
        counts["own"] += instructions
        counts["total"] += instructions + others

    monkeypatch.setenv("EDGEKD_COUNTER", str(file))
    monkeypatch.setenv("QEMU_CPU", "cortex-a76")
    monkeypatch.setattr(agent.os, "getpgid", getpgid)
    found = agent.instructions(lambda: spend(1_000_000, 10), 3, 1)
    assert found == {
        "raw": [1_000_000] * 3,
        "others": [10] * 3,
        "mark": 6000,
        "cpu": "cortex-a76",
        "counter": "a QEMU 1.2",
    }
    file.write_text("edgekd-counter 1 a QEMU 1.2\n")
    assert agent.instructions(lambda: spend(1_000_000, 10), 3, 4)["raw"] == [1_000_010] * 3


def test_the_first_marks_are_dearer_and_do_not_count() -> None:
    costs = [9000, 8000, 7000, *[6000] * (agent.COUNTED_MARKS - 4)]
    totals = [sum(costs[:i]) for i in range(agent.COUNTED_MARKS)]
    end = totals[-1] + 6000
    lines = [f"{n} {n} 1" for n in [*totals, end, end + 6500]]
    assert agent.read_counts(lines, 1, 1) == {"raw": [500], "others": [0], "mark": 6000}


@pytest.mark.parametrize("wrong", ["", "1", "1 x 1", "-", "1.5 2 1"])
def test_a_damaged_file_counts_nothing(wrong: str) -> None:
    good = ["1 1 1"] * (agent.COUNTED_MARKS + 2)
    assert agent.read_counts(good, 1, 1) is not None
    assert agent.read_counts([*good[:-1], wrong], 1, 1) is None
    assert agent.read_counts(good[:-1], 1, 1) is None
    assert agent.read_counts([*good, "1 1 1"], 1, 1) is None


@pytest.mark.parametrize("content", [None, "", "something else\n"])
def test_where_nothing_counts_the_agent_says_so(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEKD_COUNTER", raising=False)
    if content is not None:
        (tmp_path / "counts").write_text(content)
        monkeypatch.setenv("EDGEKD_COUNTER", str(tmp_path / "counts"))
    found = agent.instructions(lambda: None, 2, 1)
    assert set(found) == {"missing"}
    assert "EDGEKD_COUNTER" in found["missing"]


@pytest.mark.parametrize(
    ("threads", "others", "remark"),
    [
        (1, [0, 0, 900], None),
        (1, [40, 50, 60], "other threads executed 5% more"),
        (2, [40, 50, 60], "instructions of 2 threads include their waiting"),
    ],
)
def test_a_count_that_other_threads_have_part_in_is_remarked_on(
    threads: int, others: list[int], remark: str | None
) -> None:
    counted = {"raw": [1000, 1000, 1001], "others": others, "cpu": "cortex-a76", "counter": "q"}
    told = Reply.model_validate(good(machine="aarch64", latency=None, instructions=counted))
    found = remarks(told, load_device("pi5-emulated"), Settings(), threads)
    assert (found == []) if remark is None else (len(found) == 1 and remark in found[0])


def test_the_script_hands_every_argument_on(tmp_path: Path) -> None:
    folder, temporary = tmp_path / "opt", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    loader = folder / "ld.so"
    loader.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$EDGEKD_COUNTER" "$PYTHONHASHSEED" "[$LD_PRELOAD]" "$@"\n'
    )
    loader.chmod(0o755)
    script = folder / "counted"
    script.write_text(counter.script(str(folder), "7.2.22", ["/usr/bin/py thon", "-I"]))
    odd = ["a b", "'; echo no", '"$HOME"', "*"]
    done = subprocess.run(
        ["/bin/sh", script, *odd],
        env={"TMPDIR": str(temporary), "LD_PRELOAD": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    counts, seed, preload, *arguments = done.stdout.splitlines()
    assert Path(counts).parent == temporary
    assert (seed, preload) == ("0", "[]")
    here = str(folder)
    assert arguments == [
        "--inhibit-cache",
        *("--library-path", here, f"{here}/qemu-aarch64"),
        *("-plugin", f"{here}/counter.so,name=qemu-user 7.2.22 by block"),
        *("/usr/bin/py thon", "-I"),
        *odd,
    ]


def test_the_script_finds_a_folder_that_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "ld.so").write_text('#!/bin/sh\necho "$EDGEKD_COUNTER"\n')
    (tmp_path / "ld.so").chmod(0o755)
    (tmp_path / "counted").write_text(counter.script(str(tmp_path), "9", []))
    done = subprocess.run(
        ["/bin/sh", tmp_path / "counted"],
        env={"TMPDIR": str(tmp_path / "absent")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("/tmp/edgekd-counter-")


def test_the_libraries_of_qemu() -> None:
    loader, found = counter.libraries(LDD)
    assert loader == Path("/lib64/ld-linux-x86-64.so.2")
    assert found == {
        "libz.so.1": Path("/lib/x86_64-linux-gnu/libz.so.1"),
        "libc.so.6": Path("/lib/x86_64-linux-gnu/libc.so.6"),
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("\tnot a dynamic executable\n", "no dynamic program"),
        ("\tstatically linked\n", "no dynamic program"),
        ("\tlibz.so.1 => not found\n", "lacks libz.so.1"),
    ],
)
def test_a_qemu_that_takes_no_plugins_is_refused(said: str, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        counter.libraries(said)


def test_a_qemu_without_a_version_is_refused() -> None:
    with pytest.raises(MeasurementError, match="does not tell its version"):
        counter.qemu_version("qemu")


def test_what_is_missing_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter.host, "find", lambda name: None if name == "gcc" else "/bin/true")
    with pytest.raises(MissingDeviceError, match="needs gcc") as caught:
        counter.install(tmp_path)
    assert caught.value.hint == "Install it: apt-get install gcc libc6-dev"
    assert not any(tmp_path.iterdir())


def test_a_plugin_that_does_not_compile_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if counter.host.find("gcc") is None or counter.host.find("qemu-aarch64") is None:
        pytest.skip("no gcc or no dynamic QEMU here")
    broken = tmp_path / "counter.c"
    broken.write_text("this is no C")
    monkeypatch.setattr(counter, "SOURCE", broken)
    with pytest.raises(MeasurementError, match="cannot make the counter of instructions"):
        counter.install(tmp_path / "root")
    assert list((tmp_path / "root" / "opt" / "edgekd").iterdir()) == []


def test_it_is_installed_once(tmp_path: Path) -> None:
    if counter.host.find("gcc") is None or counter.host.find("qemu-aarch64") is None:
        pytest.skip("no gcc or no dynamic QEMU here")
    first = counter.install(tmp_path)
    made = (tmp_path / first.lstrip("/")).stat()
    assert counter.install(tmp_path) == first
    assert (tmp_path / first.lstrip("/")).stat() == made
    folder = (tmp_path / first.lstrip("/")).parent
    assert {p.stat().st_mode & 0o777 for p in [folder, *folder.iterdir()]} == {0o755}
    assert counter.install(tmp_path, ["/other/python"]) != first
