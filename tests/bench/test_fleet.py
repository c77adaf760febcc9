"""Several devices, and devices that vanish."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgekd.bench import measure as measuring
from edgekd.bench.chunks import Samples
from edgekd.bench.options import Options
from edgekd.bench.settings import Settings
from edgekd.bench.stage import benchmark
from edgekd.errors import MeasurementError, MissingDeviceError, TransportError
from edgekd.records import Measurement
from edgekd.rundir import Run, read_record
from tests.bench import boards, files
from tests.bench.boards import STATE, gone_at


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    boards.reset()
    yield
    boards.reset()


def profile(folder: Path, name: str, transport: str = "Board", more: str = "") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(
        f'transport = "tests.bench.boards:{transport}"\n'
        f'runtimes = ["litert", "onnxruntime", "torch"]\n{more}'
    )
    return path


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return profile(tmp_path, "board")


def small_pieces(monkeypatch: pytest.MonkeyPatch, samples: int, in_group: int) -> None:
    """Cut the digits, 64 floats a sample, into small pieces and groups."""
    size = 64 * 4 * samples
    make = Samples

    def cut(*given: object) -> Samples:
        return make(*given, piece_bytes=size, group_bytes=size * in_group)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "Samples", cut)


@pytest.mark.parametrize(
    ("event", "number"),
    [("put", 1), ("run", 1), ("ran", 1), ("get", 1)],
    ids=["before-anything", "run", "reply-lost", "answers-lost"],
)
def test_a_device_that_comes_back_is_measured(
    run: Run, board: Path, fast: Settings, event: str, number: int
) -> None:
    STATE.fault, STATE.real = gone_at(event, number), event == "get"
    said: list[str] = []
    path = run.artifacts()[0].path
    (found,) = benchmark(path, devices=[board], settings=fast, say=said.append)
    assert found.status == "ok" and found.error is None
    assert found.accuracy is not None and found.latency is not None
    assert STATE.counts["connect"] == 2
    assert all(one.closed for one in STATE.made)
    assert "board: onnx-fp32: the board went away; trying once more" in said
    assert not (run.measurements_dir / measuring.PARTIAL).exists()


def test_one_that_stays_away_costs_its_own_files_alone(
    run: Run, tmp_path: Path, board: Path, fast: Settings
) -> None:
    """The first file is measured, the second one was lost twice, the third was never tried."""
    good = files.add(tmp_path / "add.tflite")
    second, third = files.linear_onnx(tmp_path / "b.onnx"), files.linear_onnx(tmp_path / "c.onnx")
    STATE.fault = gone_at("run", 2, 3)
    out = tmp_path / "out"
    found = benchmark(good, second, third, devices=[board, "cpu"], settings=fast, out=out)
    assert [(m.device, m.status) for m in found] == [
        ("board", "ok"),
        ("board", "failed"),
        ("board", "failed"),
        ("cpu", "ok"),
        ("cpu", "ok"),
        ("cpu", "ok"),
    ]
    assert str(found[1].error).startswith("the board went away")
    assert found[2].error == "not tried: the device 'board' is gone"
    assert sorted(p.name for p in out.glob("board*")) == [
        "board--add.tflite.json",
        "board--b.onnx.json",
    ]
    assert STATE.counts["connect"] == 2


def test_a_device_that_cannot_be_reached_again(tmp_path: Path, board: Path, fast: Settings) -> None:
    def fault(one: boards.Board, name: str, number: int) -> None:
        gone_at("run", 1)(one, name, number)
        if name == "connect" and number > 1:
            raise TransportError("its host key has changed")

    STATE.fault = fault
    good = files.add(tmp_path / "add.tflite")
    other = files.linear_onnx(tmp_path / "b.onnx")
    found = benchmark(good, other, devices=[board], settings=fast)
    assert [m.status for m in found] == ["failed", "failed"]
    assert "the second try: its host key has changed" in str(found[0].error)
    assert found[1].error == "not tried: the device 'board' is gone"


def test_answers_that_came_back_are_not_asked_for_again(
    run: Run, board: Path, fast: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces of 80, 2 in a group: the device vanishes in the third group."""
    small_pieces(monkeypatch, 80, 2)
    path = run.artifacts()[0].path
    (whole,) = benchmark(path, devices=[board], settings=fast)
    boards.reset()
    total = whole.samples
    assert total is not None and total > 400
    STATE.fault = gone_at("run", 3, 4)
    (lost,) = benchmark(path, devices=[board], settings=fast)
    assert lost.status == "failed" and lost.accuracy is None
    assert lost.latency is not None and lost.memory is not None  # that much was measured
    partial = run.measurements_dir / measuring.PARTIAL
    assert len(list(partial.rglob("*.npz"))) == 4
    assert [m.status for m in run.measurements() if m.device == "board"] == ["failed"]
    boards.reset()
    said: list[str] = []
    (found,) = benchmark(path, devices=[board], settings=fast, say=said.append)
    assert (found.accuracy, found.agreement, found.samples) == (
        whole.accuracy,
        whole.agreement,
        total,
    )
    assert any(f"320 of {total} samples are answered" in line for line in said)
    pieces = -(-total // 80)
    assert STATE.counts["run"] == -(-(pieces - 4) // 2)
    assert STATE.counts["get"] == pieces - 4
    assert not partial.exists()


def test_answers_of_another_runtime_are_not_mixed_in(
    run: Run, board: Path, fast: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch, 80, 2)
    path = run.artifacts()[0].path
    STATE.fault = gone_at("run", 3, 4)
    benchmark(path, devices=[board], settings=fast)
    (identity,) = (run.measurements_dir / measuring.PARTIAL).rglob("runtime.json")
    identity.write_text('{"runtime": "onnxruntime", "version": "0.1"}')
    boards.reset()
    (found,) = benchmark(path, devices=[board], settings=fast)
    assert found.samples is not None
    assert STATE.counts["get"] == -(-found.samples // 80)  # all, those of before among them


def test_the_device_holds_one_group_at_a_time(
    run: Run, board: Path, fast: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run.artifacts()[0].path
    options = Options(mode="accuracy")
    small_pieces(monkeypatch, 80, 2)
    (found,) = benchmark(path, devices=[board], settings=fast, options=options)
    cut = STATE.largest
    boards.reset()
    small_pieces(monkeypatch, 10_000, 1)
    benchmark(path, devices=[board], settings=fast, options=options)
    assert found.samples is not None
    # What differs are the samples that did not lie there at the same time.
    assert STATE.largest - cut > (found.samples - 2 * 80) * 64 * 4 * 0.9


def test_modes(run: Run, fast: Settings) -> None:
    path = run.artifacts()[0].path
    (timed,) = benchmark(path, settings=fast, options=Options(mode="latency"))
    assert timed.latency is not None and timed.accuracy is None
    assert timed.unknown["accuracy"] == "not asked for: --mode latency"
    (scored,) = benchmark(path, settings=fast, options=Options(mode="accuracy", samples=20))
    assert scored.latency is None and scored.samples == 20
    assert scored.unknown["latency"] == "not asked for: --mode accuracy"
    assert scored.accuracy is not None and (scored.accuracy * 20).is_integer()
    assert scored.test_samples is not None and scored.test_samples > 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "accuracy", "seconds": 3.0, "soak": 1.0}, "--seconds, --soak: nothing is timed"),
        ({"mode": "latency", "samples": 3}, "--samples"),
        ({"batch": 4}, "--batch"),
        ({"seconds": -1.0}, "--seconds"),
        ({"seconds": float("nan")}, "--seconds"),
    ],
)
def test_options_that_contradict_themselves(given: dict, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        Options(**given)


def test_durations_of_the_user() -> None:
    base = Settings(min_seconds=1.0, max_seconds=30.0, timeout=900.0)
    assert Options().settings(base) == base
    longer = Options(seconds=60.0, runs=500, soak=120.0).settings(base)
    assert (longer.min_seconds, longer.min_runs, longer.max_seconds) == (60.0, 500, 180.0)
    assert longer.timeout == 900 + 150 + 120


def test_an_address_is_of_one_device(tmp_path: Path, board: Path) -> None:
    good = files.add(tmp_path / "add.tflite")
    options = Options(address="pi@board")
    with pytest.raises(MeasurementError, match="there are 2"):
        benchmark(good, devices=["cpu", board], options=options)
    with pytest.raises(MeasurementError, match="cpu is reached by local"):
        benchmark(good, devices=["cpu"], options=options)


def test_the_address_and_the_patience_reach_the_transport(
    tmp_path: Path, board: Path, fast: Settings
) -> None:
    good = files.add(tmp_path / "add.tflite")
    options = Options(address="pi@board:2222", wait=7.0)
    benchmark(good, devices=[board], settings=fast, options=options)
    (made,) = STATE.made
    assert (made.reach.address, made.wait) == ("pi@board:2222", 7.0)
    assert made.closed and not Path(made.folder).exists()


def test_an_unreachable_device(tmp_path: Path, fast: Settings) -> None:
    """Alone it is the command's error; beside others it is their neighbour's rows."""
    good, other = files.add(tmp_path / "add.tflite"), files.linear_onnx(tmp_path / "b.onnx")
    off = profile(tmp_path, "off", "unreachable")
    with pytest.raises(MissingDeviceError, match="no route to host") as caught:
        benchmark(good, other, devices=[off], settings=fast)
    assert caught.value.exit_code == 3
    with pytest.raises(TransportError, match="host key"):
        benchmark(good, other, devices=[profile(tmp_path, "shut", "refusing")], settings=fast)
    out = tmp_path / "out"
    found = benchmark(good, devices=[off, "cpu"], settings=fast, out=out)
    assert [(m.device, m.status) for m in found] == [("off", "failed"), ("cpu", "ok")]
    assert [p.name for p in out.iterdir()] == ["cpu--add.tflite.json"]


def test_this_machine_first_then_all_others_side_by_side(tmp_path: Path, fast: Settings) -> None:
    """Two boards wait for each other in their first command: neither is left waiting."""
    meeting = threading.Barrier(2, timeout=20)
    events: list[str] = []

    def fault(one: boards.Board, name: str, number: int) -> None:
        if name == "run":
            events.append("board")
            meeting.wait()

    STATE.fault = fault
    good = files.add(tmp_path / "add.tflite")
    names = [profile(tmp_path, "one"), profile(tmp_path, "two")]
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)

    def measured(found: Measurement) -> None:
        events.append(found.device)

    found = benchmark(
        good, devices=[names[0], "cpu", names[1]], settings=fast, say=say, measured=measured
    )
    assert [m.device for m in found] == ["one", "cpu", "two"]
    assert {m.status for m in found} == {"ok"}
    assert events[0] == "cpu"
    assert all(line.split(": ")[0] in ("one", "cpu", "two") for line in said)
    assert not meeting.broken


