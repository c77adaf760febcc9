"""What the agent's answers and silences are taken for."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from edgekd.bench import agent
from edgekd.bench.protocol import Settings, build_request, parse_reply
from edgekd.errors import (
    EdgekdError,
    MeasurementError,
    MissingRuntimeError,
    ModelFileError,
    TransportError,
)
from edgekd.transports.base import Completed
from edgekd.transports.local import LocalTransport

GOOD = {"schema": "edgekd.run/1", "runtime": "litert"}
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
    assert plain["mode"] == "latency"
    assert plain["limits"] == {
        "warmup_runs": 10,
        "warmup_seconds": 0.3,
        "min_runs": 7,
        "min_seconds": 1.0,
        "max_seconds": 30.0,
        "max_samples": 10_000,
    }
    both = build_request(
        Settings(), model="m", kind="onnx", threads=1, inputs="i.npz", outputs="o.npz"
    )
    assert (both["mode"], both["inputs"], both["outputs"]) == ("both", "i.npz", "o.npz")
