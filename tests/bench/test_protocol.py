"""What the agent's answers and silences are taken for."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.bench import agent
from edgekd.bench.devices import Device, load_device
from edgekd.bench.protocol import build_request, parse_reply
from edgekd.bench.reply import Answer
from edgekd.bench.settings import Settings, settings_for
from edgekd.errors import (
    EdgekdError,
    MeasurementError,
    MissingRuntimeError,
    ModelFileError,
    TransportError,
)
from edgekd.transports.base import Completed
from edgekd.transports.local import LocalTransport
from tests.bench.replies import good, timed

GOOD = good()
STAGES = "edgekd.stage: import\nedgekd.stage: load\nedgekd.stage: allocate\n"


def said(completed: Completed) -> EdgekdError:
    with pytest.raises(EdgekdError) as caught:
        parse_reply(completed, what="m.tflite")
    assert str(caught.value).startswith("m.tflite: ")
    return caught.value


@pytest.mark.parametrize(
    "stdout",
    [
        json.dumps(GOOD),
        "INFO: delegate\n{}\n[1]\n" + json.dumps(GOOD) + "\n",
        '{"schema": "edgekd.run/1", "cut off\n' + json.dumps(GOOD),
        json.dumps({**GOOD, "runtime": "an earlier line"}) + "\n" + json.dumps(GOOD),
        json.dumps(GOOD) + "\nbye from an exit handler\n",
        "a thread that is still at it" + json.dumps(GOOD) + "and goes on",
        "x" * 4_000_000 + "\n" + json.dumps(GOOD) + "\n" + "y" * 4_000_000,
        json.dumps(GOOD).replace("\n", "\r\n") + "\r\n",
        json.dumps(GOOD) + '\n{"schema": "edgekd.run/1", "cut',
        json.dumps(GOOD) + "\n" + '{"schema": "edgekd.run/1", "x": ' + "[" * 100_000,
        json.dumps(GOOD) + '\n["edgekd.run/1"]\n{"schema": "edgekd.run/2"}',
    ],
)
def test_the_reply_is_found_among_noise(stdout: str) -> None:
    assert parse_reply(Completed(0, stdout), what="m.tflite") == GOOD


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("import", MissingRuntimeError),
        ("load", ModelFileError),
        ("allocate", ModelFileError),
        ("invoke", MeasurementError),
        ("request", MeasurementError),
    ],
)
def test_a_word_of_failure_becomes_an_error_of_its_kind(
    stage: str, kind: type[EdgekdError]
) -> None:
    failed = {"schema": "edgekd.run/1", "error": "ValueError: no\nmore", "stage": stage}
    error = said(Completed(3, json.dumps(failed)))
    assert type(error) is kind
    assert error.message.endswith("failed: ValueError: no")


@pytest.mark.parametrize("shell", [False, True])
def test_a_signal_is_named_with_the_stage_and_the_last_words(shell: bool) -> None:
    number = int(signal.SIGSEGV)
    noise = "".join(f"line {n}\n" for n in range(20))
    error = said(Completed(128 + number if shell else -number, "", STAGES + noise))
    assert type(error) is MeasurementError
    assert "killed by SIGSEGV while allocating its tensors" in error.message
    assert "line 19" in error.message and "line 3\n" not in error.message
    assert "edgekd.stage" not in error.message
    assert error.hint


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT", "SIGSEGV"])
def test_a_model_that_kills_its_process(tmp_path: Path, name: str) -> None:
    """The agent itself, run here, with a factory that ends it in the middle of an inference."""
    request = build_request(
        Settings(),
        model=name,
        kind="factory",
        threads=1,
        function="factories:suicide",
        path=(str(Path(__file__).parent),),
    )
    (tmp_path / "request.json").write_text(json.dumps(request))
    transport = LocalTransport()
    argv = [transport.python, agent.__file__, str(tmp_path / "request.json")]
    error = said(transport.run(argv, timeout=60))
    transport.close()
    assert type(error) is MeasurementError
    assert f"killed by {name} while running it" in error.message


def test_sigkill_is_most_often_memory() -> None:
    assert "memory" in str(said(Completed(-int(signal.SIGKILL), "", STAGES)).hint)


def test_silence_is_the_transports() -> None:
    error = said(Completed(1, "Segmentation", "python3: not found\n"))
    assert type(error) is TransportError
    assert "exit code 1 and no answer while starting" in error.message
    assert "python3: not found" in error.message
    assert type(said(Completed(0, "", ""))) is TransportError


def test_a_timeout_is_none_of_the_signals_that_ended_it() -> None:
    error = said(Completed(-9, "", STAGES + "edgekd.stage: invoke\n", timed_out=True))
    assert "took too long and was given up while running it" in error.message


def test_the_request_is_plain_json_and_says_the_mode() -> None:
    plain = build_request(Settings(min_runs=7), model="m", kind="onnx", threads=2)
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["mode"], plain["inputs"], plain["chunks"]) == ("latency", None, [])
    assert plain["limits"] == {
        "warmup_runs": 10,
        "warmup_seconds": 0.3,
        "min_runs": 7,
        "min_seconds": 1.0,
        "max_seconds": 30.0,
        "max_samples": 10_000,
    }
    chunks = [("i.npz", "o.npz")]
    both = build_request(
        Settings(), model="m", kind="onnx", threads=1, mode="both", inputs="s.npz", chunks=chunks
    )
    assert (both["mode"], both["inputs"]) == ("both", "s.npz")
    assert both["chunks"] == [{"inputs": "i.npz", "outputs": "o.npz"}]


def test_another_device_is_timed_for_longer_than_this_machine() -> None:
    assert settings_for(load_device("cpu")) == Settings()
    board = Device(name="board", transport="ssh", runtimes=("litert",))
    assert settings_for(board).min_seconds == 10.0
    assert settings_for(board).max_seconds == 30.0
    box = board.model_copy(update={"emulated": True})
    assert settings_for(box).min_seconds == 1.0 and not settings_for(box).energy


@given(st.text(), st.text(), st.booleans(), st.integers(-64, 255))
def test_whatever_surrounds_a_reply_it_is_found(
    before: str, after: str, apart: bool, code: int
) -> None:
    end = "\n" if apart else ""
    stdout = before + end + json.dumps(GOOD) + end + after
    assert parse_reply(Completed(code, stdout, before), what="m") == GOOD


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(GOOD)), _JSON)
def test_a_wrong_reply_is_one_clear_error_or_can_be_used(key: str, value: Any) -> None:
    """A device may say anything: it is no traceback, and what passes fits the published schema."""
    stdout = json.dumps({**GOOD, key: value})
    try:
        found = parse_reply(Completed(0, stdout), what="m")
    except EdgekdError as error:
        assert error.message.startswith("m: ")
        return
    Answer.model_validate(found)


@given(st.text(), st.text(), st.integers(-300, 300), st.booleans())
def test_silence_of_any_kind_is_an_error_of_ours(
    stdout: str, stderr: str, code: int, timed_out: bool
) -> None:
    said_so = Completed(code, stdout, stderr, timed_out=timed_out)
    with pytest.raises(EdgekdError, match=r"^m: "):
        parse_reply(said_so, what="m")


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"latency": timed([1.0, float("nan")])}, "latency.raw_ms.1"),
        ({"latency": {**timed([1.0]), "raw_ms": []}}, "latency.raw_ms"),
        ({"latency": {**timed([1.0]), "load_ms": None}}, "latency.load_ms"),
        ({"model_sha256": "../../etc/passwd"}, "model_sha256"),
        ({"memory": {"method": "guess"}}, "memory.method"),
        ({"outputs": [{"name": "y"}]}, "outputs.0.shape"),
        ({"runtime": None}, "runtime"),
    ],
)
def test_an_answer_that_cannot_be_used_says_where(wrong: dict[str, Any], where: str) -> None:
    error = said(Completed(0, json.dumps({**GOOD, **wrong})))
    assert type(error) is MeasurementError
    assert f"none of edgekd.run/1: {where}: " in error.message


def test_a_line_that_looks_like_an_answer_very_often_costs_little_time() -> None:
    begin = time.process_time()
    said(Completed(0, '{"schema": "edgekd.run/1", ' * 200_000))
    assert time.process_time() - begin < 5


def test_an_old_python_is_named() -> None:
    old = "  File agent.py\nSyntaxError: future feature annotations is not defined\n"
    error = said(Completed(1, "", old))
    assert type(error) is MissingRuntimeError
    assert "too old" in error.message and "3.9" in str(error.hint)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("MemoryError: Unable to allocate 9 GiB", "memory ran out"),
    ],
)
def test_what_the_system_complains_of_gets_a_hint(word: str, hint: str) -> None:
    failed = {"schema": "edgekd.run/1", "error": word, "stage": "score"}
    error = said(Completed(3, json.dumps(failed)))
    assert "running the test samples failed: " in error.message and hint in str(error.hint)
    killed = said(Completed(-6, "", STAGES + word))
    assert hint in str(killed.hint)


@pytest.mark.parametrize(
    ("stage", "error", "message", "hint"),
    [
        (
            "import",
            "ImportError: Python 3.9 or newer is needed, this is 3.8.18",
            "the device's Python is too old: it is 3.8.18",
            "name another one",
        ),
        ("allocate", "RuntimeError: ", "allocating its tensors failed: RuntimeError: and no reason",
         "or more memory than there is"),
        ("load", "MemoryError: std::bad_alloc", "loading the file failed: ", "memory ran out"),
    ],
)  # fmt: skip
def test_a_failure_says_what_to_do_about_it(
    stage: str, error: str, message: str, hint: str
) -> None:
    reply = {"schema": "edgekd.run/1", "error": error, "stage": stage}
    found = said(Completed(3, json.dumps(reply), STAGES))
    assert message in found.message and hint in str(found.hint)


def test_what_a_runtime_tells_of_itself_explains_nothing() -> None:
    chatter = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
    found = said(Completed(-int(signal.SIGSEGV), "", STAGES + chatter))
    assert found.message.endswith("while allocating its tensors")
