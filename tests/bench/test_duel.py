"""Two files that take turns: what is asked, what happens on the device, what is recorded."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.bench import duel_agent
from edgekd.bench.devices import Device
from edgekd.bench.duel import DuelSettings, duel, duel_over
from edgekd.errors import (
    MeasurementError,
    MissingRuntimeError,
    ModelFileError,
    TransportError,
)
from edgekd.records_gate import Duel
from edgekd.rundir import sha256_file
from edgekd.statistics import gate
from edgekd.transports.base import Completed
from edgekd.transports.fake import FakeTransport
from edgekd.transports.local import LocalTransport
from edgekd.transports.processes import run_process
from edgekd.transports.reach import Reach
from tests.bench import files

CPU = Device(name="here", runtimes=("litert", "onnxruntime"))
BRIEF = DuelSettings(
    pairs=40,
    max_pairs=40,
    min_pairs=20,
    look=40,
    round=20,
    turn_ms=0.02,
    warmup_seconds=0.01,
    timeout=60.0,
)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return files.linear_onnx(tmp_path / "ours.onnx"), files.linear_onnx(
        tmp_path / "theirs.onnx", opset=18
    )


@pytest.fixture
def here() -> Iterator[LocalTransport]:
    with contextlib.closing(LocalTransport()) as transport:
        yield transport


def reply(one: Path, other: Path, **changes: Any) -> dict[str, Any]:
    told = {"runtime": "onnxruntime", "version": "1.31.1"}
    found = {
        "schema": duel_agent.SCHEMA,
        "mode": "one-process",
        "ours": {**told, "sha256": sha256_file(one)},
        "theirs": {**told, "sha256": sha256_file(other)},
        "raw_ns": {"ours": [4_000_000, 2_200_000, 9_000_000], "theirs": [2_000_000] * 3},
        "ours_first": [True, False, True],
        "repeats": 2,
        "settling": 1,
        "loads": 1,
        "seconds": 0.1,
        "cores": [1],
    }
    return {**found, **changes}


def answering(found: dict[str, Any], stderr: str = "", code: int = 0) -> FakeTransport:
    text = "" if not found else "a runtime's own words\n" + json.dumps(found)
    return FakeTransport(lambda argv, held: Completed(code, text, stderr))


def test_the_record(two: tuple[Path, Path]) -> None:
    found = duel_over(answering(reply(*two)), *two, device=CPU, names=("new", "old"))
    assert found.ratios == (2.0, 1.1, 4.5) and found.pairs == 3
    assert found.interval.median == 2.0 and found.interval.level == 0.95
    # Two inferences a turn.
    assert found.ours.raw_ms == (2.0, 1.1, 4.5) and found.ours.median_ms == 2.0
    assert found.theirs.median_ms == 1.0 and found.theirs.name == "old"
    # Pairs that ours began: 2.0 and 4.5; the other one 1.1.
    assert found.order_effect == pytest.approx(3.25 / 1.1, abs=1e-6)
    assert not found.repeated and found.warnings == ()
    assert Duel.model_validate_json(found.to_json()) == found


def test_the_request(two: tuple[Path, Path]) -> None:
    device = Device(name="far", runtimes=("onnxruntime",), threads=2, affinity=(3, 2), cooldown=1.5)
    transport = answering(reply(*two))
    settings = DuelSettings(tolerance=0.08, seed=7)
    duel_over(transport, *two, device=device, settings=settings, inputs=(two[0], None))
    asked = json.loads(next(v for k, v in transport.files.items() if k.endswith("duel.json")))
    for side, path in zip(duel_agent.SIDES, two, strict=True):
        assert transport.files[asked[side]["model"]] == path.read_bytes()
    assert asked["ours"]["inputs"] is not None and asked["theirs"]["inputs"] is None
    assert asked["mode"] == "one-process" and asked["threads"] == 2 and asked["cores"] == [3, 2]
    assert asked["cooldown"] == 1.5 and asked["seed"] == 7
    assert asked["limits"]["wide"] == 0.04 and asked["limits"]["tight"] == 0.02
    for name in ("agent", "gate", "sensors"):
        assert asked[name] in transport.files
    assert transport.commands[0][0] == transport.python


@pytest.mark.parametrize("other", ["format", "python"])
def test_different_runtimes_have_processes_of_their_own(
    two: tuple[Path, Path], tmp_path: Path, other: str
) -> None:
    ours, theirs = two
    settings = DuelSettings()
    if other == "format":
        theirs = files.add(tmp_path / "add.tflite")
    else:
        settings = replace(settings, their_python="/opt/old/bin/python")
    told = {"runtime": "onnxruntime", "version": "1.20.0", "sha256": sha256_file(theirs)}
    answer = reply(ours, theirs, theirs=told, mode="alternating-processes")
    transport = answering(answer)
    found = duel_over(transport, ours, theirs, device=CPU, settings=settings)
    asked = json.loads(next(v for k, v in transport.files.items() if k.endswith("duel.json")))
    assert asked["mode"] == "alternating-processes"
    assert asked["theirs"]["python"] == settings.their_python
    assert found.mode == "alternating-processes"
    assert (found.ours.version, found.theirs.version) == ("1.31.1", "1.20.0")


def test_an_emulated_device(two: tuple[Path, Path]) -> None:
    device = CPU.model_copy(update={"emulated": True})
    with pytest.raises(MeasurementError, match="emulated"):
        duel_over(FakeTransport(), *two, device=device)


def test_another_file_was_run(two: tuple[Path, Path]) -> None:
    told = {"runtime": "onnxruntime", "version": "1", "sha256": "0" * 64}
    with pytest.raises(TransportError, match=r"theirs\.onnx: the device ran another file"):
        duel_over(answering(reply(*two, theirs=told)), *two, device=CPU)


@pytest.mark.parametrize(
    "change",
    [
        {"raw_ns": {"ours": [1, 2], "theirs": [1]}},
        {"raw_ns": {"ours": [0, 1, 1], "theirs": [1, 1, 1]}},
        {"mode": "by turns"},
        {"ours_first": [True]},
        {"repeats": 0},
    ],
)
def test_an_answer_that_is_none(two: tuple[Path, Path], change: dict[str, Any]) -> None:
    with pytest.raises(MeasurementError, match=r"none of edgekd\.duel/1"):
        duel_over(answering(reply(*two, **change)), *two, device=CPU)


def refused(stage: str, side: str) -> FakeTransport:
    found = {"schema": duel_agent.SCHEMA, "error": "ValueError: no", "stage": stage, "side": side}
    return answering(found, f"{duel_agent.SIDE_MARK}{side}\n", 3)


def test_what_fails_is_blamed_on_the_file_that_it_failed_with(two: tuple[Path, Path]) -> None:
    with pytest.raises(ModelFileError, match=r"theirs\.onnx \(the baseline\): loading the file"):
        duel_over(refused("load", "theirs"), *two, device=CPU)
    with pytest.raises(MissingRuntimeError, match=r"ours\.onnx: importing the runtime"):
        duel_over(refused("import", "ours"), *two, device=CPU)
    with pytest.raises(MeasurementError, match=r"ours\.onnx, .*theirs\.onnx: running it failed"):
        duel_over(refused("invoke", "both"), *two, device=CPU)


def test_a_process_that_is_killed(two: tuple[Path, Path]) -> None:
    stderr = "edgekd.side: ours\nedgekd.stage: load\nedgekd.side: theirs\nedgekd.stage: invoke\n"
    with pytest.raises(MeasurementError, match=r"baseline.*killed by SIGSEGV while running it"):
        duel_over(answering({}, stderr, -11), *two, device=CPU)


# On the device: real processes.


@pytest.mark.parametrize("mode", ["one-process", "alternating-processes"])
def test_two_onnx_files_take_turns(two: tuple[Path, Path], mode: Any) -> None:
    settings = replace(BRIEF, mode=mode)
    found = duel(*two, device=CPU, reach=Reach(), settings=settings, repeated=True)
    assert found.mode == mode and found.repeated
    assert found.pairs == len(found.ratios) == len(found.ours.raw_ms) == 40
    assert sum(found.ours_first) == 20 and len(set(found.ours_first[:20])) == 2
    assert found.repeats > 1 and found.settling == 1  # a turn takes 0.02 ms at least
    assert found.ours.sha256 == sha256_file(two[0]) != found.theirs.sha256
    assert found.ours.runtime == found.theirs.runtime == "onnxruntime"
    again = gate.interval(np.asarray(found.ours.raw_ms) / np.asarray(found.theirs.raw_ms))
    assert again.low == pytest.approx(found.interval.low, rel=1e-3)
    assert found.environment["before"]["cores"] == os.cpu_count()


def test_two_formats(two: tuple[Path, Path], tmp_path: Path) -> None:
    tflite = files.add(tmp_path / "add.tflite")
    found = duel(two[0], tflite, device=CPU, reach=Reach(), settings=BRIEF)
    assert found.mode == "alternating-processes" and found.pairs == 40
    assert (found.ours.runtime, found.theirs.runtime) == ("onnxruntime", "litert")


class Far:
    """A transport that copies everything to a folder of its own, where nothing of edgekd is."""

    python = sys.executable

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = str(folder)
        self._count = 0

    def put(self, source: Path) -> str:
        self._count += 1
        target = Path(self.folder, str(self._count), source.name)
        target.parent.mkdir()
        return str(shutil.copyfile(source, target))

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        isolated = [argv[0], "-I", *argv[1:]]
        return run_process(isolated, timeout=timeout, environment={"PATH": os.environ["PATH"]})

    def get(self, remote: str, target: Path) -> None:
        raise AssertionError("nothing is fetched")

    def facts(self) -> dict[str, str]:
        return {"transport": "far"}

    def close(self) -> None:
        shutil.rmtree(self.folder)


def test_all_that_is_needed_travels(two: tuple[Path, Path], tmp_path: Path) -> None:
    found = duel_over(Far(tmp_path / "far"), *two, device=CPU, settings=BRIEF)
    assert found.pairs == 40 and found.warnings == ()


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for an interpreter")
def test_another_version_of_the_runtime(tmp_path: Path) -> None:
    """An interpreter that says its LiteRT is 9.9.9."""
    info = tmp_path / "elsewhere" / "ai_edge_litert-9.9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ai-edge-litert\nVersion: 9.9.9\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{info.parent}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    path = files.add(tmp_path / "add.tflite")
    settings = replace(BRIEF, their_python=str(python))
    found = duel(path, path, device=CPU, reach=Reach(), settings=settings)
    assert found.mode == "alternating-processes"
    assert found.theirs.version == "9.9.9" and found.ours.version != "9.9.9"


@pytest.mark.parametrize("mode", ["one-process", "alternating-processes"])
def test_the_baseline_kills_its_process(here: LocalTransport, tmp_path: Path, mode: Any) -> None:
    good, bad = files.add(tmp_path / "add.tflite"), files.killer(tmp_path / "killer.tflite")
    with pytest.raises(MeasurementError, match=r"killer\.tflite \(the baseline\).*SIGSEGV"):
        duel_over(here, good, bad, device=CPU, settings=replace(BRIEF, mode=mode))


@pytest.mark.parametrize("mode", ["one-process", "alternating-processes"])
def test_a_file_that_fails(
    here: LocalTransport, two: tuple[Path, Path], tmp_path: Path, mode: Any
) -> None:
    bad = files.unknown_operator_onnx(tmp_path / "teleport.onnx")
    with pytest.raises(ModelFileError, match=r"^[^(]*teleport\.onnx: loading the file failed"):
        duel_over(here, bad, two[1], device=CPU, settings=replace(BRIEF, mode=mode))


# The order of the turns and the end, without a clock.


class Scripted:
    """A side whose turns take what a function says."""

    def __init__(self, name: str, takes: Callable[[], float], log: list[str]) -> None:
        self.name, self._takes, self._log = name, takes, log

    def load(self) -> float:
        self._log.append(f"load {self.name}")
        return 0.0

    def drop(self) -> None:
        self._log.append(f"drop {self.name}")

    def warm_up(self, runs: int, seconds: float) -> float:
        return 0.001

    def turn(self, repeats: int, settling: int) -> int:
        self._log.append(self.name)
        return round(self._takes() * 1e6)


LIMITS = {
    "pairs": 300,
    "max_pairs": 900,
    "min_pairs": 60,
    "look": 100,
    "round": 20,
    "block": 10,
    "tight": 0.0075,
    "wide": 0.015,
    "turn_ms": 0.5,
    "max_seconds": 60.0,
    "warmup_runs": 1,
    "warmup_seconds": 0.0,
}


def fought(ours: Callable[[], float], **changes: Any) -> tuple[dict[str, Any], list[str]]:
    log: list[str] = []
    sides = {"ours": Scripted("ours", ours, log), "theirs": Scripted("theirs", lambda: 1.0, log)}
    return duel_agent.fight(sides, {**LIMITS, **changes}, gate, seed=1), log


def noisy(spread: float, factor: float = 1.0) -> Callable[[], float]:
    generator = np.random.default_rng(4)
    return lambda: factor * float(np.exp(spread * generator.standard_normal()))


@pytest.mark.parametrize("factor", [1.0, 1.5])
@pytest.mark.parametrize(
    ("spread", "pairs"),
    [(0.001, 100), (0.05, 300), (1.0, 900)],  # narrow at once; narrow enough; never
)
def test_the_width_ends_it_and_not_the_ratio(spread: float, pairs: int, factor: float) -> None:
    # As widths grow with the ratio, theirs is scaled with ours: the question is who decides.
    found, _ = fought(noisy(spread, factor), tight=0.0075 * factor, wide=0.015 * factor)
    assert len(found["raw_ns"]["ours"]) == len(found["ours_first"]) == pairs


def test_time_ends_it_at_the_least_number_of_pairs() -> None:
    found, _ = fought(noisy(1.0), max_seconds=0.0)
    assert len(found["ours_first"]) == 60


def test_places_and_order_change() -> None:
    found, log = fought(noisy(0.05))
    loads = [entry for entry in log if entry.startswith("load")]
    assert found["loads"] == 15 and loads[:4] == [
        "load ours",
        "load theirs",
        "load theirs",
        "load ours",
    ]
    first = found["ours_first"]
    assert all(sum(first[start : start + 20]) == 10 for start in range(0, 300, 20))
    assert first[:20] != first[20:40]
    turns = [entry for entry in log if entry in duel_agent.SIDES]
    assert [turns[2 * i] == "ours" for i in range(300)] == first
    assert log.index("drop theirs") < log.index("load ours")  # the old ones go first


def test_a_file_that_loads_slowly_is_loaded_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "load", lambda self: 1000.0)
    found, _ = fought(noisy(0.05))
    assert found["loads"] == 1


def test_it_runs_on_a_device() -> None:
    source = Path(duel_agent.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {str(name).split(".")[0] for name in names | froms}
    assert tops <= {*sys.stdlib_module_names, "numpy"}


def test_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    arguments: Sequence[str] = []
    assert duel_agent.main(arguments) == 2
    assert "usage" in capsys.readouterr().err