def test_one_device_never_runs_two_measurements_at_once(tmp_path: Path, fast: Settings) -> None:
    made = [files.linear_onnx(tmp_path / f"{name}.onnx") for name in "abc"]
    one = profile(tmp_path, "one")
    found = benchmark(*made, devices=[one, one], settings=fast)
    assert len(found) == 3
    spans = sorted((began, ended) for _, began, ended in STATE.runs)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))


@pytest.mark.parametrize("devices", [("one",), ("one", "two")])
def test_ctrl_c_leaves_nothing_behind(
    run: Run, tmp_path: Path, fast: Settings, devices: tuple[str, ...]
) -> None:
    """The file that was measured is kept; the one at hand is no failure."""
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        # Not while Python starts a process: what is interrupted there is lost to everybody.
        for _ in devices:
            STATE.hanging.acquire(timeout=15)
        time.sleep(0.5)
        signal.pthread_kill(main, signal.SIGINT)

    def fault(one: boards.Board, name: str, number: int) -> None:
        if name == "run" and number == len(devices):
            threading.Thread(target=interrupt).start()

    STATE.fault, STATE.hang = fault, True
    got: list[Measurement] = []
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        benchmark(
            run.artifacts()[0].path,
            devices=["cpu", *(profile(tmp_path, name) for name in devices)],
            settings=fast,
            measured=got.append,
        )
    assert time.monotonic() - began < 20
    assert [m.device for m in got] == ["cpu"]
    written = [p.name for p in run.measurements_dir.glob("*.json")]
    assert written == ["cpu--onnx-fp32.json"]
    assert all(one.closed and not Path(one.folder).exists() for one in STATE.made)


def test_devices_are_held_against_each_other(run: Run, board: Path, fast: Settings) -> None:
    STATE.real = True
    path = run.artifacts()[0].path
    here, there = benchmark(path, devices=["cpu", board], settings=fast)
    assert here.compared == ()
    (compared,) = there.compared
    assert compared.device == "cpu" and compared.same_runtime
    assert compared.samples == here.samples == compared.identical == compared.same_class
    assert compared.max_difference == 0.0
    stored = read_record(run.measurements_dir / "board--onnx-fp32.json", Measurement)
    assert stored.compared == there.compared
    assert np.isclose(here.accuracy or 0, there.accuracy or 1)


def test_bare_files_are_held_against_each_other_by_their_hash(
    tmp_path: Path, board: Path, fast: Settings
) -> None:
    STATE.real = True
    good = files.add(tmp_path / "add.tflite")
    _, there = benchmark(good, devices=["cpu", board], settings=fast)
    (compared,) = there.compared
    assert (compared.samples, compared.identical, compared.same_class) == (1, 1, None)
